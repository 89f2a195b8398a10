//! A record as one row.

use rusqlite::types::ValueRef;
use rusqlite::{Row, ToSql};

use super::fault::{Damage, Fault};
use crate::record::QueryRecord;

/// The values of one row; [`NewRow::never_changing`] and [`NewRow::changing`] give them in the order of the
/// statements.
#[derive(Debug)]
pub(super) struct NewRow<'a> {
    id: String,
    connection: &'a str,
    sql_hash: i64,
    idempotency_key: Option<&'a str>,
    created_at: i64,
    owner: String,
    ttl_expires_at: i64,
    finished: bool,
    unsettled: bool,
    stopping: bool,
    forgotten: bool,
    revision: Revision,
    checksum: i64,
    json: String,
}

/// What must be unchanged for a write to apply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Revision {
    pub(super) version: i64,
    pub(super) status: &'static str,
    pub(super) epoch: i64,
}

impl Revision {
    pub(super) fn of(record: &QueryRecord) -> Self {
        // The cast keeps every number apart, which is all that a comparison for equality needs.
        Self {
            version: record.version.cast_signed(),
            status: record.status.as_str(),
            epoch: record.lease.epoch.cast_signed(),
        }
    }
}

impl<'a> NewRow<'a> {
    pub(super) fn of(record: &'a QueryRecord) -> Result<Self, Fault> {
        let json = serde_json::to_string(record).map_err(|error| Fault::Other(error.to_string()))?;
        Ok(Self {
            id: record.id.to_string(),
            connection: &record.connection,
            sql_hash: hash(record.sql.as_bytes()),
            idempotency_key: record.idempotency_key.as_deref(),
            created_at: record.created_at.as_millis(),
            owner: record.lease.owner.to_string(),
            ttl_expires_at: record.ttl_expires_at.as_millis(),
            finished: record.is_terminal(),
            unsettled: record.needs_a_driver(),
            stopping: record.intent.is_some(),
            forgotten: record.forgotten,
            revision: Revision::of(record),
            checksum: hash(json.as_bytes()),
            json,
        })
    }

    /// `?1` to `?5`.
    pub(super) fn never_changing(&self) -> [&dyn ToSql; 5] {
        [&self.id, &self.connection, &self.sql_hash, &self.idempotency_key, &self.created_at]
    }

    /// Eleven values that follow the above or stand alone.
    pub(super) fn changing(&self) -> [&dyn ToSql; 11] {
        [
            &self.revision.version,
            &self.revision.status,
            &self.revision.epoch,
            &self.owner,
            &self.ttl_expires_at,
            &self.finished,
            &self.unsettled,
            &self.stopping,
            &self.forgotten,
            &self.checksum,
            &self.json,
        ]
    }
}

/// The record in a row of one of the searches. A row that was changed behind our back is told from a sound one, also where
/// SQLite sees nothing wrong with it.
pub(super) fn read(row: &Row<'_>) -> Result<QueryRecord, Damage> {
    let record = decode(row).map_err(|reason| Damage { id: name(row), reason })?;
    let stored = (row.get(1), row.get_ref(2), row.get(3));
    let Revision { version, status, epoch } = Revision::of(&record);
    let agrees = name(row) == record.id.to_string()
        && stored == (Ok(version), Ok(ValueRef::Text(status.as_bytes())), Ok(epoch));
    if !agrees {
        return Err(Damage { id: name(row), reason: "its columns contradict it".to_owned() });
    }
    Ok(record)
}

fn decode(row: &Row<'_>) -> Result<QueryRecord, String> {
    let text = |error: rusqlite::Error| error.to_string();
    let (checksum, json): (i64, String) = (row.get(4).map_err(text)?, row.get(5).map_err(text)?);
    if checksum != hash(json.as_bytes()) {
        return Err("its checksum is wrong".to_owned());
    }
    serde_json::from_str(&json).map_err(|error| error.to_string())
}

fn name(row: &Row<'_>) -> String {
    match row.get_ref(0) {
        Ok(ValueRef::Text(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => "with no readable id".to_owned(),
    }
}

/// 64-bit FNV-1a: the same in every release, and any one changed byte changes it. No defence against intent.
pub(super) fn hash(bytes: &[u8]) -> i64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_fnv_1a() {
        assert_eq!(hash(b"").cast_unsigned(), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"foobar").cast_unsigned(), 0x8594_4171_f739_67e8);
    }
}
