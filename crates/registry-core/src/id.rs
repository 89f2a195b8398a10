//! The identifiers of this crate, each its own type so that none is taken for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

const PREFIX: &str = "q_";
/// 26 characters of 5 bits hold 128 bits; no letter of this alphabet looks like another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 26;

/// Our name for a query: `q_` and 26 characters from a secure random source.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueryId(u128);

impl QueryId {
    /// A fresh identifier.
    pub fn generate() -> Self {
        // A v4 UUID has six fixed bits; folding two of them leaves none.
        Self(Uuid::new_v4().as_u128() ^ Uuid::new_v4().as_u128().rotate_left(64))
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |place: usize| ALPHABET[(self.0 >> (5 * place)) as usize & 31] as char;
        let text: String = (0..LENGTH).rev().map(digit).collect();
        write!(f, "{PREFIX}{text}")
    }
}

impl fmt::Debug for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for QueryId {
    type Err = InvalidQueryId;

    fn from_str(text: &str) -> Result<Self, InvalidQueryId> {
        let digits = text.strip_prefix(PREFIX).filter(|rest| rest.len() == LENGTH).ok_or(InvalidQueryId)?;
        let mut value: u128 = 0;
        for (place, byte) in digits.bytes().enumerate() {
            let digit = ALPHABET.iter().position(|&letter| letter == byte).ok_or(InvalidQueryId)?;
            // The first of 26 characters carries only the three bits left over from 25 × 5.
            if place == 0 && digit > 7 {
                return Err(InvalidQueryId);
            }
            value = (value << 5) | digit as u128;
        }
        Ok(Self(value))
    }
}

impl From<QueryId> for String {
    fn from(id: QueryId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for QueryId {
    type Error = InvalidQueryId;

    fn try_from(text: String) -> Result<Self, InvalidQueryId> {
        text.parse()
    }
}

/// The text is no query id of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a query id is \"q_\" and 26 letters or digits, as async_execute_query returned it")]
pub struct InvalidQueryId;

/// Our name for one attempt to start a statement, durable before anything is sent, so that a repeat can be
/// recognised by the engine and a lost answer looked up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestId(Uuid);

impl RequestId {
    /// A fresh identifier.
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The engine's name for a running statement; for Snowflake its query id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RemoteHandle(String);

impl RemoteHandle {
    /// Wraps what the engine answered; the adapter has checked its form.
    pub fn new(handle: impl Into<String>) -> Self {
        Self(handle.into())
    }

    /// The engine's own text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RemoteHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One server process on a state directory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InstanceId(Uuid);

impl InstanceId {
    /// A fresh identifier.
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for InstanceId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::from_str(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_id_reads_back_as_it_was_written() {
        for _ in 0..1000 {
            let id = QueryId::generate();
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().len(), 28);
        }
    }

    #[test]
    fn what_is_no_query_id_is_refused() {
        let good = QueryId::generate().to_string();
        let too_big = format!("q_z{}", &good[3..]);
        for bad in
            ["", "q_", &good[2..], &good[..27], &format!("{good}0"), &good.to_uppercase(), &too_big, "q_é"]
        {
            assert_eq!(bad.parse::<QueryId>(), Err(InvalidQueryId), "{bad:?}");
        }
    }

    #[test]
    fn query_ids_do_not_repeat() {
        let ids: std::collections::HashSet<_> = (0..10_000).map(|_| QueryId::generate()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
