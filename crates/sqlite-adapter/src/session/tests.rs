//! A statement at a step that nothing interrupts: here a function that returns when the test lets it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use registry_core::results::{ResultLimits, ResultStore};
use registry_core::testing::submission;
use rusqlite::functions::FunctionFlags;

use super::*;
use crate::config::{SqliteConfig, SqliteSource};

/// The longest wait of any test.
const BOUND: Duration = Duration::from_secs(60);

struct World {
    opener: Arc<Opener>,
    runs: Arc<Runs>,
    store: ResultStore,
    /// Lets all held statements go on.
    released: Arc<AtomicBool>,
    _directory: tempfile::TempDir,
}

impl World {
    fn new(writes: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = ResultStore::open(directory.path().join("results"), ResultLimits::default()).unwrap();
        let opener = Arc::new(Opener::new(SqliteConfig::new(SqliteSource::Sample).with_writes(writes)));
        Self { opener, runs: Arc::default(), store, released: Arc::default(), _directory: directory }
    }

    /// A session in which `hold()` is a step that does not end.
    fn session(&self) -> SqliteSession {
        let engine = self.opener.open().unwrap();
        let released = Arc::clone(&self.released);
        let hold = move |_: &rusqlite::functions::Context<'_>| {
            while !released.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(7)
        };
        engine.connection.create_scalar_function("hold", 0, FunctionFlags::SQLITE_UTF8, hold).unwrap();
        SqliteSession::new(Arc::clone(&self.opener), Arc::clone(&self.runs), engine)
    }

    fn submission(&self, sql: &str) -> Submission {
        submission(&self.store, sql)
    }

    async fn held(&self, sql: &str) -> (SqliteSession, RemoteHandle) {
        let mut session = self.session();
        let handle = session.submit(self.submission(sql)).await.unwrap();
        (session, handle)
    }

    fn cancel(&self, handle: &RemoteHandle) {
        assert!(self.runs.find(handle).unwrap().stop());
    }

    /// Waits until no thread of a statement that was given up is left.
    async fn threads_gone(&self) {
        self.released.store(true, Ordering::Release);
        let gone = async {
            while self.runs.given_up() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(BOUND, gone).await.unwrap();
    }
}

async fn end(session: &mut SqliteSession, handle: &RemoteHandle) -> Progress {
    tokio::time::timeout(BOUND, session.changed(handle)).await.expect("the statement is given up");
    session.check(handle).await.unwrap()
}

#[tokio::test]
async fn a_statement_that_does_not_stop_is_given_up_in_about_a_second() {
    let world = World::new(false);
    let (mut session, handle) = world.held("SELECT hold()").await;
    let asked = Instant::now();
    world.cancel(&handle);
    assert!(matches!(session.check(&handle).await.unwrap(), Progress::Running(_)), "it has its time to stop");
    assert_eq!(end(&mut session, &handle).await, Progress::Aborted);
    assert!(asked.elapsed() >= Duration::from_secs(1), "{:?}", asked.elapsed());
    assert_eq!(world.runs.given_up(), 1, "its thread is still there");
    world.threads_gone().await;
    assert_eq!(session.check(&handle).await.unwrap(), Progress::Aborted, "its late end changes nothing");
}

/// The engine looks at the clock between two steps only.
#[tokio::test]
async fn a_step_that_outlasts_the_time_limit_is_given_up_without_being_asked() {
    let world = World::new(false);
    let mut session = world.session();
    let submission =
        Submission { time_limit: Duration::from_millis(50), ..world.submission("SELECT hold()") };
    let handle = session.submit(submission).await.unwrap();
    assert_eq!(end(&mut session, &handle).await, Progress::TimedOut);
    world.threads_gone().await;
}

#[tokio::test]
async fn who_only_checks_learns_of_it_too() {
    let world = World::new(false);
    let (mut session, handle) = world.held("SELECT hold()").await;
    world.cancel(&handle);
    let told = async {
        while session.check(&handle).await.unwrap() != Progress::Aborted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(BOUND, told).await.unwrap();
    world.threads_gone().await;
}

#[tokio::test]
async fn a_write_that_was_given_up_is_never_seen() {
    let world = World::new(true);
    let (mut session, handle) = world.held("INSERT INTO regions VALUES (99, hold(), 'late')").await;
    world.cancel(&handle);
    assert_eq!(end(&mut session, &handle).await, Progress::Aborted);
    world.threads_gone().await;
    let late = "SELECT count(*) FROM regions WHERE id = 99";
    let engine = world.opener.open().unwrap();
    assert_eq!(engine.connection.query_row(late, [], |row| row.get::<_, i64>(0)), Ok(0));
    drop(session);
}

#[tokio::test]
async fn threads_that_were_given_up_do_not_pile_up() {
    let world = World::new(false);
    let mut held = Vec::new();
    for _ in 0..4 {
        let (session, handle) = world.held("SELECT hold()").await;
        world.cancel(&handle);
        held.push((session, handle));
    }
    for (session, handle) in &mut held {
        assert_eq!(end(session, handle).await, Progress::Aborted);
    }
    let mut session = world.session();
    let refused = session.submit(world.submission("SELECT 1")).await;
    assert!(
        matches!(&refused, Err(SubmitError::Rejected(error)) if error.kind == ErrorKind::Unavailable),
        "{refused:?}"
    );
    world.threads_gone().await;
    let handle = session.submit(world.submission("SELECT 1")).await.unwrap();
    assert!(matches!(end(&mut session, &handle).await, Progress::Succeeded(_)));
}
