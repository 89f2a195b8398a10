//! `doctor` against every fault that we can make: it names that one and no other.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::fake_snowflake::faults::{Fault, Misbehaviour};
use support::fake_snowflake::options::Options;
use support::fake_snowflake::{FakeSnowflake, client};

use crate::BINARY;

/// Must never be printed.
const CANARY: &str = "canary-4711-secret";
const APIS: [&str; 2] = ["sql", "driver"];
const FOREVER: u32 = 100_000;

/// A service, a home directory, and the settings of one connection to it.
struct Site {
    service: FakeSnowflake,
    home: tempfile::TempDir,
    api: &'static str,
    settings: BTreeMap<&'static str, String>,
    arguments: Vec<String>,
}

impl Site {
    fn new(api: &'static str) -> Self {
        Self::with_options(api, Options::default())
    }

    fn with_options(api: &'static str, options: Options) -> Self {
        let service = FakeSnowflake::start_blocking(options).unwrap();
        let own = [("API", api), ("WAREHOUSE", "WH")].map(|(key, value)| (key, value.to_owned()));
        let settings = client::place(service.port()).into_iter().chain(own).collect();
        let home = tempfile::tempdir().unwrap();
        let arguments =
            vec!["--connection".to_owned(), "test=snowflake".to_owned(), "--mode=read-write".to_owned()];
        let site = Self { service, home, api, settings, arguments };
        match api {
            "sql" => site.set("AUTHENTICATOR", "PROGRAMMATIC_ACCESS_TOKEN").set("TOKEN", CANARY),
            _ => site.set("PASSWORD", CANARY),
        }
    }

    fn set(mut self, key: &'static str, value: &str) -> Self {
        self.settings.insert(key, value.to_owned());
        self
    }

    fn unset(mut self, keys: &[&str]) -> Self {
        self.settings.retain(|key, _| !keys.contains(key));
        self
    }

    /// Signs in with a private key from a file of this mode.
    fn key(self, name: &str, mode: u32) -> Self {
        let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("../snowflake-adapter/testdata").join(name);
        let path = self.write("key.p8", &std::fs::read_to_string(key).unwrap(), mode);
        let site = self.unset(&["TOKEN", "PASSWORD"]).set("AUTHENTICATOR", "SNOWFLAKE_JWT");
        site.set("PRIVATE_KEY_FILE", path.to_str().unwrap())
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn toml(self, text: &str, mode: u32) -> Self {
        self.write("connections.toml", text, mode);
        self
    }

    fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Every call of one kind goes wrong in this way.
    fn fault(self, endpoint: &str, holding: &str, kind: Misbehaviour) -> Self {
        let fault = Fault { holding: holding.to_owned(), ..Fault::once(endpoint, kind).times(FOREVER) };
        self.service.faults.add(fault);
        self
    }

    /// Signing in is refused with a code; the driver protocol says so with status 200.
    fn refuses(self, status: u16, code: &str, message: &str) -> Self {
        let (endpoint, status) = if self.api == "sql" { ("submit", status) } else { ("login", 200) };
        self.fault(endpoint, "", refused(status, code, message))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let variables = self.settings.iter().map(|(key, value)| (client::variable(key), value));
        let output = Command::new(BINARY)
            .arg("--state-dir")
            .arg(self.home.path().join("state"))
            .args(&self.arguments)
            .arg("doctor")
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("SNOWFLAKE_HOME", self.home.path())
            .envs(variables)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let printed = [&output.stdout[..], &output.stderr[..]].concat();
        assert!(!String::from_utf8_lossy(&printed).contains(CANARY), "a secret was printed");
        output
    }

    fn steps(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(&[&["--json", "--patience", "3s"], arguments].concat());
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let steps = report["steps"].as_array().unwrap().clone();
        let good = steps.iter().all(|step| step["status"] != "failed");
        assert_eq!((&report["ok"], output.status.code()), (&Value::Bool(good), Some(i32::from(!good))));
        steps
    }
}

fn refused(status: u16, code: &str, message: &str) -> Misbehaviour {
    Misbehaviour::Refused { status, code: code.to_owned(), message: message.to_owned() }
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
    ("malformed toml", |site| site.toml("[other]\nuser = ada\n", 0o600), "files", &["syntax"], "line 2"),
    ("writable toml", |site| site.toml("[other]\n", 0o666), "files", &["permissions"], "others may write"),
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
            let steps = make(Site::new(api)).steps(&[]);
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
        let options = |resumes| Options {
            warehouses: vec![("WH".to_owned(), "SUSPENDED".to_owned(), resumes)],
            ..Options::default()
        };
        let steps = Site::with_options(api, options(false)).steps(&[]);
        assert_only(&steps, api, "warehouse", &["suspended"], "does not resume by itself");
        let steps = Site::with_options(api, options(true)).steps(&[]);
        assert_eq!(find(&steps, "warehouse")["status"], "ok", "{steps:#?}");
    }
}

#[test]
fn nothing_is_wrong_where_nothing_is_wrong() {
    for api in APIS {
        for site in [Site::new(api), Site::new(api).key("test-only-key.p8", 0o600).set("ROLE", "ANALYST")] {
            let steps = site.argument("--connection").argument("lite=sqlite::memory:").steps(&[]);
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
        let site = Site::new(api);
        site.steps(&[]);
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
        let site = Site::new(api).set("PORT", &free_port());
        let steps = site.steps(&["--offline"]);
        for name in ["dns", "tcp", "tls", "clock", "sign_in", "role", "warehouse", "statement", "cancel"] {
            let step = find(&steps, name);
            assert_eq!(step["status"], "skipped", "{step}");
            assert!(step["message"].as_str().unwrap().contains("--offline"), "{step}");
        }
    }
}

#[test]
fn what_depends_on_a_fault_is_skipped_with_the_reason() {
    let steps = Site::new("sql").set("PORT", &free_port()).steps(&[]);
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
    let site = Site::new("sql").set("PORT", &free_port());
    let output = site.run(&["--patience", "3s"]);
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
