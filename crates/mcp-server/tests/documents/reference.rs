//! `docs/reference.md` is what the program says of itself.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory};
use mcp_server::cli::Cli;
use mcp_server::commands::exit_code;
use mcp_server::words;
use registry_core::error::ErrorKind;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use sql_guard::{Kind, Rule};
use support::server_process::ServerProcess;

use crate::fields::MEANINGS;
use crate::{BINARY, made, sources};

const PAGE: &str = "docs/reference.md";

/// The words of an enum on the wire: reading another word names them all.
fn words_of<T: DeserializeOwned>() -> Vec<String> {
    let error = serde_json::from_str::<T>("\"?\"").err().unwrap().to_string();
    let listed = error.split("expected").nth(1).unwrap_or_default();
    listed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn read<T: DeserializeOwned>(word: &str) -> T {
    serde_json::from_value(Value::from(word)).unwrap()
}

/// A cell of a table: on one line, and without a bar.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

fn row(out: &mut String, cells: &[&str]) {
    writeln!(out, "| {} |", cells.iter().map(|text| cell(text)).collect::<Vec<_>>().join(" | ")).unwrap();
}

fn header(out: &mut String, cells: &[&str]) {
    row(out, cells);
    writeln!(out, "|{}", "---|".repeat(cells.len())).unwrap();
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with(['.', ':', '`']) { text.to_owned() } else { format!("{text}.") }
}

/// What a flag does, its values, and its default where the text itself names one.
fn meaning(arg: &Arg) -> (String, String) {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let (help, named) = match help.split_once(" [default: ") {
        Some((help, default)) => (help.to_owned(), default.trim_end_matches(']').to_owned()),
        None => (help, String::new()),
    };
    let mut text = sentence(&help);
    if !arg.is_hide_possible_values_set() && arg.get_action().takes_values() {
        for value in arg.get_possible_values() {
            let help = value.get_help().map(|help| format!(": {help}")).unwrap_or_default();
            write!(text, " `{}`{help};", value.get_name()).unwrap();
        }
        if let Some(listed) = text.strip_suffix(';') {
            text = format!("{listed}.");
        }
    }
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| code(&value.to_string_lossy())).collect();
    let default = if defaults.is_empty() { named } else { defaults.join(", ") };
    (
        text.trim_end_matches(';').to_owned(),
        if arg.get_action().takes_values() { default } else { String::new() },
    )
}

/// A flag or an argument as it is typed.
fn typed(arg: &Arg) -> String {
    let values = arg.get_value_names().map(|names| names.join(" ")).unwrap_or_default();
    let values = if arg.get_action().takes_values() { values } else { String::new() };
    match (arg.get_long(), arg.get_short()) {
        (Some(long), short) => {
            let short = short.map(|short| format!("-{short}, ")).unwrap_or_default();
            code(format!("{short}--{long} {values}").trim())
        }
        (None, _) => code(&values),
    }
}

fn flags(command: &Command) -> String {
    let mut out = String::new();
    let mut headings: Vec<&str> = Vec::new();
    for heading in command.get_arguments().filter(|arg| arg.is_global_set()).filter_map(Arg::get_help_heading)
    {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for heading in headings {
        writeln!(out, "### {heading}\n").unwrap();
        header(&mut out, &["flag", "variable", "default", "meaning"]);
        for arg in command.get_arguments().filter(|arg| arg.get_help_heading() == Some(heading)) {
            let (meaning, default) = meaning(arg);
            let variable = code(&arg.get_env().unwrap_or_default().to_string_lossy());
            row(&mut out, &[&typed(arg), &variable, &default, &meaning]);
        }
        out.push('\n');
    }
    out
}

fn commands(command: &Command) -> String {
    let mut out = String::new();
    for command in command.get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(out, "### {}\n\n{}\n", command.get_name(), sentence(&about)).unwrap();
        let own: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_global_set()).collect();
        let own: Vec<&Arg> =
            own.into_iter().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str())).collect();
        if !own.is_empty() {
            header(&mut out, &["argument", "default", "meaning"]);
            for arg in own {
                let (meaning, default) = meaning(arg);
                row(&mut out, &[&typed(arg), &default, &meaning]);
            }
            out.push('\n');
        }
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        if !after.is_empty() && after != exit_code::HELP {
            writeln!(out, "{}\n", sentence(&after)).unwrap();
        }
    }
    out
}

fn exit_codes() -> String {
    let mut out = String::new();
    header(&mut out, &["code", "meaning"]);
    for line in exit_code::HELP.lines().skip(1) {
        let (number, meaning) = line.trim().split_once(' ').unwrap();
        row(&mut out, &[number, meaning.trim()]);
    }
    out
}

/// The tools and the resource template as a client is told of them.
fn told(arguments: &[&str]) -> (Vec<Value>, Value) {
    let directory = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(BINARY, &directory.path().join("state"), arguments);
    let tools = server.request("tools/list", json!({}))["result"]["tools"].clone();
    let templates =
        server.request("resources/templates/list", json!({}))["result"]["resourceTemplates"].clone();
    (tools.as_array().unwrap().clone(), templates[0].clone())
}

/// Flags with which everything that can be switched on is on.
fn all_on() -> Vec<String> {
    let mut flags: Vec<String> = [
        "--mode=read-write",
        "--export-dir=/home/you/exports",
        "--connection=shop=sqlite:/home/you/shop.db",
        "--connection=prod=snowflake",
    ]
    .map(str::to_owned)
    .into();
    for flag in Cli::command().get_arguments().filter_map(|flag| Some((flag.get_long()?, flag.get_action())))
    {
        match flag {
            (name, action) if name.starts_with("allow-") && action.takes_values() => {
                flags.push(format!("--{name}=EXAMPLE"));
            }
            (name, _) if name.starts_with("allow-") => flags.push(format!("--{name}")),
            _ => {}
        }
    }
    flags
}

fn kind_of(schema: &Value) -> String {
    let kind = schema["type"].as_str().unwrap_or("any").to_owned();
    match schema["enum"].as_array() {
        Some(words) => {
            let words: Vec<String> = words.iter().filter_map(Value::as_str).map(code).collect();
            words.join(", ")
        }
        None => kind,
    }
}

fn properties(schema: &Value) -> Map<String, Value> {
    schema["properties"].as_object().cloned().unwrap_or_default()
}

fn tools(tools: &[Value]) -> String {
    let mut out = String::new();
    for tool in tools {
        let text = |field: &str| tool[field].as_str().unwrap_or_default().to_owned();
        writeln!(out, "### {}\n\n{}\n", text("name"), text("description")).unwrap();
        let schema = &tool["inputSchema"];
        let required: HashSet<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        header(&mut out, &["argument", "type", "needed", "meaning"]);
        for (name, property) in properties(schema) {
            let needed = if required.contains(name.as_str()) { "yes" } else { "" };
            let meaning = property["description"].as_str().unwrap_or_default();
            row(&mut out, &[&code(&name), &kind_of(&property), needed, &sentence(meaning)]);
        }
        let answers: Vec<String> = properties(&tool["outputSchema"]).keys().map(|name| code(name)).collect();
        writeln!(out, "\nAnswers with {}.\n", answers.join(", ")).unwrap();
    }
    out
}

/// Every field of every answer, with those inside of others.
fn collect(prefix: &str, schema: &Value, found: &mut Vec<(String, String)>) {
    for (name, property) in properties(schema) {
        let name = format!("{prefix}{name}");
        if found.iter().any(|(known, _)| *known == name) {
            continue;
        }
        found.push((name.clone(), kind_of(&property)));
        collect(&format!("{name}."), &property, found);
        collect(&format!("{name}[]."), &property["items"], found);
    }
}

fn answer_fields(tools: &[Value]) -> String {
    let mut found = Vec::new();
    for tool in tools {
        collect("", &tool["outputSchema"], &mut found);
    }
    for (name, _) in MEANINGS {
        assert!(found.iter().any(|(known, _)| known == name), "no answer has the field {name}");
    }
    let mut out = String::new();
    header(&mut out, &["field", "type", "meaning"]);
    for (name, kind) in found {
        let meaning = MEANINGS.iter().find(|(known, _)| *known == name);
        let (_, meaning) = meaning.unwrap_or_else(|| panic!("say in fields.rs what {name} means"));
        row(&mut out, &[&code(&name), &kind, meaning]);
    }
    out
}

fn hints(read_only: &[Value], all_on: &[Value]) -> String {
    let mut out = String::new();
    header(&mut out, &["tool", "mode", "read-only", "destructive", "idempotent", "open world"]);
    for (tools, mode) in [(read_only, "read-only"), (all_on, "read-write, with exports")] {
        for tool in tools {
            let hint = |name: &str| if tool["annotations"][name] == json!(true) { "yes" } else { "no" };
            let name = code(tool["name"].as_str().unwrap());
            let hints = ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"].map(hint);
            row(&mut out, &[&[name.as_str(), mode], hints.as_slice()].concat());
        }
    }
    out
}

fn template(template: &Value) -> String {
    let text = |field: &str| template[field].as_str().unwrap();
    format!("`{}` ({}): {}\n", text("uriTemplate"), text("mimeType"), text("description"))
}

/// What a class of error means.
fn class(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Sql => "The statement is wrong.",
        ErrorKind::Refused => {
            "The engine refused the statement, because it writes or reaches out of the database."
        }
        ErrorKind::Permission => "The engine refuses this role or user.",
        ErrorKind::Authentication => "Signing in failed.",
        ErrorKind::Configuration => "The connection is set up wrongly.",
        ErrorKind::Unavailable => "The engine cannot be reached.",
        ErrorKind::Throttled => "The engine asks for fewer requests.",
        ErrorKind::ResourceLimit => "A limit on time, memory or size ended the statement.",
        ErrorKind::CanceledExternally => "Somebody else stopped the statement at the engine.",
        ErrorKind::Timeout => "The time limit ended the statement.",
        ErrorKind::EngineStopped => "The engine ran inside a server process that is gone.",
        ErrorKind::RemoteLost => "The engine no longer knows the statement.",
        ErrorKind::SubmitLost => "The engine never confirmed that it received the statement.",
        ErrorKind::ResultFetch => "The statement succeeded, but its rows could not be fetched.",
        ErrorKind::ResultStore => "The statement succeeded, but its rows could not be stored here.",
        ErrorKind::Protocol => "The engine answered what nobody expected.",
        ErrorKind::Internal => "A fault in this program.",
    }
}

/// The errors of a call that is not about the end of a query.
const OF_CALLS: [(&str, &str, &str); 17] = [
    ("invalid_request", "An argument is wrong.", "Correct the argument and call the tool again."),
    ("not_found", "No such query is known here.", "Use one of the ids that the answer names."),
    (
        "no_result",
        "The query was stopped, so it has no rows.",
        "Submit the statement again if it is still wanted.",
    ),
    ("rows_gone", "The rows are no longer stored.", "Run the statement again, without its old key."),
    (
        "rows_evicted",
        "The rows made room for newer ones (`--max-spool-bytes`).",
        "Run the statement again, without its old key.",
    ),
    ("key_reused", "The `idempotency_key` stands for another statement.", "Take another key."),
    ("queue_full", "`--max-running` and `--max-queued` are met.", "Wait for a query or cancel one."),
    ("too_many_calls", "`--max-calls` is met.", "Repeat the call after another one was answered."),
    ("unknown_connection", "No connection has this name.", "Name one of the configured connections."),
    (
        "not_offered",
        "The connection does not offer this role, warehouse, database or schema.",
        "Leave the argument out, or name one that the tool lists.",
    ),
    (
        "connection",
        "This connection could not be set up; the others work.",
        "Tell the user, who mends it and starts the server again.",
    ),
    (
        "statement_refused",
        "The statement was read, and may not run here; `error.rule` names the [rule](#rules-of-the-guard).",
        "Rewrite it as `next` says, or ask the user.",
    ),
    (
        "not_confirmed",
        "The statement writes, and no person said yes.",
        "Do as `next` says; never try to go around it.",
    ),
    (
        "export_off",
        "This server was given no directory for files (`--export-dir`).",
        "Read the rows page by page, or ask the user.",
    ),
    (
        "export_failed",
        "The query succeeded, but its file was not written.",
        "Do as `next` says, or read the rows page by page.",
    ),
    (
        "state_directory",
        "The state directory cannot be used.",
        "Tell the user; the message says what to mend.",
    ),
    ("shutting_down", "The server is about to end.", "Call again after the restart."),
];

/// Every word that `error.type` can be, as the sources have them.
pub(crate) fn error_types() -> BTreeSet<String> {
    let mut types: BTreeSet<String> = words_of::<ErrorKind>().into_iter().collect();
    for source in sources::all() {
        let made = source.text.split("ToolError::new(").skip(1);
        let literals = made.filter_map(|rest| rest.trim_start().strip_prefix('"'));
        types.extend(literals.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        if let Some((_, rest)) = source.text.split_once("pub fn kind_word") {
            let body = rest.split("\n    }\n").next().unwrap();
            types.extend(body.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    types
}

fn errors() -> String {
    let mut out = String::new();
    header(&mut out, &["`error.type`", "meaning", "what to do"]);
    for word in words_of::<ErrorKind>() {
        let kind: ErrorKind = read(&word);
        row(&mut out, &[&code(&word), class(kind), words::after_failure(Some(kind))]);
    }
    for (word, meaning, next) in OF_CALLS {
        row(&mut out, &[&code(word), meaning, next]);
    }
    out
}

/// What a rule of the guard looks at.
fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::OnlyReads => "Every check was passed: the statement only reads.",
        Rule::TextSize => "The text is longer, or has more words and signs, than is looked at.",
        Rule::HiddenCharacters => "It has characters that do not show, or that show as something else.",
        Rule::ForeignQuoting => "It has quotes or comments that not every engine ends at the same place.",
        Rule::Empty => "There is nothing to run.",
        Rule::OneStatement => "It is more than one statement.",
        Rule::StatementKind => "Its first words name a statement that does not read.",
        Rule::Transaction => "It begins, ends or marks a transaction.",
        Rule::SessionState => "It changes settings of the session.",
        Rule::LocalFiles => "It moves files between a stage and this machine, or opens files here.",
        Rule::WritesInsideQuery => {
            "It is a query with something inside that writes, locks or runs a procedure."
        }
        Rule::Function => {
            "It calls a function that has an effect, or whose effect is not known (`--allow-function`)."
        }
        Rule::Stage => "It reads files from a stage (`--allow-stage-reads`).",
        Rule::Unparsed => {
            "It was not understood well enough to say that it only reads; all other rules are kept."
        }
        Rule::GuardFailure => "The guard itself failed, so the statement does not run.",
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Read => "It reads data and changes nothing. It runs.",
        Kind::Metadata => "It tells about objects and settings, and changes nothing. It runs.",
        Kind::Write => {
            "It changes something, or nothing proves that it only reads. It runs in read-write mode alone, once a person has said yes."
        }
        Kind::Refused => "It runs in no mode.",
    }
}

fn rules() -> String {
    let mut out = String::new();
    header(&mut out, &["verdict", "meaning"]);
    words_of::<Kind>().iter().for_each(|word| row(&mut out, &[&code(word), kind(read(word))]));
    out.push('\n');
    header(&mut out, &["rule", "meaning"]);
    words_of::<Rule>().iter().for_each(|word| row(&mut out, &[&code(word), rule(read(word))]));
    out
}

#[test]
fn the_reference_is_what_the_program_says_of_itself() {
    let mut command = Cli::command();
    let flags = flags(&command);
    command.build();
    let (read_only, _) = told(&[]);
    let all_on = all_on();
    let all_on: Vec<&str> = all_on.iter().map(String::as_str).collect();
    let (all_on, resources) = told(&all_on);
    let parts = [
        ("commands", commands(&Cli::command())),
        ("flags", flags),
        ("exit codes", exit_codes()),
        ("tools", tools(&all_on)),
        ("answers", answer_fields(&all_on)),
        ("hints", hints(&read_only, &all_on)),
        ("resources", template(&resources)),
        ("errors", errors()),
        ("rules", rules()),
    ];
    for (name, text) in parts {
        made::part(PAGE, name, &format!("{}\n", text.trim_end()), made::exactly);
    }
}

#[test]
fn every_error_type_of_the_sources_has_its_row() {
    let rows: BTreeSet<String> =
        words_of::<ErrorKind>().into_iter().chain(OF_CALLS.map(|(word, _, _)| word.to_owned())).collect();
    assert_eq!(rows, error_types());
}
