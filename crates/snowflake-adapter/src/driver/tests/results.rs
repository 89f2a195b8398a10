use std::io::Write;
use std::sync::{Arc, Mutex};

use arrow_array::{Int8Array, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use base64::Engine;
use registry_core::backend::FetchError;
use registry_core::error::ErrorKind;
use registry_core::results::{ResultStore, StoredRows};
use serde_json::json;

use super::*;

/// What a service with this result and these chunks gives, and the values of the only column.
async fn fetched(
    body: impl Fn(&str) -> String + Send + Sync + 'static,
    chunk: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (Server, Result<(StoredRows, Vec<serde_json::Value>), FetchError>) {
    fetched_into(ResultLimits::default(), body, chunk).await
}

async fn fetched_into(
    limits: ResultLimits,
    body: impl Fn(&str) -> String + Send + Sync + 'static,
    chunk: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (Server, Result<(StoredRows, Vec<serde_json::Value>), FetchError>) {
    let base = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&base);
    let server = Server::start(move |seen| match seen.path.as_str() {
        path if path.ends_with("/result") => Reply::json(body(&known.lock().unwrap())),
        path if path.starts_with("/chunk") => chunk(seen),
        _ => usual(seen),
    })
    .await;
    *base.lock().unwrap() = server.url().to_string();
    let directory = tempfile::tempdir().unwrap();
    let store = ResultStore::open(directory.path().to_owned(), limits).unwrap();
    let backend = backend(&server);
    let id = QueryId::generate();
    let stored = session(&backend).await.fetch(&RemoteHandle::new(ID), store.writer(id)).await;
    let rows = stored.map(|stored| {
        let page = store.page(id, 0, stored.rows.max(1), u64::MAX).unwrap();
        let values = page.rows.into_iter().map(|row| row[0].clone()).collect();
        (stored, values)
    });
    (server, rows)
}

fn data(parts: &serde_json::Value) -> String {
    let mut data = json!({ "rowtype": [{ "name": "A", "type": "fixed", "scale": 0, "precision": 9 }] });
    data.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
    json!({ "data": data, "code": null, "success": true }).to_string()
}

fn chunks(base: &str, names: &[&str]) -> serde_json::Value {
    let chunk =
        |name: &&str| json!({ "url": format!("{base}chunk/{name}"), "rowCount": 2, "uncompressedSize": 20 });
    names.iter().map(chunk).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn stream(values: &[i8]) -> Vec<u8> {
    let schema = Arc::new(Schema::new(vec![Field::new("A", DataType::Int8, true)]));
    let batch =
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int8Array::from(values.to_vec()))]).unwrap();
    let mut out = Vec::new();
    let mut writer = StreamWriter::try_new(&mut out, &schema).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    out
}

#[tokio::test]
async fn json_rows_come_inline_first_and_then_chunk_by_chunk() {
    let body = |base: &str| {
        data(
            &json!({ "queryResultFormat": "json", "rowset": [["1"], ["2"]], "total": 8, "chunks": chunks(base, &["3", "5", "7"]) }),
        )
    };
    let (server, rows) = fetched(body, |seen| {
        let first: u32 = seen.path.rsplit('/').next().unwrap().parse().unwrap();
        let text = format!(r#"["{first}"],["{}"]"#, first + 1);
        match first {
            3 => Reply::bytes("x/y", gzip(text.as_bytes())).header("Content-Encoding", "gzip"),
            5 => Reply::bytes("x/y", gzip(text.as_bytes())),
            _ => Reply::bytes("x/y", text.into_bytes()),
        }
    })
    .await;
    let (stored, values) = rows.unwrap();
    assert_eq!(values, (1..=8).map(|n| json!(n)).collect::<Vec<_>>());
    assert_eq!((stored.total_rows, stored.truncated), (Some(8), None));
    assert_eq!(stored.columns[0].kind, "NUMBER(9,0)");
    let chunk = &server.seen("/chunk/3")[0];
    assert!(!chunk.headers.contains_key("authorization"), "the storage is a stranger");
}

#[tokio::test]
async fn arrow_rows_come_inline_first_and_then_chunk_by_chunk() {
    let body = |base: &str| {
        let inline = base64::engine::general_purpose::STANDARD.encode(stream(&[1, 2]));
        data(
            &json!({ "queryResultFormat": "arrow", "rowsetBase64": inline, "total": 4, "chunks": chunks(base, &["3"]) }),
        )
    };
    let (_server, rows) = fetched(body, |_| Reply::bytes("x/y", gzip(&stream(&[3, 4])))).await;
    assert_eq!(rows.unwrap().1, [json!(1), json!(2), json!(3), json!(4)]);
}

#[tokio::test]
async fn an_empty_result_keeps_its_columns_in_both_formats() {
    for parts in [
        json!({ "queryResultFormat": "json", "rowset": [], "total": 0 }),
        json!({ "queryResultFormat": "arrow", "rowsetBase64": "", "total": 0 }),
    ] {
        let (_server, rows) = fetched(move |_| data(&parts), usual).await;
        let (stored, values) = rows.unwrap();
        assert_eq!((stored.columns.len(), stored.rows, values.len()), (1, 0, 0));
    }
}

#[tokio::test]
async fn chunk_headers_win_over_the_key_even_when_they_are_none() {
    let cases = [
        (json!({ "chunkHeaders": { "x-one": "1" }, "qrmk": "key" }), Some("x-one"), false),
        (json!({ "chunkHeaders": {}, "qrmk": "key" }), None, false),
        (json!({ "qrmk": "key" }), None, true),
    ];
    for (extra, wanted, has_key) in cases {
        let body = move |base: &str| {
            let mut parts = json!({ "rowset": [], "chunks": chunks(base, &["1"]) });
            parts.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            data(&parts)
        };
        let (server, rows) = fetched(body, |_| Reply::bytes("x/y", br#"["1"]"#.to_vec())).await;
        rows.unwrap();
        let headers = &server.seen("/chunk/1")[0].headers;
        assert!(wanted.is_none_or(|name| headers.contains_key(name)), "{headers:?}");
        let key = "x-amz-server-side-encryption-customer-key";
        assert_eq!(headers.get(key).map(String::as_str), has_key.then_some("key"));
    }
}

#[tokio::test]
async fn addresses_that_have_run_out_are_asked_for_anew_once() {
    let asked = Arc::new(Mutex::new(0));
    let body = move |base: &str| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        let names = if *asked == 1 { ["1", "old"] } else { ["1", "new"] };
        data(&json!({ "rowset": [["0"]], "total": 3, "chunks": chunks(base, &names) }))
    };
    let (server, rows) = fetched(body, |seen| match seen.path.as_str() {
        "/chunk/old" => Reply::status(403, ""),
        "/chunk/new" => Reply::bytes("x/y", br#"["2"]"#.to_vec()),
        _ => Reply::bytes("x/y", br#"["1"]"#.to_vec()),
    })
    .await;
    assert_eq!(rows.unwrap().1, [json!(0), json!(1), json!(2)], "no row twice, none left out");
    assert_eq!(server.count("/chunk/new"), 1);
}

#[tokio::test]
async fn a_storage_that_keeps_refusing_is_told_and_names_no_address() {
    let body = |base: &str| data(&json!({ "rowset": [], "chunks": chunks(base, &["s3cret"]) }));
    let (_server, rows) = fetched(body, |_| Reply::status(403, "")).await;
    let Err(FetchError::Final(error)) = rows else { panic!("{rows:?}") };
    assert_eq!(error.kind, ErrorKind::ResultFetch);
    assert!(!error.message.contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn a_storage_that_is_down_is_tried_again_and_then_left_to_the_caller() {
    let body = |base: &str| data(&json!({ "rowset": [], "chunks": chunks(base, &["s3cret"]) }));
    let (server, rows) = fetched(body, |_| Reply::status(503, "")).await;
    let Err(FetchError::Retry(error)) = rows else { panic!("{rows:?}") };
    assert!(!error.to_string().contains("s3cret"), "{error:?}");
    assert_eq!(server.count("/chunk/s3cret"), 3);
}

#[tokio::test]
async fn a_chunk_at_a_plain_address_elsewhere_is_not_fetched() {
    let body = |_: &str| data(&json!({ "rowset": [], "chunks": [{ "url": "http://storage.example/x" }] }));
    let (_server, rows) = fetched(body, usual).await;
    assert!(matches!(rows, Err(FetchError::Final(_))), "{rows:?}");
}

#[tokio::test]
async fn a_full_store_stops_the_chunks() {
    let limits = ResultLimits { max_rows: 1, ..ResultLimits::default() };
    let body = |base: &str| {
        let names: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        data(&json!({ "rowset": [["1"], ["2"]], "total": 100, "chunks": chunks(base, &names) }))
    };
    let (_server, rows) = fetched_into(limits, body, |_| panic!("no chunk is wanted")).await;
    let (stored, values) = rows.unwrap();
    assert_eq!((stored.rows, stored.total_rows, values.len()), (1, Some(100), 1));
    assert!(stored.truncated.is_some());
}

#[tokio::test]
async fn no_more_than_a_few_chunks_are_fetched_ahead() {
    let held = Arc::new(tokio::sync::Notify::new());
    let hold = Arc::clone(&held);
    let body =
        |base: &str| data(&json!({ "rowset": [], "chunks": chunks(base, &["1", "2", "3", "4", "5", "6"]) }));
    let fetching = tokio::spawn(fetched(body, move |_| {
        let reply = Reply::bytes("x/y", br#"["1"]"#.to_vec());
        reply.held(&hold)
    }));
    // Every answer lets one more question through; never are more than three open.
    for _ in 0..6 {
        held.notify_one();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let bound = tokio::time::timeout(Duration::from_secs(10), async {
        let mut fetching = fetching;
        loop {
            tokio::select! {
                done = &mut fetching => return done.unwrap(),
                () = tokio::time::sleep(Duration::from_millis(2)) => held.notify_one(),
            }
        }
    });
    assert_eq!(bound.await.unwrap().1.unwrap().0.rows, 6);
}

#[tokio::test]
async fn a_result_that_snowflake_no_longer_has_is_final() {
    let (_server, rows) = fetched(|_| refusal("000612"), usual).await;
    let Err(FetchError::Final(error)) = rows else { panic!("{rows:?}") };
    assert!(error.message.contains("run the statement again"), "{error:?}");
}

#[tokio::test]
async fn nothing_that_a_dependency_logs_shows_a_secret() {
    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    struct All;
    impl log::Log for All {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            LINES.lock().unwrap().push(format!("{} {}", record.target(), record.args()));
        }
        fn flush(&self) {}
    }
    log::set_logger(&All).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let server = Server::start(usual).await;
    let backend = backend(&server);
    Bench::new().submit(&mut session(&backend).await).await.unwrap();
    backend.shut_down().await;
    let lines = LINES.lock().unwrap();
    for secret in ["pa55word", "session-1", "master-1"] {
        let shown: Vec<&String> = lines.iter().filter(|line| line.contains(secret)).collect();
        assert!(shown.is_empty(), "{secret}: {shown:?}");
    }
    assert!(!lines.iter().any(|line| line.starts_with("snowflake_api")), "the transport crate logs nothing");
}

/// Run by hand, alone, for its peak of memory: `cargo test --release -p snowflake-adapter a_million -- --ignored`.
#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "a measurement"]
async fn a_million_rows_take_little_memory() {
    const CHUNKS: usize = 20;
    const EACH: usize = 50_000;
    let names: Vec<String> = (0..CHUNKS).map(|n| n.to_string()).collect();
    let body = move |base: &str| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut parts = chunks(base, &names);
        for chunk in parts.as_array_mut().unwrap() {
            chunk["uncompressedSize"] = json!(EACH * 10);
        }
        data(&json!({ "rowset": [], "total": CHUNKS * EACH, "chunks": parts }))
    };
    let directory = tempfile::tempdir().unwrap();
    let store = ResultStore::open(directory.path().to_owned(), ResultLimits::default()).unwrap();
    let base = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&base);
    let server = Server::start(move |seen| match seen.path.as_str() {
        path if path.ends_with("/result") => Reply::json(body(&known.lock().unwrap())),
        path if path.starts_with("/chunk") => {
            let first: usize = path.rsplit('/').next().unwrap().parse().unwrap();
            let rows: Vec<String> = (0..EACH).map(|n| format!(r#"["{}"]"#, first * EACH + n)).collect();
            Reply::bytes("x/y", rows.join(",").into_bytes())
        }
        _ => usual(seen),
    })
    .await;
    *base.lock().unwrap() = server.url().to_string();
    let backend = backend(&server);
    let started = std::time::Instant::now();
    let stored =
        session(&backend).await.fetch(&RemoteHandle::new(ID), store.writer(QueryId::generate())).await;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(stored.unwrap().rows, (CHUNKS * EACH) as u64);
    assert!(kib < 150 << 10, "{peak} after {:?}", started.elapsed());
}
