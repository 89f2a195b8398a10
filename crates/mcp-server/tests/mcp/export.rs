//! Whole results as files: what is in them, where they may be, and what happens when they cannot be written.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mcp_server::config::Settings;
use mcp_server::tools::ToolName;
use registry_core::registry::RegistryConfig;
use registry_core::results::ResultLimits;
use registry_core::testing::scripted::{Script, ScriptedBackend};
use rmcp::model::{CallToolRequestParams, CallToolResult, ContentBlock};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::World;

const MANY: u64 = 3000;

/// An engine with a result of every kind of value and one of many rows.
fn engine() -> ScriptedBackend {
    let values = vec![
        vec![json!(1), json!("9007199254740993"), json!("12345678901234567890.10"), json!(0.1), json!(true)],
        vec![json!(-7), json!(null), json!("a,\"b\"\r\nc"), json!(1e21), json!(false)],
        vec![json!(null), json!(""), json!("=HYPERLINK(\"x\")"), json!(-0.5), json!(null)],
        vec![json!(0), json!("é\u{202e}\u{1b}"), json!({"a": [1, null]}), json!("NaN"), json!("00FF")],
    ];
    let columns = [("n", "NUMBER"), ("big", "NUMBER"), ("te\"xt", "TEXT"), ("f", "FLOAT"), ("f", "BOOLEAN")];
    let many = (0..MANY).map(|n| vec![json!(n), json!(format!("row {n}"))]).collect();
    crate::world::engine()
        .on("select values", Script::at_once().with_rows(&columns, values))
        .on("select many", Script::at_once().with_rows(&[("n", "NUMBER"), ("text", "TEXT")], many))
        .on("select nothing", Script::at_once().with_rows(&[], vec![]))
}

struct Exporter {
    world: World,
    dir: TempDir,
}

impl Exporter {
    async fn new() -> Self {
        Self::with(RegistryConfig::default(), |dir| dir.to_path_buf()).await
    }

    async fn with(config: RegistryConfig, directory: impl Fn(&Path) -> PathBuf) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { export_dir: Some(directory(dir.path())), ..Settings::default() };
        let world = World::with(engine(), settings, config).await;
        Self { world, dir }
    }

    async fn query(&self, sql: &str) -> String {
        self.world.call("async_execute_query", json!({ "sql": sql })).await.str("query_id").to_owned()
    }

    async fn raw(&self, arguments: Value) -> CallToolResult {
        self.world.raw("query_result", arguments).await
    }

    /// An export that must succeed: its facts and its text.
    async fn export(&self, arguments: Value) -> (Value, String) {
        let result = self.raw(arguments).await;
        let text = result.content[0].as_text().unwrap().text.clone();
        assert_ne!(result.is_error, Some(true), "{text}");
        (result.structured_content.unwrap(), text)
    }

    async fn refused(&self, arguments: Value) -> String {
        let result = self.raw(arguments).await;
        let text = result.content[0].as_text().unwrap().text.clone();
        assert_eq!(result.is_error, Some(true), "{text}");
        assert!(text.contains("\nnext: "), "{text}");
        text
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap()
    }
}

#[tokio::test]
async fn every_kind_of_value_is_exact_to_the_byte() {
    let exporter = Exporter::new().await;
    let id = exporter.query("select values").await;
    exporter.export(json!({"query_id": id, "export_file": "v.csv"})).await;
    exporter.export(json!({"query_id": id, "export_format": "jsonl", "export_file": "v"})).await;
    let csv = "n,big,\"te\"\"xt\",f,f\r\n\
               1,9007199254740993,12345678901234567890.10,0.1,true\r\n\
               -7,,\"a,\"\"b\"\"\r\nc\",1e+21,false\r\n\
               ,\"\",\"=HYPERLINK(\"\"x\"\")\",-0.5,\r\n\
               0,é\u{202e}\u{1b},\"{\"\"a\"\":[1,null]}\",NaN,00FF\r\n";
    assert_eq!(exporter.read("v.csv"), csv);
    let lines = r#"{"n":1,"big":"9007199254740993","te\"xt":"12345678901234567890.10","f":0.1,"f_2":true}
{"n":-7,"big":null,"te\"xt":"a,\"b\"\r\nc","f":1e+21,"f_2":false}
{"n":null,"big":"","te\"xt":"=HYPERLINK(\"x\")","f":-0.5,"f_2":null}
{"n":0,"big":"é\u202e\u001b","te\"xt":"{\"a\":[1,null]}","f":"NaN","f_2":"00FF"}
"#;
    assert_eq!(exporter.read("v.jsonl"), lines);
}

#[tokio::test]
async fn the_answer_has_a_preview_the_counts_the_path_and_a_link() {
    let exporter = Exporter::new().await;
    let id = exporter.query("select many").await;
    let result = exporter.raw(json!({"query_id": id, "export_format": "csv"})).await;
    let facts = result.structured_content.clone().unwrap();
    let path = exporter.dir.path().join(format!("{id}.csv"));
    let bytes = fs::metadata(&path).unwrap().len();
    assert_eq!(facts["export_path"], json!(path));
    assert_eq!((&facts["export_rows"], &facts["export_bytes"]), (&json!(MANY), &json!(bytes)));
    assert_eq!((&facts["export_status"], &facts["export_format"]), (&json!("written"), &json!("csv")));
    assert_eq!(facts["rows"].as_array().unwrap().len(), 10);
    let text = &result.content[0].as_text().unwrap().text;
    for part in [path.to_str().unwrap(), "3000 rows", "export_rows: 3000", "0,row 0\n", "next: "] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    assert!(text.len() < 3000, "{}", text.len());
    let ContentBlock::ResourceLink(link) = &result.content[1] else { panic!("{:?}", result.content) };
    assert_eq!(link.uri, format!("file://{}", path.to_str().unwrap()));
    assert_eq!((link.mime_type.as_deref(), link.size), (Some("text/csv"), Some(bytes)));
    assert_eq!(link.name, format!("{id}.csv"));
    let written = exporter.read(&link.name);
    assert_eq!((written.lines().count() as u64, written.lines().last()), (MANY + 1, Some("2999,row 2999")));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(exporter.files(), std::slice::from_ref(&link.name));
}

#[tokio::test]
async fn without_a_directory_export_is_neither_offered_nor_done() {
    let world = World::over(engine()).await;
    let id =
        world.call("async_execute_query", json!({"sql": "select many"})).await.str("query_id").to_owned();
    for asked in [json!({"export_format": "csv"}), json!({"export_file": "x.csv"})] {
        let mut arguments = json!({ "query_id": id });
        arguments.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
        let text = world.refused("query_result", arguments).await;
        assert!(text.contains("--export-dir") && text.contains("ASYNC_QUERY_MCP_EXPORT_DIR"), "{text}");
    }
    let offered = |settings: &Settings| {
        let tool = serde_json::to_value(ToolName::Result.definition(settings)).unwrap();
        (tool.to_string().contains("export"), tool["annotations"]["readOnlyHint"].clone())
    };
    assert_eq!(offered(&Settings::default()), (false, json!(true)));
    let settings = Settings { export_dir: Some("/x".into()), ..Settings::default() };
    assert_eq!(offered(&settings), (true, json!(false)));
}

#[tokio::test]
async fn no_name_leads_out_of_the_directory() {
    let exporter = Exporter::with(RegistryConfig::default(), |dir| dir.join("allowed")).await;
    fs::create_dir(exporter.dir.path().join("allowed")).unwrap();
    fs::create_dir(exporter.dir.path().join("outside")).unwrap();
    let id = exporter.query("select quick").await;
    let absolute = exporter.dir.path().join("outside/x.csv");
    let escapes = [
        "",
        ".",
        "..",
        "../x.csv",
        "../outside/x.csv",
        "a/../../x.csv",
        "./x.csv",
        "sub/x.csv",
        "/etc/x.csv",
        absolute.to_str().unwrap(),
        "//server/share/x.csv",
        "\\\\server\\share\\x.csv",
        "..\\x.csv",
        "C:\\x.csv",
        "C:x.csv",
        "x.csv:stream",
        "\\\\?\\C:\\x.csv",
        "file:///tmp/x.csv",
        "~/x.csv",
        "x\0.csv",
        "x.csv\0",
        "x\n.csv",
        ".hidden.csv",
        "-x.csv",
        " x.csv",
        "x.csv.",
        "x.csv ",
        "con.csv",
        "NUL",
        "com¹.csv",
        "LPT1.csv",
        "\u{ff0e}\u{ff0e}\u{ff0f}x.csv",
        "\u{2024}\u{2024}/x.csv",
        "x\u{202e}vsc.exe",
        "\u{200b}.csv",
        "%2e%2e%2fx.csv",
    ];
    let long = "x".repeat(300);
    for name in escapes.into_iter().chain([long.as_str()]) {
        let text = exporter.refused(json!({"query_id": id, "export_file": name})).await;
        assert!(text.contains("export_file"), "{name:?}: {text}");
    }
    for directory in ["allowed", "outside"] {
        assert_eq!(fs::read_dir(exporter.dir.path().join(directory)).unwrap().count(), 0, "{directory}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn no_link_and_no_pipe_is_followed_or_replaced() {
    use std::os::unix::fs::symlink;
    let exporter = Exporter::with(RegistryConfig::default(), |dir| dir.join("allowed")).await;
    let (allowed, outside) = (exporter.dir.path().join("allowed"), exporter.dir.path().join("outside"));
    fs::create_dir(&allowed).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim.csv"), "keep").unwrap();
    symlink(&outside, allowed.join("dir.csv")).unwrap();
    symlink(outside.join("victim.csv"), allowed.join("file.csv")).unwrap();
    symlink(outside.join("new.csv"), allowed.join("dangling.csv")).unwrap();
    symlink("loop.csv", allowed.join("loop.csv")).unwrap();
    fs::create_dir(allowed.join("folder.csv")).unwrap();
    let pipe = allowed.join("pipe.csv");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let id = exporter.query("select quick").await;
    for name in ["dir.csv", "file.csv", "dangling.csv", "loop.csv", "folder.csv", "pipe.csv"] {
        let text = exporter.refused(json!({"query_id": id, "export_file": name})).await;
        assert!(text.contains("exists"), "{name}: {text}");
    }
    assert_eq!(fs::read_to_string(outside.join("victim.csv")).unwrap(), "keep");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_dir(&allowed).unwrap().count(), 6);
}

#[tokio::test]
async fn another_file_is_never_overwritten_and_the_same_rows_are_found() {
    let exporter = Exporter::new().await;
    let id = exporter.query("select many").await;
    let ask = json!({"query_id": id, "export_file": "many.csv"});
    exporter.export(ask.clone()).await;
    let path = exporter.dir.path().join("many.csv");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    // A second server knows nothing of the first one's files.
    let settings = Settings { export_dir: Some(exporter.dir.path().to_path_buf()), ..Settings::default() };
    let lazy = mcp_server::lazy::LazyRegistry::opened(exporter.world.registry.clone());
    let (second, _, _served) = crate::world::connect(settings, lazy).await;
    let params = CallToolRequestParams::new("query_result").with_arguments(ask.as_object().cloned().unwrap());
    let found = second.call_tool(params).await.unwrap();
    let message = found.structured_content.unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("was there before"), "{message}");
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    for other in ["", "0", "n,text\r\n0,row 0\r\n", "something else"] {
        fs::write(&path, other).unwrap();
        let text = exporter.refused(ask.clone()).await;
        assert!(text.contains("left as it is") && text.contains("another export_file"), "{text}");
        assert_eq!(exporter.read("many.csv"), other);
    }
    // Longer than the rows by one byte.
    fs::remove_file(&path).unwrap();
    exporter.export(ask.clone()).await;
    let longer = exporter.read("many.csv") + "\n";
    fs::write(&path, &longer).unwrap();
    exporter.refused(ask).await;
    assert_eq!(exporter.files(), ["many.csv"]);
}

#[tokio::test]
async fn two_exports_to_one_name_at_the_same_time_make_one_file_of_one_of_them() {
    let exporter = Exporter::new().await;
    let (many, quick) = (exporter.query("select many").await, exporter.query("select quick").await);
    for round in 0..20 {
        let name = format!("r{round}.csv");
        let ask = |id: &str| exporter.raw(json!({"query_id": id, "export_file": name}));
        let (a, b, c) = tokio::join!(ask(&many), ask(&quick), ask(&many));
        let won = |result: &CallToolResult| result.is_error != Some(true);
        assert_eq!(won(&a), won(&c));
        assert_ne!(won(&a), won(&b), "{a:?} {b:?}");
        let lines = exporter.read(&name).lines().count() as u64;
        assert_eq!(lines, if won(&a) { MANY + 1 } else { 2 });
    }
    assert_eq!(exporter.files().len(), 20);
}

#[tokio::test]
async fn a_call_that_does_not_wait_says_so_and_the_same_call_again_finds_the_file() {
    let exporter = Exporter::new().await;
    let id = exporter.query("select many").await;
    let ask = |wait: f64| json!({"query_id": id, "export_format": "csv", "wait_seconds": wait});
    let (facts, text) = exporter.export(ask(0.0)).await;
    assert_eq!((&facts["export_status"], &facts["rows"]), (&json!("writing"), &Value::Null), "{text}");
    assert!(facts["next"].as_str().unwrap().contains("the same arguments"), "{text}");
    let (facts, text) = exporter.export(ask(40.0)).await;
    assert_eq!(facts["export_status"], "written");
    // It was joined, not written once more.
    assert!(!text.contains("was there before"), "{text}");
    let (facts, _) = exporter.export(ask(0.0)).await;
    assert_eq!(facts["export_status"], "written");
}

#[tokio::test]
async fn a_removed_file_is_written_again() {
    let exporter = Exporter::new().await;
    let id = exporter.query("select many").await;
    for _ in 0..2 {
        exporter.export(json!({"query_id": id, "export_file": "x.csv"})).await;
        fs::remove_file(exporter.dir.path().join("x.csv")).unwrap();
    }
}

#[tokio::test]
async fn what_is_missing_for_good_is_said_first() {
    let result_limits = ResultLimits { max_rows: 100, ..ResultLimits::default() };
    let config = RegistryConfig { result_limits, ..RegistryConfig::default() };
    let exporter = Exporter::with(config, |dir| dir.to_path_buf()).await;
    let id = exporter.query("select many").await;
    let (facts, text) = exporter.export(json!({"query_id": id, "export_format": "jsonl"})).await;
    assert!(text.starts_with("TRUNCATED: only the first 100 of"), "{text}");
    assert_eq!((&facts["export_rows"], &facts["truncated"]), (&json!(100), &json!("row_ceiling")));
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named_with_what_to_do() {
    let mut cases = vec![("missing", PathBuf::from("missing"), "--export-dir")];
    if cfg!(target_os = "linux") {
        // Not even a superuser may write there.
        cases.push(("unwritable", PathBuf::from("/sys/kernel"), "right to write"));
    }
    for (case, directory, mend) in cases {
        let exporter = Exporter::with(RegistryConfig::default(), |dir| dir.join(&directory)).await;
        let id = exporter.query("select quick").await;
        let text = exporter.refused(json!({"query_id": id, "export_format": "csv"})).await;
        assert!(text.contains(directory.to_str().unwrap()) && text.contains(mend), "{case}: {text}");
    }
}

#[tokio::test]
async fn a_query_without_a_result_is_refused_as_ever_and_leaves_no_file() {
    let exporter = Exporter::new().await;
    let wrong = exporter.world.raw("async_execute_query", json!({"sql": "select wrong"})).await;
    assert_eq!(wrong.is_error, Some(true));
    let listed = exporter.world.call("query_list", json!({})).await;
    let id = listed.facts["queries"][0]["query_id"].clone();
    let text = exporter.refused(json!({"query_id": id, "export_format": "csv"})).await;
    assert!(text.contains("ordes"), "{text}");
    let id = exporter.query("select nothing").await;
    let text = exporter.refused(json!({"query_id": id, "export_format": "csv"})).await;
    assert!(text.contains("no columns"), "{text}");
    assert_eq!(exporter.files(), [""; 0]);
}

#[tokio::test]
async fn drafts_of_a_killed_process_are_swept_away() {
    let exporter = Exporter::new().await;
    let draft = exporter.dir.path().join(".async-query-mcp-Ab12Cd.part");
    let file = fs::File::create(&draft).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    drop(file);
    let id = exporter.query("select quick").await;
    exporter.export(json!({"query_id": id, "export_file": "x.csv"})).await;
    assert_eq!(exporter.files(), ["x.csv"]);
}
