//! `run` where and as whom a person says.

use serde_json::{Value, json};
use support::fake_snowflake::FakeSnowflake;
use support::fake_snowflake::options::Options;

use crate::orphans::variables;
use crate::{Ran, State};

const FLAGS: [&str; 8] =
    ["--role", "ANALYST", "--warehouse", "big_wh", "--use-database", "SHOP", "--schema", "SALES"];

fn run(state: &State, arguments: &[&str]) -> Ran {
    state.run(&[&["--connection", "test=snowflake", "run"], arguments].concat())
}

/// The role, warehouse, database and schema that the service was told of with this statement.
fn context_of(service: &FakeSnowflake, sql: &str) -> [Value; 4] {
    let query = service.queries().into_iter().find(|query| query["sql"] == sql).unwrap();
    ["role", "warehouse", "database", "schema"].map(|part| query["context"][part].clone())
}

#[test]
fn a_statement_by_hand_runs_where_and_as_whom_the_flags_say() {
    for api in ["sql", "driver"] {
        let service = FakeSnowflake::start_blocking(Options::default()).unwrap();
        let mut state = State::new();
        state.variables = variables(&service, api, &state);
        let told = run(&state, &[&["select 1", "--json"], &FLAGS[..]].concat());
        assert_eq!(told.code, 0, "{api}: {told:?}");
        // A field of the SQL API is the name itself; the drivers' protocol reads it as SQL.
        let warehouse = if api == "sql" { "BIG_WH" } else { "big_wh" };
        assert_eq!(context_of(&service, "select 1"), ["ANALYST", warehouse, "SHOP", "SALES"], "{api}");
        let status = state.run(&["status", "last", "--json"]).json();
        let context = "role ANALYST, warehouse big_wh, database SHOP, schema SALES";
        assert_eq!(status["context"], context, "{api}");
        // Without them it is as the connection says.
        assert_eq!(run(&state, &["select 2"]).code, 0, "{api}");
        let own = [json!("FAKE_ROLE"), Value::Null, json!("DB"), Value::Null];
        assert_eq!(context_of(&service, "select 2"), own, "{api}");
    }
}

#[test]
fn what_is_no_name_and_what_an_engine_does_not_know_is_a_wrong_command_line() {
    let service = FakeSnowflake::start_blocking(Options::default()).unwrap();
    let mut state = State::new();
    state.variables = variables(&service, "sql", &state);
    for flag in ["--role", "--warehouse", "--use-database", "--schema"] {
        let part = flag.trim_start_matches("--use-").trim_start_matches("--");
        let refused = run(&state, &["select 1", flag, "a b"]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.err.contains(&format!("{part} \"a b\" is no Snowflake identifier")), "{refused:?}");
        let unknown = state.run(&["run", "select 1", flag, "X"]);
        assert_eq!(unknown.code, 2, "{unknown:?}");
        assert!(unknown.err.contains(&format!("(sqlite) knows no {part}")), "{unknown:?}");
    }
    assert!(service.queries().is_empty(), "{:?}", service.queries());
}
