//! The page on clients names the files, entries and links that `install` uses.

use std::fmt::Write as _;
use std::path::PathBuf;

use mcp_server::clients::entry::Entry;
use mcp_server::clients::places::{Places, System};
use mcp_server::clients::{Client, Scope};
use serde_json::json;

use crate::made;

const PAGE: &str = "docs/clients.md";

fn entry() -> Entry {
    Entry {
        command: "/home/you/.cargo/bin/async-query-mcp".to_owned(),
        args: vec!["--database".to_owned(), "sqlite:/home/you/data/shop.db".to_owned()],
        env: Vec::new(),
    }
}

/// The file as a reader of that system writes it.
fn file(system: System, client: Client, scope: Scope) -> String {
    let variable = |name: &str| match name {
        "HOME" => Some(PathBuf::from("~")),
        "USERPROFILE" | "APPDATA" => Some(PathBuf::from(format!("%{name}%"))),
        _ => None,
    };
    let found = Places { system, variable: &variable, project: PathBuf::new() }.file(client, scope);
    let Some(path) = found else { return "none".to_owned() };
    let path = path.display().to_string();
    format!("`{}`", if system == System::Windows { path.replace('/', "\\") } else { path })
}

fn files() -> String {
    let mut out = "| client | Linux | macOS | Windows | of a project |\n|---|---|---|---|---|\n".to_owned();
    for client in Client::ALL {
        let user =
            [System::Linux, System::Mac, System::Windows].map(|system| file(system, client, Scope::User));
        let project = file(System::Linux, client, Scope::Project);
        writeln!(out, "| {} | {} | {project} |", client.name(), user.join(" | ")).unwrap();
    }
    out
}

fn by_hand(client: Client) -> String {
    let servers = json!({ client.key(): { "async-query": entry().to_json(client) } });
    format!("```json\n{servers:#}\n```\n")
}

fn link(client: Client) -> String {
    format!("```text\n{}\n```\n", entry().link(client, "async-query").unwrap())
}

#[test]
fn the_page_on_clients_shows_what_install_writes() {
    made::part(PAGE, "files", &files(), made::exactly);
    for client in Client::ALL {
        made::part(PAGE, &format!("{} by hand", client.name()), &by_hand(client), made::exactly);
    }
    for client in [Client::Cursor, Client::VsCode] {
        made::part(PAGE, &format!("link for {}", client.name()), &link(client), made::exactly);
    }
}

#[test]
fn the_page_on_clients_says_what_to_do_next() {
    let text = crate::pages::one(PAGE).text.split_whitespace().collect::<Vec<_>>().join(" ");
    for client in Client::ALL {
        assert!(text.contains(client.next_step()), "{}", client.name());
    }
}
