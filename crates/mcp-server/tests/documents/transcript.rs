//! What the README shows of a person at a shell and of an agent happened: it is done again here.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::server_process::ServerProcess;

use crate::{BINARY, made};

const REGIONS: &str = "select r.name as region, count(*) as orders from regions r join customers c on c.region_id = r.id \
                       join orders o on o.customer_id = c.id group by r.id order by orders desc limit 5";
/// Takes a second or two.
const PAIRS: &str = "select p.name as product, count(*) as pairs from order_items a join order_items b on a.product_id = \
                     b.product_id join products p on p.id = a.product_id group by p.id order by pairs desc limit 3";
const DELETE: &str = "delete from orders where id = 7";

/// A home directory, and what is done in it.
struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// As a reader would see it.
    fn shown(&self, text: &str) -> String {
        text.replace(self.directory.path().to_str().unwrap(), "/home/you")
    }

    fn state(&self) -> std::path::PathBuf {
        self.directory.path().join(".local/state/async-query-mcp")
    }

    /// A command as it is typed, and what it prints.
    fn command(&self, typed: &str, args: &[&str]) -> String {
        let mut command = Command::new(BINARY);
        // Nothing of whoever runs the test is seen: no variable, no client's file, no project.
        command.env_clear().env("HOME", self.directory.path()).current_dir(self.directory.path());
        command.args(args).stdin(Stdio::null());
        command.arg("--state-dir").arg(self.state());
        let output = command.output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        self.shown(&format!("$ {typed}\n{out}{err}"))
    }
}

/// `text` without what another run would say differently: times, ids, free space, and the blanks that depend on them.
fn lasting(text: &str) -> String {
    let mut lasting = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let changing = [
            "created_at:",
            "updated_at:",
            "expires_at:",
            "duration_seconds:",
            "remote_query_id:",
            "version:",
        ];
        if words.first().is_some_and(|word| changing.contains(word)) {
            writeln!(lasting, "{} #", words[0]).unwrap();
            continue;
        }
        let units = ["ms", "s", "min", "h", "MB"];
        let measured = |place: usize| {
            let number = words[place].trim_start_matches('(').parse::<f64>().is_ok();
            let unit = words.get(place + 1).map(|unit| unit.trim_end_matches([')', '.', ',']));
            number && unit.is_some_and(|unit| units.contains(&unit))
        };
        let mut place = 0;
        while place < words.len() {
            if measured(place) {
                lasting.push_str("# ");
                place += 2;
            } else {
                lasting.push_str(&without_id(words[place]));
                lasting.push(' ');
                place += 1;
            }
        }
        lasting.push('\n');
    }
    lasting
}

/// `word` with every query id as one.
fn without_id(word: &str) -> String {
    let mut pieces = word.split("q_");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let id = piece.chars().take_while(char::is_ascii_alphanumeric).count();
        text.push_str("q_");
        text.push_str(if id == 26 { &piece[26..] } else { piece });
    }
    text
}

fn same(found: &str, made: &str) -> bool {
    lasting(found) == lasting(made)
}

fn fenced(kind: &str, text: &str) -> String {
    format!("```{kind}\n{text}```\n")
}

#[test]
fn what_the_readme_shows_of_a_person_happened() {
    let home = Home::new();
    let run = |program: &str| format!("{program} run \"{REGIONS}\"");
    let first = home.command(&run("cargo run --release --"), &["run", REGIONS]);
    made::part("README.md", "first run", &fenced("console", &first), same);
    let later = [
        home.command("async-query-mcp list", &["list"]),
        home.command(&format!("async-query-mcp check \"{DELETE}\""), &["check", DELETE]),
        home.command("async-query-mcp doctor --offline", &["doctor", "--offline"]),
    ];
    made::part("README.md", "person", &fenced("console", &later.join("\n")), same);
}

/// A tool call and the text of its answer.
fn call(server: &mut ServerProcess, tool: &str, arguments: Value) -> (Value, String) {
    let answer = server.request("tools/call", json!({ "name": tool, "arguments": arguments }));
    let text = answer["result"]["content"][0]["text"].as_str().unwrap().trim_end().to_owned();
    (answer["result"]["structuredContent"].clone(), format!("→ {tool} {arguments}\n{text}\n"))
}

/// Submits until the answer comes while the statement runs, which is what the page shows.
fn submitted(server: &mut ServerProcess) -> (String, String) {
    for _ in 0..20 {
        let (facts, shown) =
            call(server, "async_execute_query", json!({ "sql": PAIRS, "wait_seconds": 0.3 }));
        let id = facts["query_id"].as_str().unwrap().to_owned();
        if facts["status"] == "running" {
            return (id, shown);
        }
        server.wait_for_end(&id);
    }
    panic!("every answer came before the statement ran, or after it");
}

fn session(state: &Path) -> String {
    let mut server = ServerProcess::start(BINARY, state, &[]);
    let (id, submitted) = submitted(&mut server);
    server.wait_for_end(&id);
    let (_, rows) = call(&mut server, "query_result", json!({ "query_id": id }));
    let (_, refused) = call(&mut server, "async_execute_query", json!({ "sql": DELETE }));
    [submitted, rows, refused].join("\n")
}

#[test]
fn what_the_readme_shows_of_an_agent_happened() {
    let home = Home::new();
    let shown = home.shown(&session(&home.state()));
    made::part("README.md", "agent", &fenced("text", &shown), same);
}

#[test]
fn only_what_another_run_says_differently_is_passed_over() {
    let (first, other) = ("(203 ms)", "(1.2  s)");
    assert!(same(&format!("5 rows {first}"), &format!("5 rows {other}")));
    assert!(same("q_41cyb4gpkqgg6njexj1j6zwgtx,ok", "q_7s4p8hh0y2bq3xg1jhk71xytma,ok"));
    assert!(same("created_at: a", "created_at: b"));
    assert!(!same("5 rows (1 ms)", "6 rows (1 ms)"));
    assert!(!same("status: running", "status: failed"));
    assert!(!same("q_short,ok", "q_other,ok"));
}
