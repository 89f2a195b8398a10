//! Every search in the table of queries; each is answered by the index made for it.

macro_rules! select {
    ($condition:literal) => {
        concat!("SELECT id, version, status, epoch, checksum, record FROM query WHERE ", $condition)
    };
}

pub(super) const BY_ID: &str = select!("id = ?1");

pub(super) const BY_KEY: &str =
    select!("connection = ?1 AND idempotency_key = ?2 AND idempotency_key IS NOT NULL AND forgotten = 0");

pub(super) const RUNNING: &str = select!(
    "sql_hash = ?1 AND connection = ?2 AND owner = ?3 AND finished = 0 AND stopping = 0 AND forgotten = 0 \
     ORDER BY created_at, id"
);

pub(super) const NEWEST: &str = select!("forgotten = 0 ORDER BY created_at DESC, id DESC");

pub(super) const NEWEST_BY_STATUS: &str =
    select!("forgotten = 0 AND status = ?1 ORDER BY created_at DESC, id DESC");

pub(super) const UNSETTLED: &str = select!("unsettled = 1 ORDER BY created_at, id");

pub(super) const EXPIRED: &str =
    select!("(forgotten = 0 OR unsettled = 0) AND ttl_expires_at <= ?1 ORDER BY ttl_expires_at, id");
