//! `install` and `uninstall`: the files of the clients, through the real binary and in a home directory of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so and stops")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_async-query-mcp");

/// A home directory and a project in it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir(home.project()).unwrap();
        home
    }

    fn project(&self) -> PathBuf {
        self.0.path().join("project")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        for name in ["XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "APPDATA", "LOCALAPPDATA", "RUST_LOG"] {
            command.env_remove(name);
        }
        command.env("HOME", self.0.path()).env("USERPROFILE", self.0.path()).stdin(Stdio::null());
        command.current_dir(self.project()).args(args).output().unwrap()
    }

    fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", err(&output));
        out(&output)
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(fs::read_to_string(path).unwrap().trim_start_matches('\u{feff}')).unwrap()
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// Arguments that choose a file, the file on Linux, and the key of its servers.
#[cfg(target_os = "linux")]
const TARGETS: [(&[&str], &str, &str); 7] = [
    (&["cursor"], ".cursor/mcp.json", "mcpServers"),
    (&["cursor", "--project"], "project/.cursor/mcp.json", "mcpServers"),
    (&["claude-desktop"], ".config/Claude/claude_desktop_config.json", "mcpServers"),
    (&["claude-code"], ".claude.json", "mcpServers"),
    (&["claude-code", "--project"], "project/.mcp.json", "mcpServers"),
    (&["vscode"], ".config/Code/User/mcp.json", "servers"),
    (&["vscode", "--project"], "project/.vscode/mcp.json", "servers"),
];

/// Files as they are found, with KEY for the key of the servers.
#[cfg(target_os = "linux")]
const FOUND: [&str; 15] = [
    "",
    "\n",
    "{}",
    "{ }\n",
    "{\n}\n",
    "{\"KEY\": {}}",
    "{\n  \"KEY\": {\n  }\n}\n",
    "{\"KEY\":{\"web\":{\"url\":\"https://example.com\"}}}",
    "{\n    // my servers\n    \"KEY\": {\n        \"web\": {\"command\": \"w\"} // the browser\n    },\n    \"x\": 1\n}\n",
    "{\n  \"KEY\": {\n    \"web\": {\n      \"command\": \"w\",\n    },\n  },\n}\n",
    "{\r\n\t\"KEY\": {\r\n\t\t\"web\": {}\r\n\t}\r\n}\r\n",
    "\u{feff}{\n  \"theme\": \"dark\"\n}",
    "/* nothing yet */",
    "{\"KEY\": {\"async-query\": {\"command\": \"something-else\", \"env\": {\"A\": \"b\"}}}}",
    "{\n  \"KEY\": {\n    \"async-query\": 7, // odd\n    \"last\": {}\n  }\n}",
];

#[test]
#[cfg(target_os = "linux")]
fn every_client_is_told_what_to_start_and_a_file_made_for_it_goes_again() {
    for (target, path, key) in TARGETS {
        let home = Home::new();
        home.done(&[&["install"], target, &["--yes", "--ephemeral"]].concat());
        let entry = &json_of(&home.at(path))[key]["async-query"];
        assert_eq!(entry["command"], json!(BINARY), "{target:?}");
        assert_eq!(entry["args"], json!(["--ephemeral"]));
        home.done(&[&["uninstall"], target, &["--yes"]].concat());
        assert!(!home.at(path).exists(), "{target:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn uninstalling_restores_every_file_byte_for_byte() {
    for (target, path, key) in TARGETS {
        let home = Home::new();
        let file = home.at(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        for found in FOUND {
            let before = found.replace("KEY", key);
            fs::write(&file, &before).unwrap();
            home.done(&[&["install"], target, &["--yes"]].concat());
            assert_ne!(fs::read_to_string(&file).unwrap(), before);
            home.done(&[&["uninstall"], target, &["--yes"]].concat());
            assert_eq!(fs::read_to_string(&file).unwrap(), before, "{target:?}");
        }
        let left = names_in(file.parent().unwrap());
        assert!(!left.iter().any(|name| name.contains("backup") || name.ends_with(".new")), "{left:?}");
    }
}

#[test]
fn the_flags_that_were_typed_are_in_the_entry_with_absolute_paths() {
    let home = Home::new();
    let flags = ["--database", "sqlite:shop.db", "--state-dir", "state", "--max-running", "2"];
    let more = [
        "--name",
        "shop",
        "--env",
        "ASYNC_QUERY_MCP_LOG_LEVEL=debug",
        "--env",
        "SNOWFLAKE_PASSWORD=${env:PW}",
    ];
    home.done(&[&["install", "cursor", "--project", "--yes"], &flags[..], &more[..]].concat());
    let entry = &json_of(&home.project().join(".cursor/mcp.json"))["mcpServers"]["shop"];
    let project = home.project().canonicalize().unwrap();
    let database = format!("sqlite:{}", project.join("shop.db").display());
    let state = project.join("state").display().to_string();
    assert_eq!(entry["args"], json!(["--database", database, "--state-dir", state, "--max-running", "2"]));
    let env = json!({"ASYNC_QUERY_MCP_LOG_LEVEL": "debug", "SNOWFLAKE_PASSWORD": "${env:PW}"});
    assert_eq!(entry["env"], env);
}

#[test]
fn without_a_terminal_and_without_yes_the_change_is_shown_and_not_made() {
    let home = Home::new();
    let refused = home.run(&["install", "cursor"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(out(&refused).contains("+    \"async-query\": {"), "{}", out(&refused));
    assert!(err(&refused).contains("--yes") && err(&refused).contains("--dry-run"), "{}", err(&refused));
    let shown = home.done(&["install", "cursor", "--dry-run"]);
    assert_eq!(shown, out(&refused));
    assert!(!home.at(".cursor").exists());
}

#[test]
fn the_file_as_it_was_is_kept_and_no_copy_is_overwritten() {
    let home = Home::new();
    fs::create_dir(home.at(".cursor")).unwrap();
    let texts = ["{\"a\": 1}", "{\"a\": 2}", "{\"a\": 3}"];
    for text in texts {
        fs::write(home.at(".cursor/mcp.json"), text).unwrap();
        home.done(&["install", "cursor", "--yes"]);
    }
    let names = names_in(&home.at(".cursor"));
    let kept: Vec<&String> = names.iter().filter(|name| name.starts_with("mcp.json.backup-")).collect();
    let kept: Vec<String> =
        kept.iter().map(|name| fs::read_to_string(home.at(".cursor").join(name)).unwrap()).collect();
    assert_eq!(kept, texts);
}

#[test]
fn a_broken_file_is_refused_with_the_place_and_left_alone() {
    let home = Home::new();
    fs::create_dir(home.at(".cursor")).unwrap();
    let file = home.at(".cursor/mcp.json");
    for (text, place) in [("{\n  \"mcpServers\": {,}\n}", "line 2, column 18"), ("[1]", "line 1, column 1")] {
        fs::write(&file, text).unwrap();
        for command in ["install", "uninstall"] {
            let refused = home.run(&[command, "cursor", "--yes"]);
            assert_eq!(refused.status.code(), Some(2));
            assert!(err(&refused).contains(place) && err(&refused).contains("mcp.json"), "{}", err(&refused));
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    fs::write(&file, b"{\"a\": \"\xff\"}").unwrap();
    assert!(err(&home.run(&["install", "cursor", "--yes"])).contains("UTF-8"));
    assert_eq!(names_in(&home.at(".cursor")), ["mcp.json"]);
}

#[test]
fn the_same_entry_again_changes_nothing() {
    let home = Home::new();
    home.done(&["install", "cursor", "--yes"]);
    let first = fs::read(home.at(".cursor/mcp.json")).unwrap();
    let again = home.run(&["install", "cursor"]);
    assert_eq!(again.status.code(), Some(0));
    assert!(err(&again).contains("already"), "{}", err(&again));
    assert_eq!(fs::read(home.at(".cursor/mcp.json")).unwrap(), first);
    assert_eq!(names_in(&home.at(".cursor")), ["mcp.json"]);
}

#[test]
fn an_entry_that_was_installed_twice_goes_at_once() {
    let home = Home::new();
    fs::create_dir(home.at(".cursor")).unwrap();
    fs::write(home.at(".cursor/mcp.json"), "{\n}").unwrap();
    home.done(&["install", "cursor", "--yes"]);
    home.done(&["install", "cursor", "--yes", "--ephemeral"]);
    home.done(&["uninstall", "cursor", "--yes"]);
    assert_eq!(fs::read_to_string(home.at(".cursor/mcp.json")).unwrap(), "{\n}");
}

#[test]
fn entries_of_two_names_come_and_go_in_any_order() {
    let home = Home::new();
    fs::create_dir(home.at(".cursor")).unwrap();
    let file = home.at(".cursor/mcp.json");
    let before = "{\n\t\"mcpServers\": { },\n\t\"theme\": \"dark\"\n}\n";
    for order in [["a", "b"], ["b", "a"]] {
        fs::write(&file, before).unwrap();
        home.done(&["install", "cursor", "--yes", "--name", "a"]);
        home.done(&["install", "cursor", "--yes", "--name", "b", "--ephemeral"]);
        for name in order {
            home.done(&["uninstall", "cursor", "--yes", "--name", name]);
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), before, "{order:?}");
    }
}

#[test]
fn what_the_user_changed_in_between_stays() {
    let home = Home::new();
    home.done(&["install", "cursor", "--yes"]);
    let file = home.at(".cursor/mcp.json");
    let edited = fs::read_to_string(&file).unwrap().replacen('{', "{\n  // mine\n  \"theme\": \"dark\",", 1);
    fs::write(&file, edited).unwrap();
    home.done(&["uninstall", "cursor", "--yes"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "{\n  // mine\n  \"theme\": \"dark\"\n}\n");
}

#[test]
fn an_entry_that_runs_something_else_is_not_taken_out_and_not_replaced_unsaid() {
    let home = Home::new();
    let file = home.project().join(".mcp.json");
    let text = "{\"mcpServers\": {\"async-query\": {\"command\": \"other\"}}}";
    fs::write(&file, text).unwrap();
    let refused = home.run(&["uninstall", "claude-code", "--project", "--yes"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(err(&refused).contains("something else"), "{}", err(&refused));
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    let shown = home.run(&["install", "claude-code", "--project", "--dry-run"]);
    assert!(err(&shown).contains("replaces an entry") && err(&shown).contains("--name"), "{}", err(&shown));
    let absent = home.run(&["uninstall", "cursor", "--yes"]);
    assert_eq!(absent.status.code(), Some(0));
    assert!(err(&absent).contains("no entry"), "{}", err(&absent));
}

#[test]
fn a_secret_is_refused_before_anything_is_shown_or_written() {
    let home = Home::new();
    for given in [
        ["--env", "SNOWFLAKE_PASSWORD=hunter2"],
        ["--env", "PRIVATE_KEY_PASSPHRASE=hunter2"],
        ["--env", "X=postgres://ada:hunter2@db/shop"],
        ["--env", "KEY=-----BEGIN PRIVATE KEY-----hunter2"],
        ["--database", "sqlite:/x.db?password=hunter2"],
    ] {
        for how in ["--yes", "--dry-run", "--print"] {
            let refused = home.run(&["install", "cursor", how, given[0], given[1]]);
            assert_eq!(refused.status.code(), Some(2), "{given:?}");
            let said = err(&refused) + &out(&refused);
            assert!(said.contains("connections.toml") && said.contains(given[0]), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
    let malformed = home.run(&["install", "cursor", "--env", "hunter2-"]);
    assert_eq!(malformed.status.code(), Some(2));
    assert!(!home.at(".cursor").exists());
}

#[test]
fn secrets_of_other_servers_are_not_shown_and_not_lost() {
    let home = Home::new();
    let file = home.project().join(".mcp.json");
    let text = "{\n  \"mcpServers\": {\n    \"web\": {\n      \"env\": {\n        \"API_KEY\": \"hunter2\"\n      }\n    }\n  }\n}\n";
    fs::write(&file, text).unwrap();
    let shown = home.done(&["install", "claude-code", "--project", "--yes"]);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(fs::read_to_string(&file).unwrap().contains("\"API_KEY\": \"hunter2\""));
}

#[test]
fn printing_shows_the_entry_and_the_link_and_changes_nothing() {
    let home = Home::new();
    for (client, key, link) in [
        ("cursor", "mcpServers", Some("cursor://anysphere.cursor-deeplink/mcp/install?name=sql&config=")),
        ("vscode", "servers", Some("vscode:mcp/install?%7B%22name%22%3A%22sql%22")),
        ("claude-desktop", "mcpServers", None),
        ("claude-code", "mcpServers", None),
    ] {
        let printed = home.done(&["install", client, "--name", "sql", "--print", "--ephemeral"]);
        let mut values = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
        let shown = values.next().unwrap().unwrap();
        assert_eq!(shown[key]["sql"]["args"], json!(["--ephemeral"]), "{client}");
        let rest = printed[values.byte_offset()..].trim();
        assert_eq!(rest.is_empty(), link.is_none(), "{rest}");
        assert!(rest.starts_with(link.unwrap_or_default()), "{rest}");
    }
    assert_eq!(names_in(home.0.path()), ["project"]);
}

#[test]
fn programs_get_one_document_and_are_never_asked() {
    let home = Home::new();
    let report = |args: &[&str]| serde_json::from_str::<Value>(&home.done(args)).unwrap();
    let unasked = home.run(&["install", "cursor", "--json"]);
    assert_eq!((unasked.status.code(), out(&unasked)), (Some(2), String::new()));
    assert!(err(&unasked).contains("--dry-run"), "{}", err(&unasked));

    let planned = report(&["install", "cursor", "--json", "--dry-run"]);
    assert_eq!((&planned["outcome"], &planned["client"]), (&json!("dry_run"), &json!("cursor")));
    assert!(!home.at(".cursor/mcp.json").exists());
    let installed = report(&["install", "cursor", "--json", "--yes"]);
    assert_eq!((&installed["outcome"], &installed["change"]), (&json!("installed"), &planned["change"]));
    assert_eq!(installed["file"], home.at(".cursor/mcp.json").to_str().unwrap());
    assert!(installed["change"].as_str().unwrap().contains("+"), "{installed}");
    assert_eq!(json_of(&home.at(".cursor/mcp.json"))["mcpServers"]["async-query"]["args"], json!([]));
    assert_eq!(report(&["install", "cursor", "--json", "--yes"])["outcome"], "already_installed");
    assert_eq!(report(&["uninstall", "cursor", "--json", "--yes"])["outcome"], "uninstalled");
    assert_eq!(report(&["uninstall", "cursor", "--json", "--yes"])["outcome"], "not_installed");

    let printed = report(&["install", "vscode", "--json", "--print"]);
    assert!(printed["entry"]["servers"]["async-query"]["command"].is_string(), "{printed}");
    assert!(printed["link"].as_str().unwrap().starts_with("vscode:"), "{printed}");
}

#[test]
fn a_client_without_a_project_file_and_a_name_that_no_client_takes_are_refused() {
    let home = Home::new();
    let refused = home.run(&["install", "claude-desktop", "--project", "--yes"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(err(&refused).contains("--project"), "{}", err(&refused));
    for name in ["", "two words", "a/b", &"x".repeat(33)] {
        assert_eq!(home.run(&["install", "cursor", "--yes", "--name", name]).status.code(), Some(2));
    }
}

#[test]
fn another_file_can_be_named() {
    let home = Home::new();
    home.done(&["install", "vscode", "--yes", "--file", "profile/mcp.json"]);
    assert!(home.project().join("profile/mcp.json").exists());
    home.done(&["uninstall", "vscode", "--yes", "--file", "profile/mcp.json"]);
    assert!(!home.project().join("profile/mcp.json").exists());
}

#[test]
#[cfg(unix)]
fn a_read_only_file_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let file = home.project().join(".mcp.json");
    fs::write(&file, "{}").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    let refused = home.run(&["install", "claude-code", "--project", "--yes"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(err(&refused).contains("read-only"), "{}", err(&refused));
    assert_eq!(fs::read_to_string(&file).unwrap(), "{}");
    assert_eq!(names_in(&home.project()), [".mcp.json"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    home.done(&["install", "claude-code", "--project", "--yes"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(home.run(&["uninstall", "claude-code", "--project", "--yes"]).status.code(), Some(2));
    assert!(fs::read_to_string(&file).unwrap().contains("async-query"));
}

#[test]
#[cfg(unix)]
fn a_link_stays_a_link_and_its_target_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    fs::create_dir(home.at("dotfiles")).unwrap();
    let target = home.at("dotfiles/claude.json");
    fs::write(&target, "{}").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("dotfiles/claude.json", home.at(".claude.json")).unwrap();
    home.done(&["install", "claude-code", "--yes"]);
    assert!(fs::symlink_metadata(home.at(".claude.json")).unwrap().is_symlink());
    assert!(fs::read_to_string(&target).unwrap().contains("async-query"));
    for name in names_in(&home.at("dotfiles")) {
        let mode = fs::metadata(home.at("dotfiles").join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640, "{name}");
    }
    home.done(&["uninstall", "claude-code", "--yes"]);
    assert_eq!(fs::read_to_string(&target).unwrap(), "{}");
}

#[test]
#[cfg(unix)]
fn a_link_to_nothing_gets_its_target() {
    let home = Home::new();
    fs::create_dir(home.at("dotfiles")).unwrap();
    std::os::unix::fs::symlink(home.at("dotfiles/claude.json"), home.at(".claude.json")).unwrap();
    home.done(&["install", "claude-code", "--yes"]);
    assert!(home.at("dotfiles/claude.json").exists());
}
