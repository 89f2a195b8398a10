//! The clients that this server is registered with, and whether what they are told to start still starts.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Stdio;

use registry_core::clock::seconds;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::How;
use super::report::{Finding, Report};
use crate::clients::entry::is_launcher;
use crate::clients::places::{Places, System};
use crate::clients::survey::{ClientFile, FileState, Registration, survey};

const SCOPE: &str = "clients";
/// More than that is no answer to a greeting.
const MOST_ANSWER: u64 = 1 << 20;

/// Takes one step for each client that has a file.
pub(super) async fn examine(report: &mut Report, how: How) {
    let found = tokio::task::spawn_blocking(files).await.unwrap_or_default();
    let registered = found.iter().any(|file| !own(file).is_empty());
    for file in &found {
        match &file.state {
            FileState::Missing => {}
            FileState::Unreadable(reason) => {
                let text = format!("{} cannot be read: {reason}", file.path.display());
                let mend = "Correct the file; the client reads it too.";
                report
                    .take(SCOPE, file.client.name(), async { Finding::warning("client_file", text, mend) })
                    .await;
            }
            FileState::Read(_) => {
                for registration in own(file) {
                    report.take(SCOPE, file.client.name(), started(file, registration, how)).await;
                }
            }
        }
    }
    if !registered {
        let text = "no client has this server registered; async-query-mcp install CLIENT does it";
        report.take(SCOPE, "registered", async { Finding::ok(text) }).await;
    }
}

fn files() -> Vec<ClientFile> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let project = std::env::current_dir().unwrap_or_default();
    let places = Places { system: System::current(), variable: &variable, project };
    let mut files = survey(&places, &std::env::current_exe().unwrap_or_default());
    // In the home directory the file of the project is that of the user.
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.path.clone()));
    files
}

fn own(file: &ClientFile) -> Vec<&Registration> {
    match &file.state {
        FileState::Read(all) => all.iter().filter(|one| one.runs_this_server).collect(),
        FileState::Missing | FileState::Unreadable(_) => Vec::new(),
    }
}

async fn started(file: &ClientFile, registration: &Registration, how: How) -> Finding {
    let entry = format!("{:?} in {}", registration.name, file.path.display());
    if is_launcher(&registration.command) {
        return Finding::skipped(format!("{entry} is started through {}; not tried", registration.command));
    }
    let problem = match timeout(how.patience, greeting(registration)).await {
        Ok(Ok(version)) => return Finding::ok(format!("{entry} starts and answers as version {version}")),
        Ok(Err(problem)) => problem,
        Err(_) => format!("no answer within {} s", seconds(how.patience)),
    };
    Finding::failed(
        "client_entry",
        format!("{entry} does not start a server: {problem}"),
        "Register it again with async-query-mcp install, or correct the entry by hand.",
    )
}

/// Starts the program as the client would, and returns the version that it answers with.
async fn greeting(registration: &Registration) -> Result<String, String> {
    let mut child = Command::new(&registration.command)
        .args(&registration.args)
        .envs(registration.env.iter())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{}: {error}", registration.command))?;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("its pipes are not open".to_owned());
    };
    let hello = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": { "name": "async-query-mcp doctor", "version": env!("CARGO_PKG_VERSION") },
        },
    });
    let sent = input.write_all(format!("{hello}\n").as_bytes()).await;
    let mut line = String::new();
    let mut output = BufReader::new(tokio::io::AsyncReadExt::take(output, MOST_ANSWER));
    let read = output.read_line(&mut line).await;
    drop(input);
    let ended = child.wait().await;
    sent.and(read.map(drop)).map_err(|error| error.to_string())?;
    let answer: Value = serde_json::from_str(&line).map_err(|_| match ended {
        Ok(status) => format!("it ended without an answer ({status})"),
        Err(error) => error.to_string(),
    })?;
    let version = answer.pointer("/result/serverInfo/version").and_then(Value::as_str);
    version.map(str::to_owned).ok_or_else(|| "its answer is not that of this server".to_owned())
}
