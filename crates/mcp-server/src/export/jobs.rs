//! Files that are being written, and those that were: whoever asks for the same file again joins or finds it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use registry_core::QueryRegistry;
use registry_core::id::QueryId;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::draft::Stamp;
use super::{ExportError, Exported, Format, Written, blocking, directory, write};

/// Files that are written at the same time.
const MOST_AT_ONCE: usize = 4;
/// Finished files that are remembered.
const MOST_REMEMBERED: usize = 200;

/// The files of one server.
#[derive(Debug)]
pub struct Exports {
    jobs: Mutex<HashMap<String, Job>>,
    /// Owns the writing.
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// One file, being written or done.
#[derive(Debug, Clone)]
pub struct Job {
    /// Whose rows it gets.
    pub query: QueryId,
    /// How they are written.
    pub format: Format,
    /// Where it will be.
    pub path: PathBuf,
    progress: watch::Receiver<Progress>,
}

/// How far a file is.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// So much is in its draft.
    Writing(Written),
    /// It is there.
    Done(Exported),
    /// It will not come.
    Failed(ExportError),
}

impl Job {
    /// How far it is now.
    pub fn progress(&self) -> Progress {
        let progress = self.progress.borrow().clone();
        match progress {
            // Whoever wrote it is gone without a word.
            Progress::Writing(_) if self.progress.has_changed().is_err() => {
                let last = self.progress.borrow().clone();
                if matches!(last, Progress::Writing(_)) { given_up() } else { last }
            }
            progress => progress,
        }
    }

    /// Returns when it is done or has failed.
    pub async fn ended(&self) {
        let mut progress = self.progress.clone();
        // An error is that of a writer that is gone, which is an end too.
        let _ = progress.wait_for(|progress| !matches!(progress, Progress::Writing(_))).await;
    }

    fn is_writing(&self) -> bool {
        matches!(self.progress(), Progress::Writing(_))
    }
}

fn given_up() -> Progress {
    Progress::Failed(ExportError::Fault("its writer is gone".to_owned()))
}

impl Exports {
    /// No files yet; writing ends with `stop`.
    pub fn new(stop: CancellationToken) -> Self {
        Self { jobs: Mutex::default(), tasks: TaskTracker::new(), stop }
    }

    /// Begins to write the result of `query` into the file `name` of `directory`, or finds that this is going on or
    /// done. `name` is one that [`super::file_name`] gave.
    pub async fn begin(
        &self,
        registry: &QueryRegistry,
        query: QueryId,
        format: Format,
        directory: &Path,
        name: &str,
    ) -> Result<Job, ExportError> {
        let (directory, name) = (directory.to_path_buf(), name.to_owned());
        let place = {
            let name = name.clone();
            blocking(move || directory::place(&directory, &name))
        };
        let path = place.await?;
        self.drop_if_changed(&name, &path).await?;
        let mut jobs = self.lock();
        if let Some(job) = jobs.get(&name) {
            let same = job.query == query && job.format == format;
            match job.is_writing() {
                _ if same => return Ok(job.clone()),
                true => return Err(ExportError::Taken { path, query: job.query }),
                false => {}
            }
        }
        make_room(&mut jobs)?;
        let (news, progress) = watch::channel(Progress::Writing(Written::default()));
        let job = Job { query, format, path, progress };
        self.tasks.spawn(run(registry.clone(), job.clone(), self.stop.clone(), news));
        jobs.insert(name, job.clone());
        Ok(job)
    }

    /// A failure has been told: the next asker begins anew.
    pub fn forget(&self, job: &Job) {
        self.lock().retain(|_, known| !known.progress.same_channel(&job.progress));
    }

    /// Waits until nothing is written any more, once `stop` was cancelled.
    pub async fn close(&self, patience: Duration) {
        self.tasks.close();
        if timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!("the writing of a file did not end in time");
        }
    }

    /// A finished file that was removed or changed since is no longer ours to speak of.
    async fn drop_if_changed(&self, name: &str, path: &Path) -> Result<(), ExportError> {
        let Some(job) = self.lock().get(name).cloned() else { return Ok(()) };
        let Progress::Done(done) = job.progress() else { return Ok(()) };
        let path = path.to_path_buf();
        let stamp = blocking(move || Ok(Stamp::of(&path))).await?;
        if stamp.is_none() || stamp != done.stamp {
            self.forget(&job);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Job>> {
        // The map is whole at every moment.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(jobs: &mut HashMap<String, Job>) -> Result<(), ExportError> {
    if jobs.values().filter(|job| job.is_writing()).count() >= MOST_AT_ONCE {
        return Err(ExportError::TooMany(MOST_AT_ONCE));
    }
    if jobs.len() >= MOST_REMEMBERED {
        jobs.retain(|_, job| job.is_writing());
    }
    Ok(())
}

async fn run(registry: QueryRegistry, job: Job, stop: CancellationToken, news: watch::Sender<Progress>) {
    let outcome = write_swept(&registry, &job, |written| {
        news.send_replace(Progress::Writing(written));
        if stop.is_cancelled() { Err(ExportError::Stopped) } else { Ok(()) }
    });
    let outcome = outcome.await;
    match &outcome {
        Ok(done) => tracing::info!(query_id = %job.query, rows = done.written.rows, "result exported"),
        Err(error) => tracing::warn!(query_id = %job.query, %error, "a result was not exported"),
    }
    news.send_replace(outcome.map_or_else(Progress::Failed, Progress::Done));
}

async fn write_swept(
    registry: &QueryRegistry,
    job: &Job,
    news: impl FnMut(Written) -> Result<(), ExportError>,
) -> Result<Exported, ExportError> {
    let directory = job.path.parent().map(Path::to_path_buf).unwrap_or_default();
    blocking(move || {
        directory::sweep(&directory);
        Ok(())
    })
    .await?;
    write(registry, job.query, job.format, &job.path, news).await
}
