//! Bad input of every kind: each gets a clear answer, the server goes on, and nothing is lost.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{ENDLESS, Schedule, Server};

fn still_works(server: &mut Server) {
    let answer = server.process.call("async_execute_query", json!({ "sql": "select 41 + 1" }));
    assert_eq!(answer["rows"], json!([[42]]), "{answer}");
}

/// Code and id of each answer that no request was waited for with.
fn answers_to_a_line(server: &mut Server) -> Vec<Value> {
    let others = std::mem::take(&mut server.process.other_messages);
    let answers = others.into_iter().filter(|message| message.get("method").is_none());
    answers.map(|answer| json!([answer["error"]["code"], answer["id"]])).collect()
}

#[test]
fn lines_that_are_no_messages_are_answered_and_do_not_end_the_server() {
    let mut server = Server::start(&[]);
    let id = server.process.submit(ENDLESS);
    let deep = format!("{{\"jsonrpc\":\"2.0\",\"id\":900,\"method\":{}", "[".repeat(100_000));
    let cases: [(&[u8], Option<Value>); 17] = [
        (b"", None),
        (b"   ", None),
        (b"no json", Some(json!([-32700, null]))),
        (b"{\"jsonrpc\":\"2.0\",\"id\":900,", Some(json!([-32700, null]))),
        (b"{\"jsonrpc\":\"2.0\",\"id\":900,\"method\":\"ping\",", Some(json!([-32700, 900]))),
        (b"{\"method\":\"ping\",\"params\":{],\"id\":\"a\"}", Some(json!([-32700, "a"]))),
        (b"[]", Some(json!([-32600, null]))),
        (b"[{\"jsonrpc\":\"2.0\",\"id\":900,\"method\":\"ping\"}]", Some(json!([-32600, null]))),
        (b"null", Some(json!([-32600, null]))),
        (b"{\"jsonrpc\":\"1.0\",\"id\":900,\"method\":\"ping\"}", Some(json!([-32600, 900]))),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}", Some(json!([-32600, null]))),
        (b"{\"jsonrpc\":\"2.0\",\"method\":5}", None),
        (b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32700,\"message\":\"an echo\"}}", None),
        (b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":900,\"method\":\"ping\"}", Some(json!([null, 900]))),
        (b"\xff\xfe\x00", Some(json!([-32700, null]))),
        (b"\x00\x00\x00", Some(json!([-32700, null]))),
        (deep.as_bytes(), Some(json!([-32700, 900]))),
    ];
    for (line, expected) in cases {
        server.process.send_line(line);
        still_works(&mut server);
        let shown = String::from_utf8_lossy(line.get(..60).unwrap_or(line));
        assert_eq!(answers_to_a_line(&mut server), Vec::from_iter(expected), "{shown}");
    }
    server.process.wait_until_running(&id);
}

#[test]
fn an_unknown_method_and_an_unknown_tool_are_protocol_errors() {
    let mut server = Server::start(&[]);
    assert_eq!(server.process.request("no/such/method", json!({}))["error"]["code"], -32601);
    let answer = server.process.request("tools/call", json!({ "name": "drop_everything", "arguments": {} }));
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    still_works(&mut server);
}

#[test]
fn known_methods_with_other_parameters_are_told_what_was_expected() {
    let mut server = Server::start(&[]);
    let call = |arguments: Value| json!({ "name": "query_list", "arguments": arguments });
    for (method, params, words) in [
        (
            "tools/call",
            call(json!("{\"limit\":1}")),
            "arguments must be an object with the tool's arguments by name, not a string",
        ),
        ("tools/call", call(json!([])), "not an array"),
        ("tools/call", call(json!(5)), "not a number"),
        ("tools/call", call(json!(true)), "not a boolean"),
        ("tools/call", json!({}), "missing field `name`"),
        ("tools/call", json!({ "name": 5 }), "name: invalid type"),
        ("tools/call", json!([]), "must be an object"),
        ("tools/call", json!("query_list"), "must be an object"),
        ("resources/read", json!({}), "missing field `uri`"),
        ("resources/read", json!({ "uri": 5 }), "uri: invalid type"),
        ("resources/templates/list", json!([]), "must be an object"),
        ("completion/complete", json!({}), "missing field `ref`"),
        ("subscriptions/listen", json!({}), "missing field"),
        ("server/discover", json!(5), "must be an object"),
        ("ping", json!([]), "must be an object"),
    ] {
        let error = server.process.request(method, params.clone())["error"].clone();
        assert_eq!(error["code"], -32602, "{method} {params}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words), "{method} {params}: {message}");
    }
    server.process.send_line(b"{\"jsonrpc\":\"2.0\",\"id\":\"bare\",\"method\":\"tools/call\"}");
    still_works(&mut server);
    assert_eq!(answers_to_a_line(&mut server), [json!([-32602, "bare"])]);
}

#[test]
fn wrong_arguments_name_the_field_and_what_it_should_be() {
    let mut server = Server::start(&[]);
    const UNKNOWN: &str = "q_00000000000000000000000000";
    let cases: Vec<(&str, Value, &[&str])> = vec![
        ("async_execute_query", json!({}), &["sql"]),
        ("async_execute_query", json!({ "sql": 5 }), &["sql", "string"]),
        ("async_execute_query", json!({ "sql": "select 1", "sqll": 1 }), &["sqll"]),
        ("async_execute_query", json!({ "sql": "" }), &["empty"]),
        ("async_execute_query", json!({ "sql": " \n\t " }), &["empty"]),
        ("async_execute_query", json!({ "sql": "select 1\u{0}" }), &["NUL", "column 9"]),
        ("async_execute_query", json!({ "sql": "select \u{1b}[31m1" }), &["U+001B", "column 8"]),
        ("async_execute_query", json!({ "sql": "select 1; select 2" }), &["one statement"]),
        ("async_execute_query", json!({ "sql": "select 1", "timeout_seconds": -1 }), &["timeout_seconds"]),
        ("async_execute_query", json!({ "sql": "select 1", "timeout_seconds": 0 }), &["timeout_seconds"]),
        ("async_execute_query", json!({ "sql": "select 1", "timeout_seconds": 1e300 }), &["timeout_seconds"]),
        ("async_execute_query", json!({ "sql": "select 1", "max_rows": 0 }), &["max_rows"]),
        ("async_execute_query", json!({ "sql": "select 1", "max_rows": -5 }), &["max_rows"]),
        ("async_execute_query", json!({ "sql": "select 1", "max_rows": 1.5 }), &["max_rows"]),
        ("async_execute_query", json!({ "sql": "select 1", "wait_seconds": -1 }), &["wait_seconds"]),
        ("async_execute_query", json!({ "sql": "select 1", "wait_seconds": "soon" }), &["wait_seconds"]),
        ("async_execute_query", json!({ "sql": "select 1", "priority": "urgent" }), &["priority", "high"]),
        ("async_execute_query", json!({ "sql": "select 1", "label": "a\nb" }), &["label"]),
        ("query_status", json!({}), &["query_id"]),
        ("query_status", json!({ "query_id": "" }), &["q_"]),
        ("query_status", json!({ "query_id": "../../etc/passwd" }), &["q_"]),
        ("query_status", json!({ "query_id": UNKNOWN }), &[UNKNOWN, "async_execute_query"]),
        ("query_status", json!({ "query_id": UNKNOWN, "version": -1 }), &["version"]),
        ("query_result", json!({ "query_id": UNKNOWN }), &[UNKNOWN, "async_execute_query"]),
        ("query_result", json!({ "query_id": UNKNOWN, "page_size": 0 }), &["page_size"]),
        ("query_result", json!({ "query_id": UNKNOWN, "offset": -1 }), &["offset"]),
        ("query_result", json!({ "query_id": UNKNOWN, "offset": 1e30 }), &["offset"]),
        ("query_cancel", json!({ "query_id": UNKNOWN }), &[UNKNOWN]),
        ("query_list", json!({ "status": "done" }), &["status", "succeeded"]),
        ("query_list", json!({ "limit": 0 }), &["limit"]),
    ];
    // What is known is told to whoever names something else.
    server.process.submit("select 1");
    for (tool, arguments, words) in cases {
        let error = server.process.call_error(tool, arguments.clone());
        for word in words {
            assert!(error.contains(word), "{tool} {arguments}: {error}");
        }
        assert!(error.len() <= 4000, "{tool} {arguments}: {} characters", error.len());
    }
    still_works(&mut server);
}

#[test]
fn huge_messages_are_refused_and_the_next_one_is_answered() {
    let mut server = Server::start(&[]);
    let statement = format!("select '{}'", "x".repeat(10 << 20));
    let error = server.process.call_error("async_execute_query", json!({ "sql": statement }));
    assert!(error.contains("65536"), "{error}");
    let text = "x".repeat(17 << 20);
    for (line, expected) in [
        (format!("{{\"jsonrpc\":\"2.0\",\"id\":900,\"method\":\"{text}\"}}"), vec![json!([-32600, 900])]),
        (
            format!("{{\"method\":\"tools/call\",\"params\":{{\"id\":1,\"x\":\"{text}\"}},\"id\":\"last\"}}"),
            vec![json!([-32600, "last"])],
        ),
        (format!("{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/{text}\"}}"), vec![]),
        (format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"{text}\"}}"), vec![json!([-32600, null])]),
        (text, vec![json!([-32600, null])]),
    ] {
        server.process.send_line(line.as_bytes());
        still_works(&mut server);
        assert_eq!(answers_to_a_line(&mut server), expected, "{}", &line[..60]);
    }
}

#[test]
fn wrong_statements_say_what_is_wrong_and_where() {
    let mut server = Server::start(&[]);
    for (sql, words) in [
        ("select * from ordes", ["ordes", "orders"]),
        ("select nam from customers", ["nam", "name"]),
        ("selec 1", ["selec", "line 1"]),
        ("select 1 +", ["incomplete", "closing bracket"]),
        ("delete from orders", ["read-only", "--mode read-write"]),
        ("attach database '/tmp/x.db' as x", ["attach", "outside the database"]),
    ] {
        let error = server.process.call_error("async_execute_query", json!({ "sql": sql }));
        for word in words {
            assert!(error.contains(word), "{sql}: {error}");
        }
    }
    still_works(&mut server);
}

#[test]
fn odd_values_arrive_as_they_are() {
    let mut server = Server::start(&[]);
    let sql = "select 9007199254740993 as big, 9007199254740991 as exact, 1e999 as endless, -1e999 as below, \
               x'00ff' as bytes, cast(x'ff41' as text) as broken, 'a' || char(10) || 'b,\"c\"' as quoted, \
               char(8238) || char(27) || '[31m' as tricky, null as missing, '' as empty";
    let answer = server.process.call("async_execute_query", json!({ "sql": sql }));
    let row = &answer["rows"][0];
    assert_eq!(row[0], "9007199254740993");
    assert_eq!(row[1], 9_007_199_254_740_991_u64);
    assert_eq!((&row[2], &row[3]), (&json!("Infinity"), &json!("-Infinity")));
    assert_eq!((&row[4], &row[5]), (&json!("00FF"), &json!("\u{fffd}A")));
    assert_eq!((&row[6], &row[7]), (&json!("a\nb,\"c\""), &json!("\u{202e}\u{1b}[31m")));
    assert_eq!((&row[8], &row[9]), (&Value::Null, &json!("")));
}

#[test]
fn a_page_beyond_the_end_is_empty_and_says_how_many_rows_there_are() {
    let mut server = Server::start(&[]);
    let answer = server.process.call("async_execute_query", json!({ "sql": "select 1 union all select 2" }));
    let arguments = json!({ "query_id": answer["query_id"], "offset": 100 });
    let page = server.process.call("query_result", arguments);
    assert_eq!(
        (&page["rows"], &page["total_rows"], &page["has_more"]),
        (&json!([]), &json!(2), &json!(false))
    );
}

#[test]
fn more_calls_at_once_than_are_served_get_an_answer_each() {
    let mut server = Server::start(&["--max-running", "2", "--max-queued", "2", "--no-deduplicate"]);
    let calls: Vec<u64> = (0..8)
        .map(|_| {
            server.process.post_call("async_execute_query", json!({ "sql": ENDLESS, "wait_seconds": 0 }))
        })
        .collect();
    let answers: Vec<Value> = calls.into_iter().map(|id| server.process.answer(id)).collect();
    let refused: Vec<&Value> = answers.iter().filter(|answer| answer["result"]["isError"] == true).collect();
    assert_eq!(refused.len(), 4, "{answers:?}");
    for answer in refused {
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("queue is full") && text.contains("query_cancel"), "{text}");
    }
    still_works_when_canceled(&mut server);
}

fn still_works_when_canceled(server: &mut Server) {
    let listed = server.process.call("query_list", json!({}));
    for query in listed["queries"].as_array().unwrap() {
        server.process.call("query_cancel", json!({ "query_id": query["query_id"] }));
    }
    still_works(server);
}

#[test]
fn stderr_has_the_log_and_stdout_has_none_of_it() {
    let mut server = Server::start(&["--log-level", "trace"]);
    still_works(&mut server);
    server.process.close_input();
    // `message` panics on a line that is not the protocol.
    while server.process.message(Duration::from_secs(5)).is_some() {}
    server.process.ended(Duration::from_secs(5));
    assert!(server.process.stderr().contains("query"), "the log is missing");
}

#[test]
fn the_log_has_no_long_statement() {
    let mut server = Server::start(&["--log-level", "trace"]);
    let marker = "beyond_the_first_hundred_characters";
    let sql = format!("select 1 as {}, 2 as {marker}", "x".repeat(120));
    let answer = server.process.call("async_execute_query", json!({ "sql": sql }));
    assert_eq!(answer["rows"], json!([[1, 2]]));
    server.process.call_error("async_execute_query", json!({ "sql": format!("{sql} from nowhere") }));
    server.process.close_input();
    server.process.ended(Duration::from_secs(5));
    let log = server.process.stderr();
    assert!(log.contains("query_id") && !log.contains(marker), "{log}");
}

/// Messages that are good, to be spoiled. None is accepted as a query, because those are kept, and would look like a leak.
const MESSAGES: [&str; 6] = [
    r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"async_execute_query","arguments":{"sql":"drop table t","wait_seconds":0}}}"#,
    r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"query_status","arguments":{"query_id":"q_00000000000000000000000000","version":3}}}"#,
    r#"{"jsonrpc":"2.0","id":8,"method":"resources/read","params":{"uri":"async-query://results/q_00000000000000000000000000?offset=1&limit=2"}}"#,
    r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{"_meta":{"progressToken":1}}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7,"reason":"x"}}"#,
    r#"{"jsonrpc":"2.0","id":10,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"0"}}}"#,
];

/// What a line may be besides a message.
fn spoiled(dice: &mut Schedule) -> Vec<u8> {
    let choice = |dice: &mut Schedule| usize::try_from(dice.below(MESSAGES.len() as u64)).unwrap();
    let mut line = MESSAGES[choice(dice)].as_bytes().to_vec();
    let place = usize::try_from(dice.below(line.len() as u64)).unwrap();
    match dice.below(11) {
        0 => line.truncate(place),
        1 => drop(line.splice(..0, *b"\xef\xbb\xbf")),
        2 => line.insert(place, 0),
        3 => line[place] = b"\x80\xff\"{}[]:,\\0n"[usize::try_from(dice.below(11)).unwrap()],
        4 => line = format!("[{},{}]", MESSAGES[choice(dice)], MESSAGES[choice(dice)]).into_bytes(),
        5 => {
            // A value of another type stands for a part of the message.
            let other = ["null", "[]", "{}", "1e999", "-1", "true", "\"\\ud800\"", "18446744073709551616"];
            let other = other[usize::try_from(dice.below(8)).unwrap()];
            let text = String::from_utf8_lossy(&line).into_owned();
            let parts: Vec<&str> = text.split(',').collect();
            let part = usize::try_from(dice.below(parts.len() as u64)).unwrap();
            let name = parts[part].split(':').next().unwrap_or_default();
            line = text.replacen(parts[part], &format!("{name}:{other}"), 1).into_bytes();
        }
        6 => {
            let depth = usize::try_from(1 + dice.below(2_000)).unwrap();
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let text = String::from_utf8_lossy(&line).replacen(
                "\"params\":",
                &format!("\"x\":{deep},\"params\":"),
                1,
            );
            line = text.into_bytes();
        }
        7 => {
            // The same id twice.
            let copy = line.clone();
            line.push(b'\n');
            line.extend(copy);
        }
        8 => drop(line.drain(place..)),
        9 => line = vec![b"x{[\"\x00\xff"[usize::try_from(dice.below(6)).unwrap()]; place],
        _ => {}
    }
    line
}

/// `HOSTILE_LINES=1000000 cargo test -p mcp-server --test stdio spoiled_lines` sends so many, and `HOSTILE_SEED` takes
/// up a run again; both are printed.
#[test]
fn spoiled_lines_neither_end_the_server_nor_reach_stdout_as_anything_but_messages() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let lines = number("HOSTILE_LINES").unwrap_or(3_000);
    let seed = number("HOSTILE_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("HOSTILE_SEED={seed} HOSTILE_LINES={lines}");
    let mut dice = Schedule(seed);
    let mut server = Server::start(&["--log-level", "error"]);
    // The ids of the spoiled messages are small ones.
    (0..20).for_each(|_| drop(server.process.request("ping", json!({}))));
    // A line above the largest that is taken.
    server.process.send_line(&vec![b' '; (16 << 20) + 1]);
    still_works(&mut server);
    let before = server.process.peak_memory();
    for round in 1..=lines {
        let line = spoiled(&mut dice);
        server.process.send_line(&line);
        if round % 50 == 0 {
            // It panics on a line of stdout that is no message, and when no answer comes.
            let id = server.process.post("ping", json!({}));
            let id = json!(id);
            let end = std::time::Instant::now() + support::server_process::PATIENCE;
            while std::time::Instant::now() < end {
                let message = server.process.message(support::server_process::PATIENCE);
                let message = message.unwrap_or_else(|| panic!("seed {seed}, line {round}: no answer"));
                if message["id"] == id {
                    break;
                }
            }
        }
    }
    server.process.other_messages.clear();
    still_works(&mut server);
    let grown = server.process.peak_memory().saturating_sub(before);
    assert!(grown <= 32 << 20, "seed {seed}: {grown} bytes more after {lines} lines");
    server.process.close_input();
    while server.process.message(Duration::from_secs(20)).is_some() {}
    server.process.ended(Duration::from_secs(20)).expect("it ends");
    let log = server.process.stderr();
    assert!(!log.contains("panic") && !log.contains("fault of this program"), "seed {seed}: {log}");
    println!("{lines} lines, {} KiB more memory", grown >> 10);
}
