//! Where on this machine clients are told of this server.

use std::path::{Path, PathBuf};

use super::entry::{Variables, command_of, runs_this_server, variables_of};
use super::file::ConfigFile;
use super::places::Places;
use super::{Client, Scope, document};

/// The file of one client, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFile {
    /// The client.
    pub client: Client,
    /// For whom the file counts.
    pub scope: Scope,
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub state: FileState,
}

/// What a client's file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// There is none.
    Missing,
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// These servers are in it.
    Read(Vec<Registration>),
}

/// A server that a client is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The name of the entry.
    pub name: String,
    /// The program it starts; empty for a server that is no program.
    pub command: String,
    /// The arguments of the program.
    pub args: Vec<String>,
    /// The variables it is started with, as far as the client does not fill them in.
    pub env: Variables,
    /// Whether that program is this server.
    pub runs_this_server: bool,
}

/// Every known client's files on this machine; `executable` is a further file that counts as this server.
pub fn survey(places: &Places<'_>, executable: &Path) -> Vec<ClientFile> {
    let mut files = Vec::new();
    for client in Client::ALL {
        for scope in [Scope::User, Scope::Project] {
            let Some(path) = places.file(client, scope) else { continue };
            let state = state_of(&path, client, executable);
            files.push(ClientFile { client, scope, path, state });
        }
    }
    files
}

fn state_of(path: &Path, client: Client, executable: &Path) -> FileState {
    let file = match ConfigFile::read(path) {
        Ok(file) => file,
        Err(error) => return FileState::Unreadable(format!("{error:#}")),
    };
    let Some(text) = file.text() else { return FileState::Missing };
    let registration = |(name, entry): (String, serde_json::Value)| {
        let (command, args) = command_of(&entry);
        let env = variables_of(&entry);
        Registration { name, command, args, env, runs_this_server: runs_this_server(&entry, executable) }
    };
    match document::entries(text, client.key()) {
        Ok(entries) => FileState::Read(entries.into_iter().map(registration).collect()),
        Err(unfit) => FileState::Unreadable(unfit.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::clients::places::System;

    #[test]
    fn every_file_is_reported_with_what_is_in_it() {
        let home = tempfile::tempdir().unwrap();
        let project = home.path().join("project");
        fs::create_dir_all(home.path().join(".cursor")).unwrap();
        fs::create_dir_all(project.join(".vscode")).unwrap();
        let servers = r#"{"mcpServers": {"sql": {"command": "async-query-mcp", "args": ["--ephemeral"]}, "web": {"url": "x"}}}"#;
        fs::write(home.path().join(".cursor/mcp.json"), servers).unwrap();
        fs::write(project.join(".vscode/mcp.json"), "{\n  oops\n}").unwrap();
        let variable = |name: &str| (name == "HOME").then(|| home.path().to_owned());
        let places = Places { system: System::Linux, variable: &variable, project };
        let found = survey(&places, Path::new("/x"));
        assert_eq!(found.len(), 7);
        let state = |client, scope| {
            &found.iter().find(|file| (file.client, file.scope) == (client, scope)).unwrap().state
        };
        let FileState::Read(entries) = state(Client::Cursor, Scope::User) else { panic!("not read") };
        let sql = Registration {
            name: "sql".to_owned(),
            command: "async-query-mcp".to_owned(),
            args: vec!["--ephemeral".to_owned()],
            env: Variables::default(),
            runs_this_server: true,
        };
        assert_eq!(entries[0], sql);
        assert!(!entries[1].runs_this_server);
        assert_eq!(state(Client::ClaudeCode, Scope::User), &FileState::Missing);
        let FileState::Unreadable(reason) = state(Client::VsCode, Scope::Project) else { panic!("read") };
        assert!(reason.contains("line 2, column 3"), "{reason}");
    }
}
