//! Where this process keeps its state, and how other processes know that it is alive.

use std::path::{Path, PathBuf};

use crate::error::{RegistryError, Result};
use crate::id::InstanceId;
use crate::instance::{Holder, Instance};
use crate::state_dir::StateDir;
use crate::tally::Tally;

/// This process on its state.
#[derive(Debug)]
pub(crate) enum Presence {
    /// On a directory that other processes may share.
    Shared {
        /// The directory.
        directory: StateDir,
        /// Our sign of life in it.
        instance: Instance,
    },
    /// Alone, on a directory that goes with us.
    Alone {
        /// Our name.
        id: InstanceId,
        /// The directory.
        directory: TemporaryDirectory,
    },
}

impl Presence {
    pub(crate) fn instance(&self) -> InstanceId {
        match self {
            Self::Shared { instance, .. } => instance.id(),
            Self::Alone { id, .. } => *id,
        }
    }

    pub(crate) fn results_directory(&self) -> PathBuf {
        match self {
            Self::Shared { directory, .. } => directory.results(),
            Self::Alone { directory, .. } => directory.path().to_owned(),
        }
    }

    /// Shows that this process is alive. Blocks for a moment.
    pub(crate) fn touch(&self) {
        if let Self::Shared { instance, .. } = self
            && let Err(error) = instance.touch()
        {
            tracing::warn!(%error, "cannot renew the sign of life");
        }
    }

    /// Whether the process called `id` is alive. Blocks for a moment.
    pub(crate) fn holder(&self, id: InstanceId, lease: std::time::Duration) -> Holder {
        match self {
            Self::Shared { directory, .. } => directory.holder(id, lease),
            Self::Alone { id: own, .. } if *own == id => Holder::Alive,
            // Nobody shares the state, so whoever left records here is gone.
            Self::Alone { .. } => Holder::Gone,
        }
    }

    /// Shows the other processes how many rows the queries here have so far. Blocks for a moment.
    pub(crate) fn write_tally(&self, tally: &Tally) -> std::io::Result<()> {
        match self {
            Self::Shared { directory, instance } => directory.write_tally(instance.id(), tally),
            Self::Alone { .. } => Ok(()),
        }
    }

    /// What the process called `id` told last of its rows; nothing if it is gone, as nothing arrives there any more.
    /// Blocks for a moment.
    pub(crate) fn tally(&self, id: InstanceId, lease: std::time::Duration) -> Tally {
        match self {
            Self::Shared { directory, .. } if self.holder(id, lease) != Holder::Gone => directory.tally(id),
            _ => Tally::new(),
        }
    }
}

/// A directory that is removed with the value.
#[derive(Debug)]
pub(crate) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    pub(crate) fn create(id: InstanceId) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("async-query-mcp-{id}"));
        let mut builder = std::fs::DirBuilder::new();
        // The place for temporary files is everybody's; the rows are not.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&path)
            .map_err(|error| RegistryError::Results(format!("cannot make {}: {error}", path.display())))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove the temporary directory");
        }
    }
}
