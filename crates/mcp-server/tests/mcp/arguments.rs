//! Arguments that are wrong are answered with what is wrong and what to do, and nothing is started.

use serde_json::{Value, json};

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn wrong_arguments_are_named_and_start_nothing() {
    let world = World::new().await;
    let id = format!("q_{}", "0".repeat(26));
    let cases: Vec<(&str, Value, &str)> = vec![
        ("async_execute_query", json!({}), "missing field `sql`"),
        ("async_execute_query", json!({"sql": "  "}), "no statement in the text"),
        ("async_execute_query", json!({"sql": 1}), "sql: invalid type"),
        ("async_execute_query", json!({"sql": "select quick", "sqll": 1}), "unknown field `sqll`"),
        ("async_execute_query", json!({"sql": "select quick", "max_rows": 0}), "max_rows: invalid value"),
        ("async_execute_query", json!({"sql": "select quick", "max_rows": -3}), "max_rows: invalid value"),
        ("async_execute_query", json!({"sql": "select quick", "max_rows": 2.5}), "max_rows: invalid value"),
        (
            "async_execute_query",
            json!({"sql": "select quick", "wait_seconds": -1}),
            "wait_seconds: invalid value",
        ),
        (
            "async_execute_query",
            json!({"sql": "select quick", "wait_seconds": "NaN"}),
            "wait_seconds: invalid type",
        ),
        (
            "async_execute_query",
            json!({"sql": "select quick", "timeout_seconds": 0}),
            "timeout_seconds must be more than 0",
        ),
        (
            "async_execute_query",
            json!({"sql": "select quick", "timeout_seconds": 1e300}),
            "timeout_seconds must be",
        ),
        (
            "async_execute_query",
            json!({"sql": "select quick", "timeout_seconds": "1h"}),
            "timeout_seconds: invalid type",
        ),
        (
            "async_execute_query",
            json!({"sql": "select quick", "priority": "urgent"}),
            "unknown variant `urgent`, expected one of `high`",
        ),
        ("async_execute_query", json!({"sql": "select quick", "label": "a\nb"}), "label must be"),
        ("async_execute_query", json!({"sql": "select quick", "connection": "nope"}), "configured: main"),
        ("query_status", json!({"query_id": id, "version": -1}), "version: invalid value"),
        ("query_result", json!({"query_id": id, "page_size": 0}), "page_size: invalid value"),
        ("query_result", json!({"query_id": id, "offset": "1"}), "offset: invalid type"),
        ("query_result", json!({"query_id": 7}), "query_id: invalid type"),
        ("query_cancel", json!({}), "missing field `query_id`"),
        ("query_list", json!({"status": "done"}), "unknown variant `done`"),
        ("query_list", json!({"limit": 0}), "limit: invalid value"),
    ];
    for (tool, arguments, expected) in cases {
        let text = world.refused(tool, arguments.clone()).await;
        assert!(text.contains(expected), "{tool} {arguments}: {text}");
        assert!(text.contains("next: "), "{text}");
    }
    assert_eq!(world.engine.all_executions(), 0);
}

#[tokio::test(start_paused = true)]
async fn numbers_may_be_floats_and_absent_ones_may_be_null() {
    let world = World::new().await;
    let arguments = json!({"sql": "select quick", "max_rows": 5.0, "wait_seconds": 2, "label": null, "timeout_seconds": 1.5});
    let answer = world.call("async_execute_query", arguments).await;
    assert_eq!(answer.str("status"), "succeeded");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_id_is_answered_with_the_known_ones() {
    let world = World::new().await;
    let known =
        world.call("async_execute_query", json!({"sql": "select quick"})).await.str("query_id").to_owned();
    for tool in ["query_status", "query_result", "query_cancel"] {
        for id in ["q_00000000000000000000000000", "nonsense", ""] {
            let text = world.refused(tool, json!({"query_id": id})).await;
            assert!(text.contains(&format!("{known} (succeeded)")), "{tool}: {text}");
            assert_eq!(text.contains("reason: not_found"), tool == "query_cancel", "{text}");
        }
    }
}
