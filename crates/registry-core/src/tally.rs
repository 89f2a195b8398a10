//! The tally: rows so far of the queries that a process drives, told to the others in one small file beside its sign of
//! life.
//!
//! It is no part of the journal, whose every write has all other processes read their records again, and is one more
//! for the disk to keep: a figure that is old after a second is worth neither.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::id::{InstanceId, QueryId};
use crate::record::QueryRecord;
use crate::shared::Shared;
use crate::state_dir::{StateDir, create_private_file, remove};

/// A change is told within this time, together with all others of that time.
const INTERVAL: Duration = Duration::from_secs(1);
/// The names of a tally, and of one that is being written.
pub(crate) const FILES: [&str; 2] = [TALLY, UNFINISHED];
const TALLY: &str = "tally";
const UNFINISHED: &str = "tally-new";

/// Rows so far by query; one without rows is not in it.
pub(crate) type Tally = BTreeMap<QueryId, u64>;

/// Writes what `count` says, as often as it has changed since. It never ends.
pub(crate) async fn tell_changes<W>(count: impl Fn() -> Tally, write: W)
where
    W: Fn(&Tally) -> io::Result<()> + Send + Sync + 'static,
{
    let write = Arc::new(write);
    let mut told = Tally::new();
    loop {
        sleep(INTERVAL).await;
        let tally = count();
        if tally == told {
            continue;
        }
        let write = Arc::clone(&write);
        match spawn_blocking(move || write(&tally).map(|()| tally)).await {
            Ok(Ok(tally)) => told = tally,
            Ok(Err(error)) => tracing::debug!(%error, "cannot tell the rows so far"),
            Err(fault) => tracing::debug!(%fault, "cannot tell the rows so far"),
        }
    }
}

/// What the owners of those `records` that run in another process told last.
pub(crate) async fn of_others<R: Borrow<QueryRecord>>(shared: &Arc<Shared>, records: &[R]) -> Tally {
    let runs_elsewhere =
        |record: &&QueryRecord| !record.is_terminal() && record.lease.owner != shared.instance();
    let others: Vec<_> = records
        .iter()
        .map(Borrow::borrow)
        .filter(runs_elsewhere)
        .map(|record| (record.id, record.lease.owner))
        .collect();
    if others.is_empty() {
        return Tally::new();
    }
    let asking = Arc::clone(shared);
    spawn_blocking(move || told(&asking, &others)).await.unwrap_or_default()
}

/// A former owner may still tell of a query, so that each is looked up with its present one.
fn told(shared: &Shared, others: &[(QueryId, InstanceId)]) -> Tally {
    let mut tallies = HashMap::new();
    let rows = |(id, owner): &(QueryId, InstanceId)| {
        let look = || shared.presence.tally(*owner, shared.config.lease);
        let tally: &Tally = tallies.entry(*owner).or_insert_with(look);
        tally.get(id).map(|rows| (*id, *rows))
    };
    others.iter().filter_map(rows).collect()
}

impl StateDir {
    /// Replaces the tally of `owner`; readers see the old one or the new one. An empty one leaves no file.
    pub(crate) fn write_tally(&self, owner: InstanceId, tally: &Tally) -> io::Result<()> {
        let (path, unfinished) = (self.tally_path(owner, TALLY), self.tally_path(owner, UNFINISHED));
        if tally.is_empty() {
            return remove(&path);
        }
        remove(&unfinished)?;
        create_private_file(&unfinished)?.write_all(&serde_json::to_vec(tally)?)?;
        std::fs::rename(&unfinished, &path)
    }

    /// What `owner` told last. A file that does not read back is no news.
    pub(crate) fn tally(&self, owner: InstanceId) -> Tally {
        let told = std::fs::read(self.tally_path(owner, TALLY)).ok();
        told.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    fn tally_path(&self, owner: InstanceId, name: &str) -> PathBuf {
        self.instances().join(format!("{owner}.{name}"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::clock::{Clock, Timestamp};
    use crate::instance::Instance;
    use crate::journal::MemoryJournal;
    use crate::live::LiveQuery;
    use crate::options::QueryRequest;
    use crate::presence::Presence;
    use crate::record::EngineFacts;
    use crate::records::Records;
    use crate::snapshot::QueryStatus;
    use crate::state::Timing;

    type Log = Arc<Mutex<Vec<(Duration, Tally)>>>;

    /// Tells for `time` what `count` says after so many seconds; returns what was written, and when.
    async fn told(time: Duration, count: impl Fn(f64) -> Tally) -> Vec<(Duration, Tally)> {
        let (start, log) = (Instant::now(), Log::default());
        let kept = Arc::clone(&log);
        let write = move |tally: &Tally| {
            kept.lock().unwrap().push((start.elapsed(), tally.clone()));
            Ok(())
        };
        let telling = tell_changes(|| count(start.elapsed().as_secs_f64()), write);
        assert!(timeout(time, telling).await.is_err());
        log.lock().unwrap().clone()
    }

    fn only(id: QueryId, rows: u64) -> Tally {
        Tally::from([(id, rows)])
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_that_never_rests_is_told_once_a_second() {
        let ids = [QueryId::generate(), QueryId::generate()];
        let count = |seconds: f64| ids.map(|id| (id, (seconds * 1e6) as u64 + 1)).into();
        let told = told(Duration::from_millis(10_500), count).await;
        assert_eq!(told.len(), 10);
        for pair in told.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= INTERVAL, "{pair:?}");
            assert!(pair[1].1[&ids[0]] > pair[0].1[&ids[0]], "{pair:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_that_rests_is_told_once_and_its_end_once() {
        let id = QueryId::generate();
        let count = |seconds: f64| match seconds {
            ..10.0 => only(id, 7),
            _ => Tally::new(),
        };
        let told: Vec<_> = told(Duration::from_secs(60), count).await.into_iter().map(|(_, t)| t).collect();
        assert_eq!(told, [only(id, 7), Tally::new()]);
    }

    #[tokio::test(start_paused = true)]
    async fn where_there_are_no_rows_nothing_is_written() {
        assert_eq!(told(Duration::from_secs(3600), |_| Tally::new()).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_written_is_written_a_second_later() {
        let (tally, tries) = (only(QueryId::generate(), 1), Arc::new(Mutex::new(0)));
        let counted = Arc::clone(&tries);
        let write = move |_: &Tally| {
            let mut tries = counted.lock().unwrap();
            *tries += 1;
            if *tries < 3 { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
        };
        assert!(timeout(Duration::from_secs(60), tell_changes(|| tally.clone(), write)).await.is_err());
        assert_eq!(*tries.lock().unwrap(), 3);
    }

    /// A running query of `owner` with so many rows, as long as the view is held.
    fn with_rows(records: &Records, owner: InstanceId, status: QueryStatus, rows: u64) -> Arc<LiveQuery> {
        let engine = EngineFacts { target: "test".to_owned(), embedded: true };
        let request = QueryRequest::new("select 1");
        let now = Timestamp::default();
        let record = QueryRecord::accept(request, "main".to_owned(), engine, owner, now, INTERVAL);
        let query = records.adopt(QueryRecord { status, ..record });
        let so_far = crate::results::RowsSoFar::default();
        so_far.count_to(rows);
        query.set_rows_so_far(Arc::new(so_far));
        query
    }

    #[test]
    fn only_queries_that_run_here_and_have_rows_are_counted() {
        let (journal, metrics) = (Arc::new(MemoryJournal::default()), Arc::default());
        let records = Records::new(journal, metrics, Clock::system(), Timing::default());
        let (ours, others) = (InstanceId::generate(), InstanceId::generate());
        let counted = with_rows(&records, ours, QueryStatus::Running, 3);
        let _left_out = [
            with_rows(&records, ours, QueryStatus::Running, 0),
            with_rows(&records, ours, QueryStatus::Canceled, 3),
            with_rows(&records, others, QueryStatus::Running, 3),
        ];
        assert_eq!(records.tally(ours), only(counted.id(), 3));
    }

    #[test]
    fn a_tally_reads_back_in_another_process_and_an_empty_one_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let (state, owner) = (StateDir::open(directory.path()).unwrap(), InstanceId::generate());
        let other = StateDir::open(directory.path()).unwrap();
        assert_eq!(other.tally(owner), Tally::new());
        for rows in [1, u64::MAX] {
            let tally = only(QueryId::generate(), rows);
            state.write_tally(owner, &tally).unwrap();
            assert_eq!(other.tally(owner), tally);
        }
        assert_eq!(other.tally(InstanceId::generate()), Tally::new());
        state.write_tally(owner, &Tally::new()).unwrap();
        assert_eq!(std::fs::read_dir(state.instances()).unwrap().count(), 0);
    }

    #[test]
    fn the_tally_of_a_process_that_is_gone_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let open = || StateDir::open(directory.path()).unwrap();
        let (state, other, gone) = (open(), open(), InstanceId::generate());
        let owner = Instance::register(&state).unwrap();
        let instance = Instance::register(&other).unwrap();
        let presence = Presence::Shared { directory: other, instance };
        let tally = only(QueryId::generate(), 5);
        for id in [owner.id(), gone] {
            state.write_tally(id, &tally).unwrap();
        }
        assert_eq!(presence.tally(owner.id(), INTERVAL), tally);
        assert_eq!(presence.tally(gone, INTERVAL), Tally::new());
    }

    #[test]
    fn a_tally_that_does_not_read_back_tells_nothing_and_an_unfinished_one_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (state, owner) = (StateDir::open(directory.path()).unwrap(), InstanceId::generate());
        std::fs::write(state.tally_path(owner, TALLY), "{\"q_").unwrap();
        std::fs::write(state.tally_path(owner, UNFINISHED), "{").unwrap();
        assert_eq!(state.tally(owner), Tally::new());
        let tally = only(QueryId::generate(), 5);
        state.write_tally(owner, &tally).unwrap();
        assert_eq!(state.tally(owner), tally);
    }
}
