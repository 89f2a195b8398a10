//! Who is alive on a state directory: one locked file for each server process.
//!
//! The lock tells a process that is gone from one that is there, at once, because the system releases it however the
//! process ends. The file's modification time tells a process that works from one that is stopped or stuck.
//!
//! The lock belongs to the open file, not to the process: a second opening is locked out even within one process, and
//! a child that is started inherits nothing, as every file is closed on exec. Linux and macOS lock with `flock`,
//! Windows with `LockFileEx`; there a file may be renamed and removed while it is open, because the standard library
//! opens it so that it may. Network file systems without locks are refused at registration.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::id::InstanceId;
use crate::state_dir::{StateDir, StateDirError, create_private_file, failed, remove};
use crate::tally;

/// The name of a file that is locked, or was.
const LOCKED: &str = "lock";
/// The name of a file whose lock is not taken yet.
const UNLOCKED: &str = "new";
/// Nobody needs so long between creating a file and locking it.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// What can be seen of the process behind an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// It is there and shows that it works.
    Alive,
    /// It is there and has not shown for longer than its lease that it works.
    Stalled,
    /// It has ended.
    Gone,
}

/// This process on a state directory, for as long as the value lives.
#[derive(Debug)]
pub struct Instance {
    id: InstanceId,
    state: StateDir,
    file: Mutex<File>,
}

impl Instance {
    /// Makes this process visible to the others, and clears away what ended ones left behind.
    pub fn register(state: &StateDir) -> Result<Self, StateDirError> {
        let id = InstanceId::generate();
        let file = publish(state, id).map_err(|error| failed(&state.instances(), &error))?;
        state.own().insert(id);
        state.clear_ended_instances();
        Ok(Self { id, state: state.clone(), file: Mutex::new(file) })
    }

    /// The name of this process.
    pub fn id(&self) -> InstanceId {
        self.id
    }

    /// Shows that this process works; to be called several times within a lease. When somebody has removed the file,
    /// it comes back.
    pub fn touch(&self) -> io::Result<()> {
        let mut file = self.file();
        if !lock_path(&self.state, self.id).try_exists()? {
            tracing::warn!(instance = %self.id, "the instance file was removed; others took this process for gone");
            *file = publish(&self.state, self.id)?;
        }
        file.set_modified(SystemTime::now())
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Instance {
    /// The file goes before its lock does. What cannot be removed now is cleared away by the next process.
    fn drop(&mut self) {
        self.state.own().remove(&self.id);
        if let Err(error) = clear(&lock_path(&self.state, self.id)) {
            tracing::debug!(instance = %self.id, %error, "the instance file stays behind");
        }
    }
}

impl StateDir {
    /// What can be seen of an instance; the file of one that is gone is removed. An instance of this very process is
    /// always alive.
    pub fn holder(&self, id: InstanceId, lease: Duration) -> Holder {
        if self.own().contains(&id) {
            return Holder::Alive;
        }
        let path = lock_path(self, id);
        match ended(&path) {
            Ok(true) => Holder::Gone,
            Ok(false) => at_work(&path, lease),
            // Without an answer nobody is declared gone; the sign of life may still tell that it stalled.
            Err(error) => {
                tracing::warn!(instance = %id, %error, "cannot tell whether the instance is alive");
                at_work(&path, lease)
            }
        }
    }

    fn clear_ended_instances(&self) {
        let Ok(entries) = std::fs::read_dir(self.instances()) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_old = || silence(&path).is_some_and(|silence| silence > ABANDONED_AFTER);
            let path = match path.extension().and_then(|extension| extension.to_str()) {
                Some(LOCKED) => path,
                Some(UNLOCKED) if is_old() => path,
                Some(name) if tally::FILES.contains(&name) => path.with_extension(LOCKED),
                _ => continue,
            };
            if let Err(error) = ended(&path) {
                tracing::debug!(path = %path.display(), %error, "an instance file stays behind");
            }
        }
    }
}

fn lock_path(state: &StateDir, id: InstanceId) -> PathBuf {
    state.instances().join(format!("{id}.{LOCKED}"))
}

/// The file gets its name when it is locked, so that nobody ever sees the one without the other.
fn publish(state: &StateDir, id: InstanceId) -> io::Result<File> {
    let unlocked = state.instances().join(format!("{id}.{UNLOCKED}"));
    let file = create_private_file(&unlocked)?;
    let published = file
        .try_lock()
        .map_err(io::Error::from)
        .and_then(|()| std::fs::rename(&unlocked, lock_path(state, id)));
    if let Err(error) = published {
        remove(&unlocked)?;
        return Err(error);
    }
    Ok(file)
}

/// Whether the process behind the file has ended; then the file is removed. The lock is asked for in its shared form,
/// so that two who ask at once do not take each other for the process.
fn ended(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        // A name that is not there is left alone, as the instance may just be about to take it again.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tidy(path, clear_tally(path));
            return Ok(true);
        }
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => {
            tidy(path, clear(path));
            Ok(true)
        }
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn at_work(path: &Path, lease: Duration) -> Holder {
    match silence(path) {
        Some(silence) if silence > lease => Holder::Stalled,
        _ => Holder::Alive,
    }
}

/// How long ago the last sign of life was; `None` where that cannot be told. A sign from the future is a fresh one.
fn silence(path: &Path) -> Option<Duration> {
    let modified = path.metadata().and_then(|metadata| metadata.modified()).ok()?;
    Some(modified.elapsed().unwrap_or_default())
}

/// Removes the file of an instance that has ended. Its tally goes first: while the file is there, both are found.
fn clear(path: &Path) -> io::Result<()> {
    clear_tally(path)?;
    remove(path)
}

fn clear_tally(path: &Path) -> io::Result<()> {
    tally::FILES.iter().try_for_each(|name| remove(&path.with_extension(name)))
}

fn tidy(path: &Path, removed: io::Result<()>) {
    if let Err(error) = removed {
        tracing::debug!(path = %path.display(), %error, "a file of an ended instance stays behind");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Child, Command, Stdio};
    use std::sync::atomic::{AtomicBool, Ordering};

    use tempfile::TempDir;

    use super::*;
    use crate::id::QueryId;

    const LEASE: Duration = Duration::from_secs(60);
    /// Set in a process that is to register in the directory it names.
    const DIRECTORY: &str = "INSTANCE_TEST_DIRECTORY";

    fn state() -> (TempDir, StateDir) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        (dir, state)
    }

    /// The same directory as another process sees it.
    fn seen_by_another(state: &StateDir) -> StateDir {
        StateDir::open(state.root()).unwrap()
    }

    fn files(state: &StateDir) -> usize {
        std::fs::read_dir(state.instances()).unwrap().count()
    }

    fn silent_for(instance: &Instance, silence: Duration) {
        instance.file().set_modified(SystemTime::now() - silence).unwrap();
    }

    #[test]
    fn an_instance_is_alive_until_it_is_dropped() {
        let (_dir, state) = state();
        let other = seen_by_another(&state);
        let instance = Instance::register(&state).unwrap();
        for _ in 0..2 {
            assert_eq!(state.holder(instance.id(), LEASE), Holder::Alive);
            assert_eq!(other.holder(instance.id(), LEASE), Holder::Alive);
        }
        let id = instance.id();
        drop(instance);
        assert_eq!(files(&state), 0);
        assert_eq!(state.holder(id, LEASE), Holder::Gone);
        assert_eq!(other.holder(id, LEASE), Holder::Gone);
    }

    #[test]
    fn an_instance_nobody_has_heard_of_is_gone() {
        let (_dir, state) = state();
        assert_eq!(state.holder(InstanceId::generate(), LEASE), Holder::Gone);
    }

    #[test]
    fn an_instance_without_signs_of_life_is_stalled_until_the_next_one() {
        let (_dir, state) = state();
        let other = seen_by_another(&state);
        let instance = Instance::register(&state).unwrap();
        silent_for(&instance, LEASE * 2);
        assert_eq!(other.holder(instance.id(), LEASE), Holder::Stalled);
        assert_eq!(files(&state), 1);
        instance.touch().unwrap();
        assert_eq!(other.holder(instance.id(), LEASE), Holder::Alive);
    }

    #[test]
    fn our_own_instance_is_never_stalled() {
        let (_dir, state) = state();
        let instance = Instance::register(&state).unwrap();
        silent_for(&instance, LEASE * 2);
        assert_eq!(state.clone().holder(instance.id(), LEASE), Holder::Alive);
    }

    #[test]
    fn a_sign_of_life_from_the_future_is_a_fresh_one() {
        let (_dir, state) = state();
        let instance = Instance::register(&state).unwrap();
        instance.file().set_modified(SystemTime::now() + LEASE * 100).unwrap();
        assert_eq!(seen_by_another(&state).holder(instance.id(), LEASE), Holder::Alive);
    }

    #[test]
    fn the_file_of_an_ended_instance_is_removed_when_it_is_asked_for() {
        let (_dir, state) = state();
        let id = InstanceId::generate();
        std::fs::write(lock_path(&state, id), "").unwrap();
        assert_eq!(state.holder(id, LEASE), Holder::Gone);
        assert_eq!(files(&state), 0);
    }

    #[test]
    fn a_tally_goes_with_its_instance_and_stays_while_that_is_there() {
        let (_dir, state) = state();
        let other = seen_by_another(&state);
        let tell = |id| state.write_tally(id, &[(QueryId::generate(), 7)].into()).unwrap();
        let instance = Instance::register(&state).unwrap();
        tell(instance.id());
        assert_eq!(other.holder(instance.id(), LEASE), Holder::Alive);
        other.clear_ended_instances();
        assert_eq!((files(&state), other.tally(instance.id()).len()), (2, 1));
        drop(instance);
        assert_eq!(files(&state), 0);
        let killed = InstanceId::generate();
        std::fs::write(lock_path(&state, killed), "").unwrap();
        tell(killed);
        assert_eq!(other.holder(killed, LEASE), Holder::Gone);
        assert_eq!(files(&state), 0);
    }

    #[test]
    fn two_who_ask_at_once_do_not_take_each_other_for_the_instance() {
        let (_dir, state) = state();
        let id = InstanceId::generate();
        std::fs::write(lock_path(&state, id), "").unwrap();
        let other = File::open(lock_path(&state, id)).unwrap();
        other.try_lock_shared().unwrap();
        assert_eq!(state.holder(id, LEASE), Holder::Gone);
    }

    #[test]
    fn registration_clears_away_what_ended_instances_left() {
        let (_dir, state) = state();
        let alive = Instance::register(&state).unwrap();
        silent_for(&alive, ABANDONED_AFTER * 2);
        let left = |name: String, age: Duration| {
            let file = File::create(state.instances().join(name)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        };
        left(format!("{}.lock", InstanceId::generate()), Duration::ZERO);
        left(format!("{}.new", InstanceId::generate()), ABANDONED_AFTER * 2);
        left(format!("{}.new", InstanceId::generate()), Duration::ZERO);
        for name in tally::FILES {
            left(format!("{}.{name}", InstanceId::generate()), Duration::ZERO);
        }
        left("notes.txt".to_owned(), ABANDONED_AFTER * 2);
        let other = seen_by_another(&state);
        let second = Instance::register(&other).unwrap();
        assert_eq!(other.holder(alive.id(), LEASE), Holder::Stalled);
        assert_eq!(state.holder(second.id(), LEASE), Holder::Alive);
        // The two of us, the one that is just being registered, and the file that is none of ours.
        assert_eq!(files(&state), 4);
    }

    #[test]
    fn a_file_that_somebody_removed_comes_back_with_the_next_sign_of_life() {
        let (_dir, state) = state();
        let other = seen_by_another(&state);
        let instance = Instance::register(&state).unwrap();
        std::fs::remove_file(lock_path(&state, instance.id())).unwrap();
        assert_eq!(other.holder(instance.id(), LEASE), Holder::Gone);
        instance.touch().unwrap();
        assert_eq!(other.holder(instance.id(), LEASE), Holder::Alive);
        drop(instance);
        assert_eq!(files(&state), 0);
    }

    #[test]
    fn a_registering_instance_is_never_seen_without_its_lock() {
        let (_dir, state) = state();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let other = seen_by_another(&state);
                    while !done.load(Ordering::Relaxed) {
                        other.clear_ended_instances();
                    }
                });
            }
            for _ in 0..300 {
                let instance = Instance::register(&state).unwrap();
                assert!(lock_path(&state, instance.id()).exists());
                let other = seen_by_another(&state);
                assert_eq!(other.holder(instance.id(), LEASE), Holder::Alive);
            }
            done.store(true, Ordering::Relaxed);
        });
    }

    // ---- another process

    /// Not a claim but the other process: does nothing unless it is started by [`start`].
    #[test]
    fn other_process() {
        let Some(directory) = std::env::var_os(DIRECTORY) else { return };
        let instance = Instance::register(&StateDir::open(directory).unwrap()).unwrap();
        // The test harness captures what is printed through it, so the line goes to the stream itself.
        use std::io::Write;
        writeln!(io::stdout(), "\ninstance {}", instance.id()).unwrap();
        // Lives until it is killed, or until the process that started it is gone.
        io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }

    /// The process, its name, and its output, which must stay open until it ends.
    fn start(state: &StateDir) -> (Child, InstanceId, impl Sized) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "instance::tests::other_process", "--nocapture"])
            .env(DIRECTORY, state.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let id =
            lines.by_ref().map(Result::unwrap).find_map(|line| line.strip_prefix("instance ")?.parse().ok());
        (child, id.unwrap(), lines)
    }

    #[test]
    fn a_killed_process_is_gone_at_once() {
        let (_dir, state) = state();
        let (mut child, id, _output) = start(&state);
        assert_eq!(state.holder(id, LEASE), Holder::Alive);
        assert_eq!(state.holder(id, Duration::ZERO), Holder::Stalled);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(files(&state), 1);
        assert_eq!(state.holder(id, LEASE), Holder::Gone);
        assert_eq!(files(&state), 0);
    }

    #[test]
    fn a_process_that_ends_well_leaves_no_file() {
        let (_dir, state) = state();
        let (mut child, id, _output) = start(&state);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(files(&state), 0);
        assert_eq!(state.holder(id, LEASE), Holder::Gone);
    }
}
