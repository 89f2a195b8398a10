//! `doctor` against every fault that we can make: it names that one and no other.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::fake_snowflake::faults::Misbehaviour;
use support::fake_snowflake::options::Options;

use crate::BINARY;
use crate::site::{Site, refused};
use crate::snowflake::APIS;

/// Must never be printed.
const CANARY: &str = "canary-4711-secret";

/// A site that signs in with the canary.
fn site(api: &'static str) -> Site {
    Site::new(api).secret(CANARY)
}

fn doctor(site: &Site, arguments: &[&str]) -> Output {
    let output = site.run(&[&["--mode=read-write", "doctor"], arguments].concat());
    let printed = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(!String::from_utf8_lossy(&printed).contains(CANARY), "a secret was printed");
    output
}

fn examined(site: &Site, arguments: &[&str]) -> Vec<Value> {
    let output = doctor(site, &[&["--json"], arguments].concat());
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let steps = report["steps"].as_array().unwrap().clone();
    let good = steps.iter().all(|step| step["status"] != "failed");
    assert_eq!((&report["ok"], output.status.code()), (&Value::Bool(good), Some(i32::from(!good))));
    steps
}

fn with_toml(site: Site, text: &str, mode: u32) -> Site {
    site.file("connections.toml", text, mode);
    site
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

fn find<'s>(steps: &'s [Value], name: &str) -> &'s Value {
    steps
        .iter()
        .find(|step| step["scope"] == "test" && step["step"] == name)
        .unwrap_or_else(|| panic!("no {name}"))
}

#[track_caller]
fn assert_only(steps: &[Value], case: &str, step: &str, kinds: &[&str], words: &str) {
    let failed: Vec<&Value> = steps.iter().filter(|step| step["status"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{case}: {failed:#?}");
    assert_eq!(failed[0]["step"], step, "{case}: {failed:#?}");
    assert!(kinds.contains(&failed[0]["kind"].as_str().unwrap()), "{case}: {failed:#?}");
    let message = failed[0]["message"].as_str().unwrap();
    assert!(message.contains(words), "{case}: {message}");
    assert!(failed[0]["mend"].as_str().is_some_and(|mend| mend.len() > 5), "{case}: {failed:#?}");
    let known = [
        "policy",
        "files",
        "settings",
        "credentials",
        "dns",
        "tcp",
        "tls",
        "clock",
        "sign_in",
        "role",
        "fence",
        "warehouse",
        "statement",
        "cancel",
    ];
    for name in known {
        find(steps, name);
    }
}

/// A fault: its name, how it is made, the step that fails, the kinds that this may have, words of its message.
type Case = (&'static str, fn(Site) -> Site, &'static str, &'static [&'static str], &'static str);

const ON_THIS_MACHINE: [Case; 7] = [
    (
        "malformed toml",
        |site| with_toml(site, "[other]\nuser = ada\n", 0o600),
        "files",
        &["syntax"],
        "line 2",
    ),
    (
        "writable toml",
        |site| with_toml(site, "[other]\n", 0o666),
        "files",
        &["permissions"],
        "others may write",
    ),
    (
        "unknown connection",
        |site| site.unset(&["ACCOUNT", "HOST"]),
        "settings",
        &["unknown_connection"],
        "\"test\"",
    ),
    (
        "no credentials",
        |site| site.unset(&["TOKEN", "PASSWORD", "AUTHENTICATOR"]),
        "settings",
        &["missing"],
        "nothing to sign in with",
    ),
    ("plain http", |site| site.set("HOST", "snowflake.example"), "settings", &["plain_http"], "plain http"),
    (
        "key for others",
        |site| site.key("test-only-key.p8", 0o644),
        "credentials",
        &["permissions"],
        "chmod 600",
    ),
    (
        "no passphrase",
        |site| site.key("test-only-key-aes256.p8", 0o600),
        "credentials",
        &["credentials"],
        "private_key_file_pwd",
    ),
];

const ON_THE_WAY: [Case; 4] = [
    (
        "unknown host",
        // A label of a name has at most 63 letters, so no name server is asked.
        |site| site.set("PROTOCOL", "https").set("HOST", &format!("{}.example", "x".repeat(64))),
        "dns",
        &["unknown_host"],
        "xxx",
    ),
    ("refused port", |site| site.set("PORT", &free_port()), "tcp", &["no_connection"], "refused"),
    ("plain port", |site| site.set("PROTOCOL", "https"), "tls", &["tls"], ""),
    (
        "clock skew",
        |site| {
            site.key("test-only-key.p8", 0o600).fault("any", "", Misbehaviour::ClockSkew { seconds: 3600 })
        },
        "clock",
        &["clock_skew"],
        "behind",
    ),
];

const AT_SNOWFLAKE: [Case; 15] = [
    (
        "wrong account",
        |site| site.fault("any", "", Misbehaviour::Status { status: 404, retry_after: None }),
        "sign_in",
        &["configuration"],
        "account",
    ),
    (
        "wrong key",
        |site| site.key("test-only-key.p8", 0o600).refuses(401, "390144", "JWT token is invalid."),
        "sign_in",
        &["credentials_refused"],
        "JWT token is invalid",
    ),
    (
        "expired token",
        |site| {
            let site = site.unset(&["PASSWORD"]).set("AUTHENTICATOR", "OAUTH").set("TOKEN", CANARY);
            site.refuses(401, "390318", "OAuth access token expired.")
        },
        "sign_in",
        &["token_refused"],
        "expired",
    ),
    (
        "revoked secret",
        |site| {
            site.service.revoke(CANARY);
            site
        },
        "sign_in",
        &["credentials_refused", "authentication"],
        "",
    ),
    (
        "network policy",
        |site| {
            site.refuses(
                403,
                "390422",
                "Incoming request with IP 192.0.2.1 is not allowed to access Snowflake.",
            )
        },
        "sign_in",
        &["network_policy"],
        "192.0.2.1",
    ),
    (
        "missing role",
        |site| {
            let (endpoint, status) = if site.api == "sql" { ("submit", 422) } else { ("login", 200) };
            let site = site.set("ROLE", "GHOST");
            site.fault(
                endpoint,
                "GHOST",
                refused(status, "390189", "Role 'GHOST' does not exist or is not granted."),
            )
        },
        "role",
        &["role"],
        "GHOST",
    ),
    ("missing warehouse", |site| site.set("WAREHOUSE", "NOWHERE"), "warehouse", &["warehouse"], "NOWHERE"),
    (
        "cancel refused",
        |site| {
            let words = "Insufficient privileges to operate on the query.";
            let site = site.fault("cancel", "", refused(403, "003001", words));
            site.fault("submit", "CANCEL_QUERY", refused(200, "003001", words))
        },
        "cancel",
        &["cancel_refused"],
        "refuses to stop",
    ),
    ("silence", |site| site.fault("any", "", Misbehaviour::HalfOpen), "sign_in", &["unavailable"], "3 s"),
    ("reset", |site| site.fault("any", "", Misbehaviour::Reset), "sign_in", &["unavailable"], ""),
    (
        "slow",
        |site| site.fault("any", "", Misbehaviour::SlowHeaders { ms: 60_000 }),
        "sign_in",
        &["unavailable"],
        "3 s",
    ),
    (
        "broken service",
        |site| site.fault("any", "", Misbehaviour::Status { status: 503, retry_after: None }),
        "sign_in",
        &["unavailable"],
        "503",
    ),
    (
        "too many requests",
        |site| site.fault("any", "", Misbehaviour::Status { status: 429, retry_after: None }),
        "sign_in",
        &["throttled"],
        "",
    ),
    (
        "a page",
        |site| site.fault("any", "", Misbehaviour::Html { status: 200 }),
        "sign_in",
        &["protocol"],
        "",
    ),
    (
        "redirect",
        |site| site.fault("any", "", Misbehaviour::Redirect { location: "http://127.0.0.1:9/".to_owned() }),
        "sign_in",
        &["configuration", "protocol"],
        "",
    ),
];

fn each_is_named(cases: &[Case]) {
    for api in APIS {
        for (name, make, step, kinds, words) in cases {
            let steps = examined(&make(site(api)), &["--patience", "3s"]);
            assert_only(&steps, &format!("{name} ({api})"), step, kinds, words);
        }
    }
}

#[test]
fn each_fault_of_the_configuration_is_named_and_no_other() {
    each_is_named(&ON_THIS_MACHINE);
}

#[test]
fn each_fault_on_the_way_is_named_and_no_other() {
    each_is_named(&ON_THE_WAY);
}

#[test]
fn each_fault_at_snowflake_is_named_and_no_other() {
    each_is_named(&AT_SNOWFLAKE);
}

#[test]
fn a_warehouse_that_is_asleep_fails_only_if_nothing_wakes_it() {
    for api in APIS {
        let asleep = |resumes| {
            let warehouses = vec![("WH".to_owned(), "SUSPENDED".to_owned(), resumes)];
            Site::with_options(api, Options { warehouses, ..Options::default() }).secret(CANARY)
        };
        let steps = examined(&asleep(false), &[]);
        assert_only(&steps, api, "warehouse", &["suspended"], "does not resume by itself");
        let steps = examined(&asleep(true), &[]);
        assert_eq!(find(&steps, "warehouse")["status"], "ok", "{steps:#?}");
    }
}

#[test]
fn nothing_is_wrong_where_nothing_is_wrong() {
    for api in APIS {
        for site in [site(api), site(api).key("test-only-key.p8", 0o600).set("ROLE", "ANALYST")] {
            let steps = examined(&site, &["--connection", "lite=sqlite::memory:"]);
            for step in &steps {
                let status = step["status"].as_str().unwrap();
                assert!(["ok", "skipped"].contains(&status), "{step:#}");
            }
            for name in ["credentials", "tcp", "sign_in", "role", "warehouse", "statement", "cancel"] {
                assert_eq!(find(&steps, name)["status"], "ok", "{api}: {steps:#?}");
            }
            assert!(steps.iter().any(|step| step["step"] == "fence" && step["status"] == "ok"));
            let settings = find(&steps, "settings")["details"].to_string();
            assert!(settings.contains("SNOWFLAKE_CONNECTIONS_TEST_ACCOUNT"), "{settings}");
        }
    }
}

#[test]
fn what_was_started_at_snowflake_was_stopped_there_and_used_no_warehouse() {
    for api in APIS {
        let site = site(api);
        examined(&site, &[]);
        let queries = site.service.queries();
        let long =
            queries.iter().find(|query| query["sql"].as_str().unwrap().contains("system$wait")).unwrap();
        assert_eq!(long["status"], "ABORTED", "{long}");
        assert!(queries.iter().all(|query| query["status"] != "RUNNING"), "{queries:#?}");
    }
}

#[test]
fn offline_nothing_is_sent() {
    for api in APIS {
        let steps = examined(&site(api).set("PORT", &free_port()), &["--offline"]);
        for name in ["dns", "tcp", "tls", "clock", "sign_in", "role", "warehouse", "statement", "cancel"] {
            let step = find(&steps, name);
            assert_eq!(step["status"], "skipped", "{step}");
            assert!(step["message"].as_str().unwrap().contains("--offline"), "{step}");
        }
    }
}

#[test]
fn what_depends_on_a_fault_is_skipped_with_the_reason() {
    let steps = examined(&site("sql").set("PORT", &free_port()), &[]);
    for name in ["tls", "clock", "sign_in", "cancel"] {
        let step = find(&steps, name);
        assert_eq!(
            (&step["status"], &step["message"]),
            (&"skipped".into(), &"Snowflake cannot be reached".into())
        );
    }
}

#[test]
fn a_person_gets_lines_without_colors_where_there_is_no_terminal() {
    let output = doctor(&site("sql").set("PORT", &free_port()), &["--patience", "3s"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("FAILED   tcp ") && text.contains("-> Check host and port"), "{text}");
    assert!(text.ends_with("1 failed, 0 to look at\n"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

/// The steps of a server on the embedded engine alone.
fn embedded(state: &Path, database: &str) -> Vec<Value> {
    let output = Command::new(BINARY)
        .arg("--state-dir")
        .arg(state)
        .args(["--database", database, "doctor", "--json"])
        .env_clear()
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["steps"].as_array().unwrap().clone()
}

fn failed(steps: &[Value]) -> Vec<(&str, &str)> {
    let failed = steps.iter().filter(|step| step["status"] == "failed");
    failed.map(|step| (step["step"].as_str().unwrap(), step["kind"].as_str().unwrap())).collect()
}

#[test]
fn each_fault_of_the_state_directory_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    assert_eq!(failed(&embedded(&state, ":memory:")), []);
    assert!(!state.exists(), "a look creates nothing");

    let ran = Command::new(BINARY).arg("--state-dir").arg(&state).args(["run", "select 1"]).output().unwrap();
    assert!(ran.status.success());
    assert_eq!(failed(&embedded(&state, ":memory:")), []);
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(failed(&embedded(&state, ":memory:")), [("directory", "state_directory")]);
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(state.join("journal.db"), "no journal at all, but long enough to be looked at").unwrap();
    assert_eq!(failed(&embedded(&state, ":memory:")), [("journal", "journal")]);
}

#[test]
fn a_database_that_is_not_there_is_named() {
    let home = tempfile::tempdir().unwrap();
    let steps = embedded(&home.path().join("state"), "sqlite:/nowhere/at/all.db");
    assert_eq!(failed(&steps), [("open", "configuration")]);
}
