//! Which connection an error is about: whoever mends it has to know, and an agent has nowhere to look it up.

use std::sync::Arc;

use registry_core::backend::BackendError;
use registry_core::error::{ErrorInfo, ErrorKind};

use super::SnowflakeConfig;

/// The connection, account, user, role and warehouse of an error. No secret is in it.
#[derive(Debug, Clone)]
pub(crate) struct Whose(Arc<str>);

impl Whose {
    pub(crate) fn of(config: &SnowflakeConfig) -> Self {
        let host = config.base_url.host_str().unwrap_or_default();
        let port = config.base_url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let context = &config.context;
        let parts = [("user", &config.user), ("role", &context.role), ("warehouse", &context.warehouse)];
        let parts: String =
            parts.iter().filter_map(|(name, value)| Some(format!(", {name} {}", value.as_ref()?))).collect();
        let (name, account) = (&config.name, &config.account);
        Self(format!("connection {name:?}: account {account} at {host}{port}{parts}").into())
    }

    /// The error with the connection behind it, where it is the connection that has to be mended.
    pub(crate) fn name(&self, error: ErrorInfo) -> ErrorInfo {
        let is_named = error.message.ends_with(&format!("[{}]", self.0));
        match error.kind {
            ErrorKind::Authentication | ErrorKind::Configuration | ErrorKind::Permission if !is_named => {
                ErrorInfo { message: format!("{} [{}]", error.message, self.0), ..error }
            }
            _ => error,
        }
    }

    pub(crate) fn of_backend(&self, error: BackendError) -> BackendError {
        BackendError(self.name(error.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    #[test]
    fn only_what_the_connection_is_to_blame_for_names_it_and_only_once() {
        let sources = Sources::new()
            .with_flag("account", "acme-test")
            .with_flag("user", "ada")
            .with_flag("password", "hush")
            .with_flag("warehouse", "wh");
        let whose = Whose::of(&load(None, &sources).unwrap());
        let named = whose.name(ErrorInfo::new(ErrorKind::Configuration, "no"));
        let words = "no [connection \"default\": account ACME-TEST at acme-test.snowflakecomputing.com, user ada, \
                     warehouse wh]";
        assert_eq!(named.message, words);
        assert_eq!(whose.name(named.clone()), named);
        assert_eq!(whose.name(ErrorInfo::new(ErrorKind::Sql, "no")).message, "no");
    }
}
