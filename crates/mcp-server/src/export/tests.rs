//! Files that cannot be finished, over the real registry and a storage that runs full.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use registry_core::Backend;
use registry_core::options::QueryRequest;
use registry_core::registry::{RegistryConfig, StateLocation};
use registry_core::testing::scripted::{Script, ScriptedBackend};
use serde_json::json;

use super::*;

/// Takes so many bytes and no more.
struct Small {
    file: File,
    room: usize,
    settles: bool,
}

impl Write for Small {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.file.write(bytes.get(..taken).unwrap_or_default())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Storage for Small {
    fn settle(&mut self) -> io::Result<()> {
        // Some file systems tell of a full disk only now.
        if self.settles { self.file.settle() } else { Err(io::ErrorKind::StorageFull.into()) }
    }
}

async fn many_rows() -> (QueryRegistry, QueryId) {
    let rows = (0..50_000).map(|n| vec![json!(n), json!("some text")]).collect();
    let script = Script::at_once().with_rows(&[("n", "NUMBER"), ("text", "TEXT")], rows);
    let backend: Arc<dyn Backend> = Arc::new(ScriptedBackend::embedded().on("many", script));
    let connections = vec![("main".to_owned(), backend)];
    let config = RegistryConfig::default();
    let registry = QueryRegistry::open(config, StateLocation::Ephemeral, connections).await.unwrap();
    let id = registry.execute_query(QueryRequest::new("many")).await.unwrap().snapshot.query_id;
    registry.wait_for_end(id, Duration::from_secs(60)).await.unwrap();
    (registry, id)
}

async fn copy_into(room: usize, settles: bool) -> (Result<(Written, bool), ExportError>, usize) {
    let (registry, id) = many_rows().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("many.csv");
    let make = move |path: &Path| Ok(Small { file: draft::private_file(path)?, room, settles });
    let open = move || Target::at(&path, make);
    let outcome = copy(&registry, id, Format::Csv, open, |_| Ok(())).await;
    (outcome, std::fs::read_dir(dir.path()).unwrap().count())
}

#[tokio::test]
async fn a_disk_that_runs_full_leaves_nothing_and_is_told() {
    for (room, settles) in [(0, true), (7, true), (500_000, true), (usize::MAX, false)] {
        let (outcome, files) = copy_into(room, settles).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error, ExportError::DiskFull(_)), "{room}: {error}");
        assert!(error.to_string().contains("no space"), "{error}");
        assert_eq!(files, 0, "{room}");
    }
    let (outcome, files) = copy_into(usize::MAX, true).await;
    assert_eq!((outcome.unwrap().0.rows, files), (50_000, 1));
}

#[tokio::test]
async fn an_export_that_is_ended_or_dropped_leaves_nothing() {
    let (registry, id) = many_rows().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("many.csv");
    let mut pages = 0;
    let ended = write(&registry, id, Format::Csv, &path, |_| {
        pages += 1;
        if pages == 2 { Err(ExportError::Stopped) } else { Ok(()) }
    });
    assert_eq!(ended.await, Err(ExportError::Stopped));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let (begun, mut told) = tokio::sync::mpsc::unbounded_channel();
    let writing = write(&registry, id, Format::Csv, &path, |written| {
        begun.send(written).map_err(|_| ExportError::Stopped)
    });
    tokio::select! {
        biased;
        _ = told.recv() => {}
        _ = writing => panic!("it was to be dropped on its way"),
    }
    // What a dropped call has handed to another thread ends by itself.
    let gone = async {
        while std::fs::read_dir(dir.path()).unwrap().count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
}

#[tokio::test]
async fn a_file_that_appears_meanwhile_is_left_as_it_is() {
    let (registry, id) = many_rows().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("many.csv");
    let outcome = write(&registry, id, Format::Csv, &path, |_| {
        std::fs::write(&path, "somebody else's").unwrap();
        Ok(())
    });
    assert_eq!(outcome.await, Err(ExportError::Exists(path.clone())));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody else's");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
