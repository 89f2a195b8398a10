//! What agents and people are told when Snowflake cannot do what was asked, kept as text so that every change is read.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p mcp-server --test stdio failures` writes `tests/stdio/snapshots` anew.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;
use support::fake_snowflake::faults::Misbehaviour;
use support::server_process::PATIENCE;

use crate::site::{Site, refused};
use crate::snowflake::APIS;

/// A failure: its name, how it is made, the statement that meets it.
type Case = (&'static str, fn(Site) -> Site, &'static str);

const CASES: [Case; 11] = [
    ("host that does not exist", unknown_host, SQL),
    ("account that is not known", |site| password(site).fault("any", "", bare(404)), SQL),
    ("account that may not be used", |site| password(site).fault("any", "", bare(403)), SQL),
    (
        "wrong key",
        |site| site.key("test-only-key.p8", 0o600).refuses(401, "390144", "JWT token is invalid."),
        SQL,
    ),
    ("expired token", expired_token, SQL),
    (
        "address that the network policy keeps out",
        |site| password(site).refuses(403, "390422", KEPT_OUT),
        SQL,
    ),
    ("suspended warehouse", |site| statement(password(site), "000606", "57P03", NO_WAREHOUSE), SQL),
    ("exhausted resource monitor", |site| statement(password(site), "090073", "57P03", EXHAUSTED), SQL),
    ("missing role", missing_role, SQL),
    ("missing warehouse", missing_warehouse, SQL),
    ("wrong statement", password, "select * from missing"),
];

const SQL: &str = "select 1";
const KEPT_OUT: &str = "Incoming request with IP/Token 192.0.2.1 is not allowed to access Snowflake. \
                        Contact your account administrator.";
const NO_WAREHOUSE: &str = "No active warehouse selected in the current session.  \
                            Select an active warehouse with the 'use warehouse' command.";
const EXHAUSTED: &str =
    "Warehouse 'WH' cannot be resumed because resource monitor 'MONTHLY' has exceeded its quota.";
const NO_ROLE: &str = "Role 'ANALYST' specified in the connect string does not exist or not authorized. \
                       Contact your local system administrator, or attempt to login with another role.";
const NO_SUCH_WAREHOUSE: &str = "The requested warehouse does not exist or not authorized.";

fn bare(status: u16) -> Misbehaviour {
    Misbehaviour::Status { status, retry_after: None }
}

fn password(site: Site) -> Site {
    site.secret("a-secret")
}

fn unknown_host(site: Site) -> Site {
    // A label of a name has at most 63 letters, so no name server is asked.
    password(site).set("PROTOCOL", "https").set("HOST", &format!("{}.example", "x".repeat(64)))
}

fn expired_token(site: Site) -> Site {
    let site = site.set("AUTHENTICATOR", "OAUTH").set("TOKEN", "a-token");
    site.refuses(401, "390318", "OAuth access token expired. [1172527951366]")
}

fn missing_role(site: Site) -> Site {
    password(site).set("ROLE", "ANALYST").refuses(400, "390189", NO_ROLE)
}

fn missing_warehouse(site: Site) -> Site {
    let site = password(site).set("WAREHOUSE", "NOWHERE");
    if site.api == "sql" {
        statement(site, "000606", "57P03", NO_WAREHOUSE)
    } else {
        site.refuses(200, "390201", NO_SUCH_WAREHOUSE)
    }
}

/// The statement is refused.
fn statement(site: Site, code: &str, _state: &str, message: &str) -> Site {
    let status = if site.api == "sql" { 422 } else { 200 };
    site.fault("submit", SQL, refused(status, code, message))
}

#[test]
fn agents_and_people_are_told_what_went_wrong_and_what_to_do() {
    let mut texts = String::new();
    for (name, make, sql) in CASES {
        for api in APIS {
            let site = make(Site::new(api));
            let mut server = site.serve(&[]);
            // Where nobody is reached it is tried again for minutes, and the caller is told meanwhile.
            let arguments =
                json!({ "name": "async_execute_query", "arguments": { "sql": sql, "wait_seconds": 5 } });
            let told = server.request("tools/call", arguments);
            let told = told["result"]["content"][0]["text"].as_str().expect("a text").to_owned();
            server.close_input();
            server.ended(PATIENCE).expect("it ends");
            let logged: String = (server.stderr().lines())
                .filter(|line| line.contains(" WARN ") || line.contains(" ERROR ") || line.contains("error"))
                .map(|line| format!("  {line}\n"))
                .collect();
            let told: String = told.lines().map(|line| format!("  {line}\n")).collect();
            let text = format!("== {name}, {api} ==\nagent:\n{told}log:\n{logged}\n");
            texts += &normal(&site, &text);
        }
    }
    assert_snapshot("failures.txt", &texts);
}

#[test]
fn a_person_at_the_command_line_gets_a_reason_and_an_exit_code() {
    let mut texts = String::new();
    for (name, make, sql) in CASES {
        for api in APIS {
            let site = make(Site::new(api));
            let output = site.run(&["run", "--timeout", "3s", sql]);
            assert!(output.stdout.is_empty(), "{name} ({api}): {}", String::from_utf8_lossy(&output.stdout));
            let (code, told) = (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap());
            writeln!(texts, "== {name}, {api}: exit code {code} ==\n{}", normal(&site, &told)).unwrap();
        }
    }
    assert_snapshot("failures_run.txt", &texts);
}

/// Without what differs from run to run: times, ids, ports, paths.
fn normal(site: &Site, text: &str) -> String {
    let text = text.replace(&site.home.path().display().to_string(), "HOME");
    let text = text.replace(&site.service.port().to_string(), "PORT");
    let text = text.replace(&"x".repeat(64), "xxx");
    let lines = text.split('\n').map(|line| line.split(' ').map(plain).collect::<Vec<_>>().join(" "));
    spans(&lines.collect::<Vec<_>>().join("\n"))
}

/// A word, or what it stands for.
fn plain(word: &str) -> String {
    let Some(start) = word.find("q_") else {
        let is_time = word.len() > 20 && word.starts_with("20") && word.contains('T') && word.ends_with('Z');
        let is_handle = |part: &str| part.len() == 36 && part.split('-').count() == 5;
        let trimmed = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        return match word {
            _ if is_time => "TIME".to_owned(),
            _ if is_handle(trimmed) => word.replace(trimmed, "HANDLE"),
            _ => word.to_owned(),
        };
    };
    let id: String = word[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    if id.len() == 28 { word.replace(&id, "q_ID") } else { word.to_owned() }
}

/// Milliseconds and seconds depend on the machine.
fn spans(text: &str) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    for place in 1..words.len() {
        let unit = words[place].trim_end_matches([':', '.', '\n']).to_owned();
        let is_unit =
            ["ms", "s"].contains(&unit.lines().next().unwrap_or_default().trim_end_matches([':', '.']));
        let is_number =
            !words[place - 1].is_empty() && words[place - 1].chars().all(|c| c.is_ascii_digit() || c == '.');
        if is_unit
            && is_number
            && words.get(place.wrapping_sub(2)).is_some_and(|word| word.ends_with("after"))
        {
            words[place - 1] = "N".to_owned();
            words[place] = words[place].replacen("ms", "s", 1);
        }
    }
    let text = words.join(" ");
    ["millis=", "duration_seconds: ", "version: ", "is made in "]
        .iter()
        .fold(text, |text, name| blank(&text, name))
}

/// The number behind a name is not told.
fn blank(text: &str, name: &str) -> String {
    let mut parts = text.split(name);
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        kept += &format!("{name}N{rest}");
    }
    kept
}

/// Compares `text` with the kept file `name`.
fn assert_snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/stdio/snapshots").join(name);
    support::snapshot::assert_snapshot(&path, text);
}
