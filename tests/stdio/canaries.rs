//! Secrets planted wherever one can be, and looked for in everything that the program prints, logs, answers and stores.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::json;
use support::fake_snowflake::faults::{Fault, Misbehaviour};
use support::server_process::{PATIENCE, ServerProcess};

use crate::site::{Site, key, refused};
use crate::snowflake::APIS;

const PASSWORD: &str = "canary-password/4711+&";
const ACCESS_TOKEN: &str = "canary-access-token-4711";
const OAUTH_TOKEN: &str = "canary-oauth-token-4711";
const OTHERS: &str = "canary-of-another-connection";
const VARIABLE: &str = "canary-of-the-environment";
const PROXY: &str = "canary-of-the-proxy";
const IN_ADDRESS: &str = "canary-in-the-address";
const IN_REDIRECT: &str = "canary-in-a-redirect";
const IN_FILE: &str = "canary-in-a-broken-file";
const WRONG_PASSPHRASE: &str = "canary-passphrase";
const LITERAL: &str = "canary-literal";
/// Opens the encrypted key of the test data.
const PASSPHRASE: &str = "test-only";

/// What must not be found: secrets of ours, and what the stand-in hands out.
fn canaries() -> Vec<String> {
    let own = [
        PASSWORD,
        ACCESS_TOKEN,
        OAUTH_TOKEN,
        OTHERS,
        VARIABLE,
        PROXY,
        IN_ADDRESS,
        IN_REDIRECT,
        IN_FILE,
        WRONG_PASSPHRASE,
    ];
    // Tokens of sessions, signatures of addresses, the key of chunks, every signed token, every private key.
    let theirs = [
        "canary-session-",
        "canary-master-",
        "canary-signature",
        "X-Amz-Signature",
        "ZmFrZSBxdWVyeSByZXN1",
        "eyJhbGciOi",
    ];
    let keys = [key_line("test-only-key.p8"), key_line("test-only-key-aes256.p8")];
    own.iter().chain(&theirs).map(|&text| text.to_owned()).chain(keys).collect()
}

/// A line from the middle of a key file.
fn key_line(name: &str) -> String {
    key(name).lines().nth(3).expect("a key has lines").to_owned()
}

/// A text as it is, and as others write it: percent-encoded, escaped in JSON, and in base64 at every place that it may
/// have in a longer text.
fn forms(text: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::from([text.to_owned()]);
    let percent = |all: bool| {
        let encode = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' if !all => char::from(byte).to_string(),
            b'-' | b'.' | b'_' | b'~' if !all => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(encode).collect::<String>()
    };
    forms.extend([percent(false), percent(false).to_lowercase(), percent(true)]);
    let json = serde_json::to_string(text).unwrap();
    forms.insert(json.trim_matches('"').to_owned());
    forms.insert(json.trim_matches('"').replace('/', "\\/"));
    for before in 0..3 {
        let padded = [&vec![b'x'; before][..], text.as_bytes()].concat();
        let whole = padded.len() / 3 * 3;
        // The characters that also depend on the neighbors are left out.
        let skipped = if before == 0 { 0 } else { 4 };
        for engine in [&STANDARD, &URL_SAFE] {
            forms.insert(engine.encode(&padded[..whole])[skipped..].to_owned());
        }
    }
    forms.retain(|form| form.len() >= 6);
    forms
}

/// Where canaries are found in `text`.
fn found(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let mut found = vec![];
    for canary in canaries() {
        for form in forms(&canary).into_iter().filter(|form| text.contains(form.as_str())) {
            let line = text.lines().find(|line| line.contains(&form)).unwrap_or_default();
            found.push(format!("{canary} in: {}", line.chars().take(600).collect::<String>()));
        }
    }
    found
}

/// Everything that is to be searched, with the name of its place.
#[derive(Default)]
struct Evidence(Vec<(String, Vec<u8>)>);

impl Evidence {
    fn add(&mut self, place: &str, text: impl Into<Vec<u8>>) {
        self.0.push((place.to_owned(), text.into()));
    }

    /// Every file below a directory but the ones that we wrote ourselves.
    fn add_files(&mut self, directory: &Path) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.add_files(&path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                self.add(&path.display().to_string(), bytes);
            }
        }
    }

    /// What a running server shows to others.
    fn add_live(&mut self, server: &ServerProcess) {
        let command = std::fs::read(format!("/proc/{}/cmdline", server.id())).unwrap_or_default();
        self.add("command line", command);
        let line = server.log_line("metrics are served");
        let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        let mut page = vec![];
        stream.read_to_end(&mut page).ok();
        assert!(page.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&page));
        self.add("metrics", page);
    }

    fn add_ended(&mut self, server: &mut ServerProcess) {
        server.close_input();
        while server.message(Duration::from_secs(20)).is_some() {}
        server.ended(PATIENCE).expect("it ends");
        self.add("stdout", server.transcript.clone());
        self.add("stderr", server.stderr());
    }

    #[track_caller]
    fn assert_clean(&self, case: &str) {
        let leaks: BTreeSet<String> = (self.0.iter())
            .flat_map(|(place, text)| found(text).into_iter().map(move |leak| format!("{place}: {leak}")))
            .collect();
        let bytes: usize = self.0.iter().map(|(_, text)| text.len()).sum();
        assert!(bytes > 0, "{case}: there is nothing to search");
        assert!(leaks.is_empty(), "{case}: {} leaks\n{:#?}", leaks.len(), leaks);
    }
}

/// A way to sign in.
type SignIn = (&'static str, fn(Site) -> Site);

const SIGN_INS: [SignIn; 5] = [
    ("password", |site| site.set("PASSWORD", PASSWORD)),
    ("access token", |site| {
        site.set("AUTHENTICATOR", "PROGRAMMATIC_ACCESS_TOKEN").set("TOKEN", ACCESS_TOKEN)
    }),
    ("token file", |site| {
        let path = site.secret_file("token", OAUTH_TOKEN);
        site.set("AUTHENTICATOR", "OAUTH").set("TOKEN_FILE_PATH", path.to_str().unwrap())
    }),
    ("private key", |site| {
        site.set("AUTHENTICATOR", "SNOWFLAKE_JWT").set("PRIVATE_KEY", &key("test-only-key.p8"))
    }),
    ("encrypted key", |site| {
        let path = site.secret_file("key.p8", &key("test-only-key-aes256.p8"));
        let site = site.set("AUTHENTICATOR", "SNOWFLAKE_JWT").set("PRIVATE_KEY_FILE", path.to_str().unwrap());
        site.set("PRIVATE_KEY_FILE_PWD", PASSPHRASE)
    }),
];

/// Secrets that are about but have nothing to do with the connection.
fn surrounded(site: Site) -> Site {
    site.secret_file("connections.toml", &format!("[spare]\naccount = \"spare\"\npassword = \"{OTHERS}\"\n"));
    site.variable("SNOWFLAKE_CONNECTIONS_SPARE_TOKEN", OTHERS)
        .variable("SNOWFLAKE_PASSWORD", VARIABLE)
        .variable("AWS_SECRET_ACCESS_KEY", VARIABLE)
        .variable("HTTPS_PROXY", &format!("http://ada:{PROXY}@127.0.0.1:9"))
}

const TRACE: [&str; 4] = ["--log-level", "trace", "--metrics", "127.0.0.1:0"];
const FORMATS: [&str; 2] = ["text", "json"];

fn call(server: &mut ServerProcess, tool: &str, arguments: serde_json::Value) -> serde_json::Value {
    server.request("tools/call", json!({ "name": tool, "arguments": arguments }))["result"].clone()
}

fn execute(server: &mut ServerProcess, sql: &str) -> serde_json::Value {
    call(server, "async_execute_query", json!({ "sql": sql, "wait_seconds": 50 }))
}

/// Everything that goes well, and a crash in between.
fn good_days(site: &Site, format: &str, evidence: &mut Evidence) {
    let arguments = [&TRACE[..], &["--log-format", format]].concat();
    let mut server = site.serve(&arguments);
    let answer = execute(&mut server, "select 1 /* fake: rows=2500 */");
    assert_eq!(answer["structuredContent"]["status"], "succeeded", "{answer}");
    let id = answer["structuredContent"]["query_id"].clone();
    call(&mut server, "query_result", json!({ "query_id": id, "offset": 2400 }));
    call(&mut server, "query_list", json!({}));
    call(&mut server, "query_status", json!({ "query_id": id }));
    execute(&mut server, "select * from missing");
    site.service.expire_sessions();
    execute(&mut server, "select 2 as after_the_renewal");
    site.service.expire_masters();
    execute(&mut server, "select 3 as after_the_next_sign_in");
    let long = server.submit("select 4 /* fake: runs=3600 */");
    server.wait_until_running(&long);
    call(&mut server, "query_cancel", json!({ "query_id": long }));
    let left = server.submit("select 5 /* fake: runs=held */");
    server.wait_until_running(&left);
    evidence.add_live(&server);
    server.kill();
    evidence.add("stdout", server.transcript.clone());
    evidence.add("stderr", server.stderr());
    site.service.step_all();
    let mut server = site.serve(&arguments);
    let end = server.wait_for_end(&left);
    assert_eq!(end["status"], "succeeded", "{end}");
    evidence.add_live(&server);
    evidence.add_ended(&mut server);
    evidence.add_files(&site.state_dir());
}

#[test]
fn no_secret_is_seen_while_all_goes_well_whatever_signs_in() {
    for api in APIS {
        for (place, (name, sign_in)) in SIGN_INS.iter().enumerate() {
            if api == "sql" && *name == "password" {
                continue;
            }
            let site = surrounded(sign_in(Site::new(api)));
            let mut evidence = Evidence::default();
            good_days(&site, FORMATS[place % 2], &mut evidence);
            evidence.assert_clean(&format!("{name} ({api})"));
        }
    }
}

/// What goes wrong, where.
fn faults(secret: &str) -> Vec<(&'static str, Misbehaviour)> {
    let status = |status| Misbehaviour::Status { status, retry_after: None };
    let redirect = format!("https://ada:{IN_REDIRECT}@elsewhere.example/{IN_REDIRECT}?token={IN_REDIRECT}");
    let echo =
        |status, code| refused(status, code, &format!("The credential {secret} is not good: token={secret}"));
    let mut all: Vec<(&'static str, Misbehaviour)> = vec![];
    for endpoint in ["login", "submit", "check", "fetch", "chunk", "cancel", "renew"] {
        all.extend(
            [
                status(401),
                status(403),
                status(429),
                status(500),
                status(503),
                Misbehaviour::HalfJson,
                Misbehaviour::Html { status: 200 },
                Misbehaviour::NotJson,
                Misbehaviour::TruncatedGzip,
                Misbehaviour::CutBody,
                Misbehaviour::Reset,
                Misbehaviour::Redirect { location: redirect.clone() },
                echo(401, "390303"),
                echo(200, "390100"),
                echo(422, "002003"),
                Misbehaviour::ForeignChunks { base: "http://192.0.2.1:9".to_owned() },
            ]
            .map(|kind| (endpoint, kind)),
        );
    }
    all
}

#[test]
fn no_secret_is_seen_whatever_goes_wrong() {
    for api in APIS {
        let (name, secret) =
            if api == "sql" { ("access token", ACCESS_TOKEN) } else { ("password", PASSWORD) };
        let sign_in = SIGN_INS.iter().find(|(known, _)| *known == name).unwrap().1;
        for (place, format) in FORMATS.iter().enumerate() {
            let site = surrounded(sign_in(Site::new(api)));
            let arguments = [&TRACE[..], &["--log-format", format]].concat();
            let mut evidence = Evidence::default();
            let mut server = site.serve(&arguments);
            let mut calls = vec![];
            for (number, (endpoint, kind)) in faults(secret).into_iter().enumerate() {
                if number % 2 != place {
                    continue;
                }
                if ["login", "renew"].contains(&endpoint) {
                    site.service.drop_sessions();
                }
                site.service.faults.clear();
                site.service.faults.add(Fault::once(endpoint, kind).times(3));
                let sql = format!("select {number} /* fake: rows=1500 */");
                let arguments = json!({ "sql": sql, "wait_seconds": 1, "timeout_seconds": 3 });
                calls.push(server.post_call("async_execute_query", arguments));
                if number % 4 < 2 {
                    let id = calls.pop().unwrap();
                    let answer = server.answer(id);
                    let id = answer["result"]["structuredContent"]["query_id"].clone();
                    server.request(
                        "tools/call",
                        json!({ "name": "query_cancel", "arguments": { "query_id": id } }),
                    );
                }
            }
            for id in calls {
                server.answer(id);
            }
            evidence.add_live(&server);
            evidence.add_ended(&mut server);
            evidence.add_files(&site.state_dir());
            evidence.assert_clean(&format!("{api}, {format}"));
        }
    }
}

/// A name and what it does to a site.
type Change = (&'static str, fn(Site) -> Site);

/// Settings that cannot be used and hold a secret.
const BROKEN: [Change; 7] = [
    ("a passphrase that does not fit", |site| {
        let path = site.secret_file("key.p8", &key("test-only-key-aes256.p8"));
        let site = site.set("AUTHENTICATOR", "SNOWFLAKE_JWT").set("PRIVATE_KEY_FILE", path.to_str().unwrap());
        site.set("PRIVATE_KEY_FILE_PWD", WRONG_PASSPHRASE)
    }),
    ("an address with a password", |site| {
        site.set("PASSWORD", PASSWORD).set("HOST", &format!("http://ada:{IN_ADDRESS}@127.0.0.1"))
    }),
    ("an account with a password", |site| {
        site.set("PASSWORD", PASSWORD).set("ACCOUNT", &format!("https://ada:{IN_ADDRESS}@acme/?x=1"))
    }),
    ("a file that is no TOML", |site| {
        site.secret_file("connections.toml", &format!("[test]\npassword = \"{IN_FILE}\nuser = \"ada\"\n"));
        site.set("PASSWORD", PASSWORD)
    }),
    ("a secret of the wrong type", |site| {
        site.secret_file("connections.toml", &format!("[test]\npassword = [\"{IN_FILE}\"]\n"));
        site
    }),
    ("a key that is none", |site| {
        site.set("AUTHENTICATOR", "SNOWFLAKE_JWT").set("PRIVATE_KEY", &format!("-----BEGIN {IN_FILE}"))
    }),
    ("a host behind a proxy with a password", |site| {
        site.set("PASSWORD", PASSWORD)
            .set("PROTOCOL", "https")
            .set("HOST", "acme.example")
            .set("API", "driver")
    }),
];

#[test]
fn no_command_prints_a_secret() {
    let commands: [&[&str]; 11] = [
        &["doctor", "--patience", "2s"],
        &["doctor", "--json", "--patience", "2s"],
        &["run", "--timeout", "2s", "select 1"],
        &["run", "--timeout", "2s", "--json", "select 2"],
        &["list"],
        &["list", "--json"],
        &["status", "q_00000000000000000000000000"],
        &["install", "cursor", "--print"],
        &["install", "cursor"],
        &["install", "cursor", "--force"],
        &["uninstall", "cursor"],
    ];
    let good: [Change; 1] = [("a good one", |site| site.set("PASSWORD", PASSWORD))];
    for (name, make) in good.into_iter().chain(BROKEN) {
        let site = make(surrounded(Site::new("driver")));
        let mut evidence = Evidence::default();
        for command in commands {
            let output = site.run(&[&["--log-level", "trace"], command].concat());
            evidence.add(&format!("{command:?} stdout"), output.stdout);
            evidence.add(&format!("{command:?} stderr"), output.stderr);
        }
        evidence.add_files(&site.state_dir());
        // What `install` wrote, its backups among it.
        evidence.add_files(&site.home.path().join(".cursor"));
        evidence.assert_clean(name);
    }
}

#[test]
fn at_the_default_level_a_statement_is_not_logged() {
    for api in APIS {
        let site = SIGN_INS[1].1(Site::new(api));
        let mut server = site.serve(&[]);
        execute(&mut server, &format!("select '{LITERAL}' as kept"));
        execute(&mut server, &format!("select '{LITERAL}' from missing"));
        server.close_input();
        server.ended(PATIENCE).expect("it ends");
        let log = server.stderr();
        assert!(log.contains("query ended") && !log.contains(LITERAL), "{api}: {log}");
    }
}

#[test]
fn a_secret_that_is_logged_on_purpose_is_found_in_every_form() {
    for canary in canaries() {
        for form in forms(&canary) {
            let line = format!("2026-01-01T00:00:00Z DEBUG called url=https://a.example/{form}x");
            assert!(!found(line.as_bytes()).is_empty(), "{canary} as {form}");
        }
        for before in ["", "a", "ab"] {
            let line = STANDARD.encode(format!("{before}{canary} and more"));
            assert!(!found(line.as_bytes()).is_empty(), "{canary} in {line}");
        }
    }
    // The same through a server: what a caller says is in the log, so a canary that a caller says is found there.
    let site = SIGN_INS[1].1(Site::new("sql")).fault("heartbeat", "", Misbehaviour::Lost);
    let mut server = site.serve(&TRACE);
    execute(&mut server, &format!("select '{VARIABLE}' as planted"));
    let mut evidence = Evidence::default();
    evidence.add_live(&server);
    evidence.add_ended(&mut server);
    evidence.add_files(&site.state_dir());
    let places: BTreeSet<&str> = (evidence.0.iter())
        .filter(|(_, text)| !found(text).is_empty())
        .map(|(place, _)| place.rsplit('/').next().unwrap())
        .collect();
    assert!(places.contains("stderr") && places.contains("stdout"), "{places:?}");
    assert!(places.iter().any(|place| place.starts_with("journal.db")), "{places:?}");
    assert!(!places.contains("metrics") && !places.contains("command line"), "{places:?}");
}
