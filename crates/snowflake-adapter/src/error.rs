//! Snowflake's codes, and what each means for a query and for the one who sent it.

use registry_core::error::{ErrorInfo, ErrorKind};

/// The longest message of the engine that is passed on.
const MAX_MESSAGE: usize = 4_000;
const LACKS_PRIVILEGE: &str = "the connection needs a role that has the privilege, or its role the grant";

/// What Snowflake says went wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The code, leading zeros kept.
    pub(crate) code: Option<String>,
    pub(crate) sql_state: Option<String>,
    pub(crate) message: Option<String>,
}

/// How a statement ended that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With an error.
    Failed(ErrorInfo),
    /// Somebody stopped it.
    Aborted,
    /// Its time limit stopped it.
    TimedOut,
    /// No such statement is known.
    NotFound,
}

impl Fault {
    /// What this fault, told of a statement, says about the statement.
    pub(crate) fn ending(&self) -> Ending {
        match (self.code.as_deref(), self.sql_state.as_deref()) {
            // The time limit shares its SQLSTATE with a cancellation, so the code decides first.
            (Some("000630"), _) => Ending::TimedOut,
            (Some("000604"), _) | (_, Some("57014")) => Ending::Aborted,
            (Some("000709"), _) => Ending::NotFound,
            _ => Ending::Failed(self.statement_error()),
        }
    }

    /// The fault as an error of the statement.
    pub(crate) fn statement_error(&self) -> ErrorInfo {
        let (kind, advice) = self.advice();
        let said = self.message("Snowflake gave no reason");
        let message = if advice.is_empty() { said } else { format!("{said} ({advice})") };
        self.with_code(ErrorInfo::new(kind, message))
    }

    /// The fault as the error of a sign-in, or of a call that was not let in.
    pub(crate) fn sign_in_error(&self) -> ErrorInfo {
        if matches!(self.code.as_deref(), Some("390189" | "390201")) {
            return self.statement_error();
        }
        let (kind, advice) = self
            .access()
            .unwrap_or((ErrorKind::Authentication, "the user must check account, user name and credentials"));
        let said = self.message("no reason given");
        self.with_code(ErrorInfo::new(kind, format!("Snowflake refused the sign-in: {said} ({advice})")))
    }

    /// `text` with Snowflake's own words behind it.
    pub(crate) fn explained(&self, kind: ErrorKind, text: &str) -> ErrorInfo {
        let message = match &self.message {
            Some(_) => format!("{text}; Snowflake says: {}", self.message("")),
            None => text.to_owned(),
        };
        self.with_code(ErrorInfo::new(kind, message))
    }

    fn message(&self, otherwise: &str) -> String {
        let message = self.message.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let message = message.unwrap_or(otherwise);
        match message.char_indices().nth(MAX_MESSAGE) {
            Some((end, _)) => format!("{}…", &message[..end]),
            None => message.to_owned(),
        }
    }

    fn with_code(&self, error: ErrorInfo) -> ErrorInfo {
        match &self.code {
            Some(text) => {
                let number = text.parse().ok();
                ErrorInfo { code: number, code_text: Some(text.clone()), ..error }
            }
            None => error,
        }
    }

    /// What the codes say that stand for who asks and from where, at whatever call they come.
    fn access(&self) -> Option<(ErrorKind, &'static str)> {
        Some(match self.code.as_deref()? {
            "390144" | "394300" | "394301" | "394302" | "394303" => (
                ErrorKind::Authentication,
                "the user must check that this private key's public key is set for the user at Snowflake, and the \
                 names of account and user",
            ),
            "390303" | "390318" => {
                (ErrorKind::Authentication, "the user must get a new OAuth token for this connection")
            }
            "394304" | "394305" | "394306" | "394307" | "394400" => (
                ErrorKind::Authentication,
                "the user must create a new programmatic access token for this connection",
            ),
            "390420" | "390421" | "390422" => (
                ErrorKind::Configuration,
                "the account's administrator must let this machine's address in, by the network policy",
            ),
            "390100" => (
                ErrorKind::Authentication,
                "the user must correct user name or password; each try counts towards a lock of the user",
            ),
            _ => return None,
        })
    }

    /// The class of a statement's error, and what to do about it where the words of Snowflake do not say.
    fn advice(&self) -> (ErrorKind, &'static str) {
        if let Some(found) = self.access() {
            return found;
        }
        let state = self.sql_state.as_deref().unwrap_or_default();
        match self.code.as_deref().unwrap_or_default() {
            "000008" => (ErrorKind::Sql, "send one statement at a time"),
            "000606" => (
                ErrorKind::Configuration,
                "the user must name a warehouse for the connection that exists, that the role may use, and that \
                 resumes by itself",
            ),
            "002003" | "002043" => {
                (ErrorKind::Sql, "check the name, its upper and lower case, and what the role may see")
            }
            "003001" => (ErrorKind::Permission, LACKS_PRIVILEGE),
            "090073" => (
                ErrorKind::Configuration,
                "the account's administrator must raise the resource monitor's quota, or the user name another \
                 warehouse for the connection",
            ),
            "090105" | "090106" => {
                (ErrorKind::Sql, "write the object's full name, as database.schema.object")
            }
            "390189" => (
                ErrorKind::Configuration,
                "the user must correct the role of the connection, or an administrator grant it; upper and lower \
                 case count",
            ),
            "390201" => (
                ErrorKind::Configuration,
                "the user must correct the warehouse of the connection, or an administrator grant its use; upper and \
                 lower case count",
            ),
            _ if state == "42501" => (ErrorKind::Permission, LACKS_PRIVILEGE),
            _ if state.starts_with("53") => {
                (ErrorKind::ResourceLimit, "ask for less, or use a larger warehouse")
            }
            _ if state == "XX000" => {
                (ErrorKind::Unavailable, "an internal error of Snowflake; submit the statement again")
            }
            _ => (ErrorKind::Sql, ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: &str, state: &str, message: &str) -> Fault {
        Fault {
            code: Some(code.to_owned()),
            sql_state: Some(state.to_owned()),
            message: Some(message.to_owned()),
        }
    }

    #[test]
    fn the_time_limit_is_told_from_a_cancellation_by_its_code() {
        assert_eq!(fault("000630", "57014", "").ending(), Ending::TimedOut);
        assert_eq!(fault("000604", "57014", "").ending(), Ending::Aborted);
        assert_eq!(Fault { sql_state: Some("57014".into()), ..Fault::default() }.ending(), Ending::Aborted);
        assert_eq!(fault("000709", "02000", "").ending(), Ending::NotFound);
    }

    #[test]
    fn codes_keep_their_leading_zeros() {
        let error =
            fault("000904", "42000", "SQL compilation error: invalid identifier 'X'").statement_error();
        assert_eq!(
            (error.kind, error.code, error.code_text.as_deref()),
            (ErrorKind::Sql, Some(904), Some("000904"))
        );
        assert_eq!(error.message, "SQL compilation error: invalid identifier 'X'");
    }

    #[test]
    fn errors_are_sorted_by_what_to_do() {
        let kinds = [
            ("003001", "42501", ErrorKind::Permission),
            ("009999", "42501", ErrorKind::Permission),
            ("000606", "57P03", ErrorKind::Configuration),
            ("090073", "57P03", ErrorKind::Configuration),
            ("000603", "XX000", ErrorKind::Unavailable),
            ("100132", "P0000", ErrorKind::Sql),
            ("390422", "", ErrorKind::Configuration),
            ("390318", "", ErrorKind::Authentication),
        ];
        for (code, state, kind) in kinds {
            assert_eq!(fault(code, state, "x").statement_error().kind, kind, "{code} {state}");
        }
    }

    #[test]
    fn an_endless_message_is_cut_between_characters() {
        let error = fault("1", "42000", &"é".repeat(100_000)).statement_error();
        assert_eq!(error.message.chars().count(), MAX_MESSAGE + 1);
    }

    #[test]
    fn a_code_that_is_no_number_stays_text() {
        let error = fault("abc", "42000", "x").statement_error();
        assert_eq!((error.code, error.code_text.as_deref()), (None, Some("abc")));
    }
}
