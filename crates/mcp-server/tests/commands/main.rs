//! The commands beside running servers: real processes on one state directory.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so and stops")]

mod arrivals;
mod cancel;
mod context;
mod list;
mod orphans;
mod output;
mod prune;
mod result;
mod rows_so_far;
mod status;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::server_process::ServerProcess;

const BINARY: &str = env!("CARGO_BIN_EXE_async-query-mcp");

/// Never ends, and produces no row.
const ENDLESS: &str =
    "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";

/// A state directory that processes share.
struct State {
    directory: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl State {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    /// A directory that was used and holds no query.
    fn emptied() -> Self {
        let state = Self::new();
        state.statement("select 1");
        assert_eq!(state.run(&["prune", "--all"]).code, 0);
        state
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn serve(&self, arguments: &[&str]) -> ServerProcess {
        let mut server = ServerProcess::spawn_with(BINARY, &self.path(), arguments, &self.variables);
        server.initialize();
        server
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("--state-dir").arg(self.path()).args(arguments);
        command.env_remove("RUST_LOG").env_remove("NO_COLOR").stdin(Stdio::null());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }

    /// Runs one statement by hand; returns its id.
    fn statement(&self, sql: &str) -> String {
        let ran = self.run(&["run", sql, "--json"]);
        let told: Value = serde_json::from_str(ran.err.trim()).unwrap();
        assert_eq!(ran.code, 0, "{ran:?}");
        told["query_id"].as_str().unwrap().to_owned()
    }

    /// The document of `list --json`.
    fn listed(&self, arguments: &[&str]) -> Vec<Value> {
        let ran = self.run(&[&["list", "--json"], arguments].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.json()["queries"].as_array().unwrap().clone()
    }
}

/// What a command left.
#[derive(Debug)]
struct Ran {
    out: String,
    err: String,
    code: i32,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { out: text(&output.stdout), err: text(&output.stderr), code: output.status.code().unwrap() }
    }

    fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.out).unwrap()
    }

    /// The error that a program reads.
    fn error(&self) -> Value {
        let document: Value = serde_json::from_str(self.err.trim()).unwrap();
        document["error"].clone()
    }
}

fn words<'a>(values: &'a [Value], field: &str) -> Vec<&'a str> {
    values.iter().map(|value| value[field].as_str().unwrap_or("-")).collect()
}
