//! Answers, chunks and configurations that were spoiled at random, read by the code that reads real ones. Nothing may
//! panic, and nothing may take long.
//!
//! The suite does each for a second; `SNOWFLAKE_FUZZ_CASES=1000000 cargo test -p snowflake-adapter --lib fuzz` reads so
//! many, and `SNOWFLAKE_FUZZ_SEED` takes up a run again. The seed and the count are printed.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use registry_core::id::QueryId;
use registry_core::results::{ResultLimits, ResultStore};

use crate::config::{Sources, explain, load, names};
use crate::values::Column;
use crate::values::arrow::{first_text, store_batches};
use crate::values::json::store_rows;

const SHORT: Duration = Duration::from_secs(1);
/// No single case may take longer, not even on a busy machine.
const TOO_LONG: Duration = Duration::from_secs(5);

/// Numbers that only look random, the same again for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (sides.max(1) as u64)).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}

/// What lies at the borders of what code expects.
const SPICE: [&str; 34] = [
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "0",
    "-1",
    "1e999",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "4294967295",
    "65536",
    "99999999999999999999999999999999999999",
    "\"arrow\"",
    "\"json\"",
    "\\u0000",
    "\\ud800",
    "\u{202e}",
    "é",
    "\u{0}",
    "\"",
    "\\",
    ",",
    ":",
    "[",
    "]",
    "{",
    "}",
    "\n",
    "=",
    "~",
    "=4 ",
    "\u{1f381}",
];

/// Spoils `bytes` in one to four places.
fn spoil(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..=dice.roll(4) {
        let place = dice.roll(bytes.len() + 1);
        let end = (place + dice.roll(12)).min(bytes.len());
        match dice.roll(9) {
            0 if place < bytes.len() => bytes[place] ^= 1 << dice.roll(8),
            1 if place < bytes.len() => bytes[place] = *dice.pick(&[0, 1, 0x7f, 0x80, 0xff, b'9']),
            2 => bytes.truncate(place),
            3 => drop(bytes.drain(place..end)),
            4 => {
                let copy = bytes[place..end].to_vec();
                let to = dice.roll(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            5 => {
                // A number takes another value where it stands.
                if let Some(start) = bytes[place..].iter().position(u8::is_ascii_digit) {
                    let start = place + start;
                    let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                    bytes.splice(start..start + length, dice.pick(&SPICE).bytes());
                }
            }
            6 if place + 8 <= bytes.len() => {
                let value = *dice.pick(&[0_u64, 1, u64::MAX, 1 << 31, 1 << 40, i64::MAX as u64]);
                bytes[place..place + 8].copy_from_slice(&value.to_le_bytes());
            }
            7 if place + 4 <= bytes.len() => {
                let value = *dice.pick(&[0_u32, 1, u32::MAX, i32::MAX as u32, 0x8000_0000, 7]);
                bytes[place..place + 4].copy_from_slice(&value.to_le_bytes());
            }
            _ => drop(bytes.splice(place..place, dice.pick(&SPICE).bytes())),
        }
    }
}

/// Reads spoiled members of `corpus` until the time or the count is over.
fn fuzz(what: &str, corpus: &[Vec<u8>], mut read: impl FnMut(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let count = number("SNOWFLAKE_FUZZ_CASES");
    let seed = number("SNOWFLAKE_FUZZ_SEED").unwrap_or_else(|| u64::from(std::process::id()) | 1 << 40);
    let (mut dice, start, mut cases) = (Dice(seed), Instant::now(), 0_u64);
    println!("{what}: SNOWFLAKE_FUZZ_SEED={seed}");
    while count.map_or_else(|| start.elapsed() < SHORT, |count| cases < count) {
        let mut bytes = dice.pick(corpus).clone();
        spoil(&mut dice, &mut bytes);
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
        let text = String::from_utf8_lossy(&bytes);
        assert!(outcome.is_ok(), "{what}: seed {seed}, case {cases} panicked: {text:?} {bytes:?}");
        assert!(
            begun.elapsed() < TOO_LONG,
            "{what}: seed {seed}, case {cases} took {:?}: {text:?}",
            begun.elapsed()
        );
        cases += 1;
    }
    assert!(cases > 0);
    println!("{what}: {cases} cases in {:?}, no panic", start.elapsed());
}

/// The values that the tests of the decoders know, as one answer of the SQL API and one of the drivers' protocol.
fn answers() -> Vec<Vec<u8>> {
    let table = crate::values::tests::table();
    let types: Vec<String> = (table.iter())
        .map(|(kind, scale, ..)| format!(r#"{{"name":"C","type":"{kind}","scale":{scale},"precision":38}}"#))
        .collect();
    let row = serde_json::to_string(&table.iter().map(|(_, _, text, _)| text).collect::<Vec<_>>()).unwrap();
    let (types, nulls) = (types.join(","), vec!["null"; table.len()].join(","));
    let api = format!(
        r#"{{"resultSetMetaData":{{"numRows":2,"format":"jsonv2","partitionInfo":[{{"rowCount":2,"uncompressedSize":4375}}],"rowType":[{types}]}},"data":[{row},[{nulls}]],"code":"090001","sqlState":"00000","statementHandle":"01b66701-0000-001c-0000-0030000b9152","message":"ok"}}"#
    );
    let driver = format!(
        r#"{{"data":{{"rowtype":[{types}],"rowset":[{row},[{nulls}]],"total":2,"queryId":"01b66701-0000-001c-0000-0030000b9152","queryResultFormat":"json","chunks":[{{"url":"https://a.example/b?c=d","rowCount":5,"uncompressedSize":1,"compressedSize":2}}],"chunkHeaders":{{"x-amz-a":"b"}},"qrmk":"a2V5"}},"code":null,"message":null,"success":true}}"#
    );
    let others = [
        r#"{"data":{"queries":[{"id":"01b66701-0000-001c-0000-0030000b9152","status":"FAILED_WITH_ERROR","errorCode":604,"errorMessage":"x"}]},"code":null,"success":true}"#,
        r#"{"data":{"token":"t","masterToken":"m","validityInSeconds":3600,"masterValidityInSeconds":14400,"parameters":[{"name":"A","value":true}],"sessionId":7},"code":null,"message":null,"success":true}"#,
        r#"{"code":"390144","message":"JWT token is invalid.","sqlState":"08004"}"#,
        r#"{"data":{"rowset":[["1"],["2"]]},"success":true}"#,
        r#"[["1","2"],["3",null]]"#,
    ];
    [api, driver].into_iter().chain(others.map(str::to_owned)).map(String::into_bytes).collect()
}

/// A store and what is written to it.
struct Bench {
    store: ResultStore,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let limits = ResultLimits { max_rows: 100, ..ResultLimits::default() };
        let store = ResultStore::open(directory.path().to_owned(), limits).unwrap();
        Self { store, _directory: directory }
    }

    fn decode<T>(
        &self,
        columns: &[Column],
        decode: impl FnOnce(&mut registry_core::results::ResultWriter) -> T,
    ) -> T {
        let id = QueryId::generate();
        let mut writer = self.store.writer(id);
        writer.columns(columns.iter().map(|column| column.meta.clone()).collect()).unwrap();
        let decoded = decode(&mut writer);
        drop(writer);
        self.store.remove(id).ok();
        decoded
    }
}

fn columns() -> Vec<Column> {
    let table = crate::values::tests::table();
    table.iter().map(|(kind, scale, ..)| Column::new("C", kind, Some(*scale), Some(38))).collect()
}

#[test]
fn spoiled_answers_of_both_protocols_are_read_without_a_panic() {
    let (bench, columns) = (Bench::new(), columns());
    fuzz("answers", &answers(), |bytes| {
        crate::sql_api::tests::read_spoiled(bytes);
        crate::driver::tests::read_spoiled(bytes);
        let told = crate::driver::tests::columns_of_spoiled(bytes).filter(|told| !told.is_empty());
        let columns = told.as_deref().unwrap_or(&columns);
        bench.decode(columns, |writer| drop(store_rows(bytes, columns, writer)));
    });
}

#[test]
fn spoiled_batches_of_every_type_are_read_without_a_panic() {
    let bench = Bench::new();
    for (number, (column, stream)) in crate::values::arrow::tests::streams().into_iter().enumerate() {
        fuzz(&format!("batches {number}"), &[stream], |bytes| {
            let columns = std::slice::from_ref(&column);
            bench.decode(columns, |writer| drop(store_batches(bytes, columns, writer)));
            drop(first_text(bytes));
        });
    }
}

#[test]
fn spoiled_compressed_bodies_are_read_without_a_panic() {
    let compressed = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(vec![], Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let corpus: Vec<Vec<u8>> = answers().iter().map(|answer| compressed(answer)).collect();
    let (bench, columns) = (Bench::new(), columns());
    fuzz("compressed bodies", &corpus, |bytes| {
        let mut out = vec![];
        MultiGzDecoder::new(bytes).take(1 << 24).read_to_end(&mut out).ok();
        crate::sql_api::tests::read_spoiled(&out);
        bench.decode(&columns, |writer| drop(store_rows(&out, &columns, writer)));
    });
}

#[test]
fn spoiled_configurations_are_read_without_a_panic() {
    let corpus: Vec<Vec<u8>> = [
        "default_connection_name = \"dev\"\n[connections.dev]\naccount = \"myorg-acct1.eu-west-1.aws\"\nuser = \"ada\"\n\
         password = \"hush\"\nport = 443\nprotocol = \"https\"\n[connections.dev.session_parameters]\nA = 1\nB = true\n",
        "[dev]\naccount = 'https://myorg-acct1.snowflakecomputing.com/console'\nhost = \"[::1]:8080\"\nuser = \"ä\"\n\
         authenticator = \"SNOWFLAKE_JWT\"\nprivate_key_file = \"~/key.p8\"\nprivate_key_file_pwd = \"x\"\n",
        "[\"d e v\"]\nregion = \"eu\"\naccount = \"ab12345\"\ntoken = \"\"\"t\nu\"\"\"\napi = \"driver\"\nrole = '\"A\"\"b\"'\n\
         warehouse = \"w\"\ndatabase = 1.5\nschema = 1979-05-27\n",
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ\n-----END PRIVATE KEY-----\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    for name in ["config.toml", "connections.toml"] {
        crate::config::testing::write(directory.path(), name, "", 0o600);
    }
    let keys =
        ["ACCOUNT", "HOST", "PORT", "USER", "TOKEN", "PRIVATE_KEY", "ROLE", "AUTHENTICATOR", "REGION", "API"];
    let mut turn = 0;
    fuzz("configurations", &corpus, |bytes| {
        turn += 1;
        std::fs::write(file(["config.toml", "connections.toml"][turn % 2]), bytes).unwrap();
        let text = String::from_utf8_lossy(bytes);
        let value: String = text.lines().nth(turn % 5).unwrap_or_default().chars().take(80).collect();
        let value = value.split(" = ").last().unwrap_or_default().trim_matches(['"', '\'']).to_owned();
        let sources = Sources::new()
            .with_directory(directory.path())
            .with_home(directory.path())
            .with_variable(format!("SNOWFLAKE_CONNECTIONS_DEV_{}", keys[turn % keys.len()]), value.clone())
            .with_variable(format!("SNOWFLAKE_{}", keys[(turn / 7) % keys.len()]), value);
        names(&sources).ok();
        for name in [None, Some("dev"), Some("d e v"), Some(&*text)] {
            explain(name, &sources).ok();
            if let Ok(config) = load(name, &sources) {
                crate::auth::Authenticator::new(&config).ok();
            }
        }
    });
}
