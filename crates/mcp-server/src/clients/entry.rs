//! What a client is told to start, and the forms in which each client reads it.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::Client;

const PROGRAM: &str = "async-query-mcp";
/// Programs that start another one, named among their arguments.
const LAUNCHERS: [&str; 9] = ["npx", "npm", "pnpm", "bunx", "node", "cmd", "docker", "podman", "cargo"];

/// A server as a client starts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its variables, in their order.
    pub env: Vec<(String, String)>,
}

impl Entry {
    /// As `client` reads it under a name.
    pub fn to_json(&self, client: Client) -> Value {
        let mut entry = Map::new();
        // Claude Desktop knows no other kind and documents no such field.
        if client != Client::ClaudeDesktop {
            entry.insert("type".to_owned(), json!("stdio"));
        }
        entry.insert("command".to_owned(), json!(self.command));
        entry.insert("args".to_owned(), json!(self.args));
        if !self.env.is_empty() {
            let variables = self.env.iter().map(|(name, value)| (name.clone(), json!(value)));
            entry.insert("env".to_owned(), Value::Object(variables.collect()));
        }
        Value::Object(entry)
    }

    /// The link that makes `client` offer to add it, where the client has one.
    pub fn link(&self, client: Client, name: &str) -> Option<String> {
        let entry = self.to_json(client);
        match client {
            Client::Cursor => {
                let (name, config) = (percent(name), percent(&STANDARD.encode(entry.to_string())));
                Some(format!("cursor://anysphere.cursor-deeplink/mcp/install?name={name}&config={config}"))
            }
            Client::VsCode => {
                let mut named = Map::from_iter([("name".to_owned(), json!(name))]);
                named.extend(entry.as_object().cloned().unwrap_or_default());
                Some(format!("vscode:mcp/install?{}", percent(&Value::Object(named).to_string())))
            }
            Client::ClaudeDesktop | Client::ClaudeCode => None,
        }
    }
}

/// The program and the arguments of an entry that somebody wrote.
pub fn command_of(entry: &Value) -> (String, Vec<String>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let args = entry.get("args").and_then(Value::as_array);
    (entry.get("command").map(text).unwrap_or_default(), args.into_iter().flatten().map(text).collect())
}

/// Variables that somebody wrote into an entry. Their values may be secrets, so they have no text form.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Variables(Vec<(String, String)>);

impl Variables {
    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// The variables of an entry, but for those that the client fills in.
pub fn variables_of(entry: &Value) -> Variables {
    let all = entry.get("env").and_then(Value::as_object);
    let plain = |(name, value): (&String, &Value)| {
        let value = value.as_str().filter(|value| !value.contains("${"))?;
        Some((name.clone(), value.to_owned()))
    };
    Variables(all.into_iter().flatten().filter_map(plain).collect())
}

/// Whether a program is one that only starts another.
pub fn is_launcher(command: &str) -> bool {
    LAUNCHERS.contains(&program_of(command))
}

/// Whether an entry starts this server: by this very file, by its name, or through a launcher.
pub fn runs_this_server(entry: &Value, executable: &Path) -> bool {
    let (command, args) = command_of(entry);
    if command.is_empty() {
        return false;
    }
    let program = program_of(&command);
    program == PROGRAM
        || is_same_program(Path::new(&command), executable)
        || is_launcher(program) && args.iter().any(|argument| program_of(argument) == PROGRAM)
}

/// Also under the name of a link, as `install` writes it.
fn is_same_program(command: &Path, executable: &Path) -> bool {
    let real = |path: &Path| path.is_absolute().then(|| path.canonicalize().ok()).flatten();
    command == executable || real(command).is_some_and(|found| Some(found) == real(executable))
}

/// The name in a path or a package, without directory, extension and version.
fn program_of(text: &str) -> &str {
    let name = text.rsplit(['/', '\\']).next().unwrap_or(text);
    let name = name.split(['@', ':']).next().unwrap_or(name);
    [".exe", ".cmd", ".js"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// Everything but letters, digits and `-._~` as `%XX`.
fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            command: "/opt/Ünï/async-query-mcp".to_owned(),
            args: vec!["--database".to_owned(), "sqlite:/d/a&b?.db".to_owned()],
            env: vec![("ASYNC_QUERY_MCP_LOG_LEVEL".to_owned(), "info".to_owned())],
        }
    }

    fn unescape(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes().iter();
        while let Some(&byte) = rest.next() {
            let hex = |digit: &u8| char::from(*digit).to_digit(16).unwrap() as u8;
            bytes.push(match byte {
                b'%' => hex(rest.next().unwrap()) * 16 + hex(rest.next().unwrap()),
                byte => byte,
            });
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn each_client_gets_the_fields_it_reads() {
        let fields =
            |client| entry().to_json(client).as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(fields(Client::Cursor), ["type", "command", "args", "env"]);
        assert_eq!(fields(Client::ClaudeDesktop), ["command", "args", "env"]);
        let bare = Entry { env: Vec::new(), ..entry() };
        assert_eq!(bare.to_json(Client::ClaudeDesktop).get("env"), None);
    }

    #[test]
    fn cursors_link_carries_the_entry() {
        let link = entry().link(Client::Cursor, "my sql").unwrap();
        let query = link.strip_prefix("cursor://anysphere.cursor-deeplink/mcp/install?name=my%20sql&config=");
        let config = STANDARD.decode(unescape(query.unwrap())).unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config, entry().to_json(Client::Cursor));
    }

    #[test]
    fn vs_codes_link_carries_the_entry_and_its_name() {
        let link = entry().link(Client::VsCode, "sql").unwrap();
        let config = unescape(link.strip_prefix("vscode:mcp/install?").unwrap());
        let mut config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config.as_object_mut().unwrap().shift_remove("name"), Some(json!("sql")));
        assert_eq!(config, entry().to_json(Client::VsCode));
    }

    #[test]
    fn our_server_is_known_by_its_file_its_name_or_its_package() {
        let ours = |command: &str, args: &[&str]| {
            runs_this_server(&json!({"command": command, "args": args}), Path::new("/opt/renamed"))
        };
        assert!(ours("/usr/bin/async-query-mcp", &[]));
        assert!(ours(r"C:\Tools\async-query-mcp.exe", &[]));
        assert!(ours("/opt/renamed", &[]));
        assert!(ours("npx", &["-y", "async-query-mcp@0.1.0"]));
        assert!(ours("docker", &["run", "-i", "registry.example/async-query-mcp:1"]));
        assert!(!ours("/usr/bin/other", &["async-query-mcp"]));
        assert!(!ours("npx", &["-y", "other", "--dir", "/async-query-mcp-data"]));
        assert!(!runs_this_server(&json!({"url": "http://127.0.0.1"}), Path::new("")));
        assert!(!runs_this_server(&json!(7), Path::new("/opt/renamed")));
    }

    #[test]
    #[cfg(unix)]
    fn a_link_of_another_name_to_this_program_is_this_program() {
        let directory = tempfile::tempdir().unwrap();
        let [program, link, other] = ["program-1.0", "sql", "other"].map(|name| directory.path().join(name));
        std::fs::write(&program, "").unwrap();
        std::fs::write(&other, "").unwrap();
        std::os::unix::fs::symlink(&program, &link).unwrap();
        let entry = |path: &Path| serde_json::json!({ "command": path });
        assert!(runs_this_server(&entry(&link), &program) && runs_this_server(&entry(&program), &link));
        assert!(!runs_this_server(&entry(&other), &program));
    }
}
