-- A journal of version 1 with one record, as the first release writes it. Never edited to suit a newer one.
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE query (
    id              TEXT    NOT NULL PRIMARY KEY,
    version         INTEGER NOT NULL,
    status          TEXT    NOT NULL,
    epoch           INTEGER NOT NULL,
    owner           TEXT    NOT NULL,
    connection      TEXT    NOT NULL,
    sql_hash        INTEGER NOT NULL,
    idempotency_key TEXT,
    created_at      INTEGER NOT NULL,
    ttl_expires_at  INTEGER NOT NULL,
    finished        INTEGER NOT NULL,
    unsettled       INTEGER NOT NULL,
    stopping        INTEGER NOT NULL,
    forgotten       INTEGER NOT NULL,
    checksum        INTEGER NOT NULL,
    record          TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX query_by_key ON query (connection, idempotency_key)
    WHERE idempotency_key IS NOT NULL AND forgotten = 0;
CREATE INDEX query_running ON query (sql_hash, connection, owner)
    WHERE finished = 0 AND stopping = 0 AND forgotten = 0;
CREATE INDEX query_unsettled ON query (created_at, id) WHERE unsettled = 1;
CREATE INDEX query_expiring ON query (ttl_expires_at, id) WHERE (forgotten = 0 OR unsettled = 0);
CREATE INDEX query_newest ON query (created_at DESC, id DESC) WHERE forgotten = 0;
CREATE INDEX query_newest_by_status ON query (status, created_at DESC, id DESC) WHERE forgotten = 0;

INSERT INTO query (id, connection, sql_hash, idempotency_key, created_at, version, status, epoch, owner,
                   ttl_expires_at, finished, unsettled, stopping, forgotten, checksum, record)
VALUES ('q_0123456789abcdefghjkmnpqrs', 'main', 1571471218166437189, 'nightly', 1795219200000, 4, 'running', 2,
        '6f1c2d3e-4a5b-4c6d-8e7f-0123456789ab', 1795305600000, 0, 1, 0, 0, -2222955661957840441,
        '{"id":"q_0123456789abcdefghjkmnpqrs","sql":"select ''é''","connection":"main","engine":{"target":"test","embedded":false},"options":{"query_timeout":{"secs":30,"nanos":0},"max_inline_rows":1000,"poll_interval":{"secs":1,"nanos":0},"priority":"medium"},"idempotency_key":"nightly","status":"running","phase":"queued","version":4,"lease":{"owner":"6f1c2d3e-4a5b-4c6d-8e7f-0123456789ab","epoch":2},"created_at":1795219200000,"updated_at":1795219201000,"started_at":1795219200500,"finished_at":null,"ttl_expires_at":1795305600000,"deadline_at":1795219230000,"request_id":"0b1c2d3e-4a5b-4c6d-8e7f-0123456789ab","posts":{"sent":1,"answered":1,"first_at":1795219200100,"last_at":1795219200100},"handle":"01b2","intent":null,"cancel":{"attempts":0,"first_at":null,"next_at":null,"acknowledged":false,"refused":null},"owes":[],"unreachable":null,"stop_confirmed":false,"result":null,"rows_gone":false,"error":null,"forgotten":false}');
PRAGMA application_id = 1634823530;
PRAGMA user_version = 1;
COMMIT;
