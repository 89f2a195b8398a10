//! `check "SQL"`: what the policy says of a statement, without running it.

use std::process::ExitCode as ProcessCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sql_guard::{Allowances, Dialect, Verdict};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::exit_code::ExitCode;
use super::failure::Failure;
use crate::config::Config;
use crate::stdio;
use crate::visible::visible;

/// What to check.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The statement; `-` reads it from stdin.
    #[arg(required_unless_present = "batch", conflicts_with = "batch", allow_hyphen_values = true,
          value_parser = crate::cli::values::statement)]
    pub sql: Option<String>,
    /// The SQL it is written in [default: that of the default connection].
    #[arg(long, value_name = "DIALECT",
          value_parser = PossibleValuesParser::new(["snowflake", "sqlite"]).map(|word| dialect(&word)))]
    pub dialect: Option<Dialect>,
    /// Read lines {"id": .., "sql": ".."} from stdin and answer each with a line.
    #[arg(long)]
    pub batch: bool,
    /// Answer with one line of JSON.
    #[arg(long)]
    pub json: bool,
}

fn dialect(word: &str) -> Dialect {
    if word == "sqlite" { Dialect::Sqlite } else { Dialect::Snowflake }
}

#[derive(Debug, Deserialize)]
struct Question {
    #[serde(default)]
    id: Value,
    sql: String,
}

#[derive(Debug, Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Value>,
    verdict: &'a str,
    rule: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    mend: &'a str,
}

/// A line that could not be read as a question.
#[derive(Debug, Serialize)]
struct Unread {
    id: Value,
    error: String,
}

/// Prints the verdict on one statement, or on each line of stdin.
pub async fn check(config: &Config, args: CheckArgs) -> ProcessCode {
    let as_json = args.json || args.batch;
    super::end(judge(config, args).await, as_json).await
}

async fn judge(config: &Config, args: CheckArgs) -> Result<ExitCode, Failure> {
    let by_default = config.settings.dialect(None).map_or(Dialect::Sqlite, |(_, dialect)| dialect);
    let dialect = args.dialect.unwrap_or(by_default);
    let allowances = &config.settings.policy.allowances;
    if args.batch {
        return batch(dialect, allowances).await;
    }
    let sql = match args.sql {
        Some(sql) if sql != "-" => sql,
        Some(_) | None => stdio::read_all().await.map_err(unreadable)?,
    };
    let verdict = sql_guard::judge(&sql, dialect, allowances);
    let text = if args.json { line(&Answer::of(&verdict, None))? } else { words(&verdict) };
    stdio::print(&text).await?;
    Ok(if verdict.kind.only_reads() { ExitCode::Success } else { ExitCode::Failed })
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::new(ExitCode::Usage, format!("cannot read stdin: {error}"))
}

/// The verdict, and for what does not only read also the rule, the place and the mend.
fn words(verdict: &Verdict) -> String {
    let mut text = format!("{}\n", verdict.kind);
    if verdict.kind.only_reads() {
        return text;
    }
    let place = verdict.position.map(|position| position.to_string()).unwrap_or_default();
    let rule = verdict.rule.as_str();
    for (name, value) in
        [("rule", rule), ("place", &place), ("found", &verdict.message), ("mend", &verdict.mend)]
    {
        if !value.is_empty() {
            text.push_str(&format!("{name}: {}\n", visible(value)));
        }
    }
    text
}

async fn batch(dialect: Dialect, allowances: &Allowances) -> Result<ExitCode, Failure> {
    let mut lines = BufReader::new(tokio::io::stdin()).split(b'\n');
    let mut all_read = true;
    while let Some(bytes) = lines.next_segment().await.map_err(unreadable)? {
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let text = match serde_json::from_slice::<Question>(&bytes) {
            Ok(question) => {
                let verdict = sql_guard::judge(&question.sql, dialect, allowances);
                line(&Answer::of(&verdict, Some(question.id)))?
            }
            Err(error) => {
                all_read = false;
                let id = serde_json::from_slice::<Value>(&bytes).ok().map(|line| line["id"].clone());
                line(&Unread { id: id.unwrap_or_default(), error: error.to_string() })?
            }
        };
        stdio::print(&text).await?;
    }
    Ok(if all_read { ExitCode::Success } else { ExitCode::Usage })
}

impl<'a> Answer<'a> {
    fn of(verdict: &'a Verdict, id: Option<Value>) -> Self {
        Self {
            id,
            verdict: verdict.kind.as_str(),
            rule: verdict.rule.as_str(),
            line: verdict.position.map(|position| position.line),
            column: verdict.position.map(|position| position.column),
            message: &verdict.message,
            mend: &verdict.mend,
        }
    }
}

fn line(answer: &impl Serialize) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string(answer)?))
}
