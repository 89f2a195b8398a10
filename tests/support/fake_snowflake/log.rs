//! What the service did, a JSON object for each call and each execution.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::history::now_ms;

/// The log; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Log {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Value>,
    file: Option<File>,
    calls: u64,
}

impl Log {
    pub(super) fn open(path: Option<&Path>) -> std::io::Result<Self> {
        let file = path.map(|path| File::options().create(true).append(true).open(path)).transpose()?;
        let inner = Inner { file, ..Inner::default() };
        Ok(Self { inner: Arc::new(Mutex::new(inner)) })
    }

    /// Everything so far.
    pub fn entries(&self) -> Vec<Value> {
        self.with(|inner| inner.entries.clone())
    }

    /// The entries of one event: `submit`, `execute`, `cancel`, `check`, `fetch`, `chunk`, `login`, `renew`,
    /// `heartbeat`, `logout`, `end`.
    pub fn events(&self, event: &str) -> Vec<Value> {
        self.entries().into_iter().filter(|entry| entry["event"] == event).collect()
    }

    /// How many entries an event has.
    pub fn count(&self, event: &str) -> usize {
        self.events(event).len()
    }

    /// The number of the next call.
    pub(super) fn next_call(&self) -> u64 {
        self.with(|inner| {
            inner.calls += 1;
            inner.calls
        })
    }

    pub(super) fn write(&self, mut entry: Value) {
        entry["at_ms"] = json!(now_ms());
        self.with(|inner| {
            if let Some(file) = &mut inner.file {
                // In one piece, because the service may be killed at any moment. A log that cannot be written is no
                // reason to fail a call; the tests read it from memory too.
                file.write_all(format!("{entry}\n").as_bytes()).ok();
            }
            inner.entries.push(entry);
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One call on its way into the log. It is written when dropped, so that a caller who hangs up is seen too.
#[derive(Debug)]
pub(super) struct Entry {
    log: Log,
    fields: Map<String, Value>,
}

impl Entry {
    pub(super) fn new(log: &Log, event: &str) -> Self {
        let mut entry = Self { log: log.clone(), fields: Map::new() };
        entry.set("event", json!(event));
        entry
    }

    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.fields.insert(name.to_owned(), value);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.log.write(Value::Object(std::mem::take(&mut self.fields)));
    }
}
