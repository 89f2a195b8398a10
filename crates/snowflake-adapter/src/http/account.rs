//! What all connections of this process to one account share.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use reqwest::Url;

use crate::breaker::Breaker;
use crate::retry::Bucket;

static ACCOUNTS: LazyLock<Mutex<HashMap<String, Weak<Account>>>> = LazyLock::new(Mutex::default);

/// The health of the way to an account.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) breaker: Breaker,
    pub(crate) bucket: Bucket,
}

impl Account {
    /// The account behind an address. Connections that differ only in user or role have it in common.
    pub(crate) fn of(base: &Url) -> Arc<Self> {
        let mut accounts = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|_, account| account.strong_count() > 0);
        let key = base.origin().ascii_serialization();
        if let Some(account) = accounts.get(&key).and_then(Weak::upgrade) {
            return account;
        }
        let account = Arc::new(Self::default());
        accounts.insert(key, Arc::downgrade(&account));
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_to_one_host_share_their_account() {
        let url = |text: &str| Url::parse(text).unwrap();
        let first = Account::of(&url("https://shared.example/"));
        assert!(Arc::ptr_eq(&first, &Account::of(&url("https://shared.example:443/other"))));
        assert!(!Arc::ptr_eq(&first, &Account::of(&url("https://other.example/"))));
    }
}
