use proptest::prelude::*;
use serde_json::json;

use super::*;

const KEY: &str = "mcpServers";

fn entry() -> Value {
    json!({"command": "/bin/x", "args": ["--a"]})
}

fn added(text: &str) -> String {
    with_entry(text, KEY, "sql", &entry()).unwrap()
}

/// Adds the entry, sees it as expected, and takes it out again without any help.
fn there_and_back(before: &str, expected: &str) {
    assert_eq!(added(before), expected);
    let had_key = has_key(before, KEY);
    assert_eq!(without_entry(expected, KEY, "sql", had_key).unwrap(), before);
}

#[test]
fn nothing_becomes_a_document() {
    let document = "{\n  \"mcpServers\": {\n    \"sql\": {\n      \"command\": \"/bin/x\",\n      \"args\": [\n        \
                    \"--a\"\n      ]\n    }\n  }\n}";
    assert_eq!(added(""), format!("{document}\n"));
    assert_eq!(added("\n"), format!("{document}\n"));
    assert_eq!(added("// mine\n"), format!("// mine\n{document}\n"));
    assert_eq!(added("{}\n"), format!("{document}\n"));
    assert_eq!(added("\u{feff}"), format!("\u{feff}{document}\n"));
}

#[test]
fn an_entry_goes_behind_the_others_in_their_indentation() {
    there_and_back(
        "{\n\t\"mcpServers\": {\n\t\t\"web\": {\"command\": \"w\"}\n\t},\n\t\"b\": [1,2]\n}\n",
        "{\n\t\"mcpServers\": {\n\t\t\"web\": {\"command\": \"w\"},\n\t\t\"sql\": {\n\t\t\t\"command\": \"/bin/x\",\n\t\t\t\
         \"args\": [\n\t\t\t\t\"--a\"\n\t\t\t]\n\t\t}\n\t},\n\t\"b\": [1,2]\n}\n",
    );
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_stay() {
    let before = "\u{feff}{\r\n    \"mcpServers\": {\r\n        \"web\": {}\r\n    }\r\n}\r\n";
    let after = added(before);
    assert_eq!(after.matches('\n').count(), after.matches("\r\n").count());
    assert!(after.starts_with(
        "\u{feff}{\r\n    \"mcpServers\": {\r\n        \"web\": {},\r\n        \"sql\": {\r\n            "
    ));
    assert_eq!(without_entry(&after, KEY, "sql", true).unwrap(), before);
}

#[test]
fn comments_stay_with_what_they_explain() {
    there_and_back(
        "{\n  \"mcpServers\": {\n    \"web\": {} // the browser\n    /* more to come */\n  }\n}",
        "{\n  \"mcpServers\": {\n    \"web\": {}, // the browser\n    /* more to come */\n    \"sql\": {\n      \
         \"command\": \"/bin/x\",\n      \"args\": [\n        \"--a\"\n      ]\n    }\n  }\n}",
    );
}

#[test]
fn a_trailing_comma_stays_the_style() {
    there_and_back(
        "{\n  \"mcpServers\": {\n    \"web\": {},\n  },\n}",
        "{\n  \"mcpServers\": {\n    \"web\": {},\n    \"sql\": {\n      \"command\": \"/bin/x\",\n      \"args\": [\n        \
         \"--a\"\n      ]\n    },\n  },\n}",
    );
}

#[test]
fn one_line_stays_one_line() {
    let entry = "{\"command\":\"/bin/x\",\"args\":[\"--a\"]}";
    there_and_back("{\"a\":1}", &format!("{{\"a\":1,\"mcpServers\":{{\"sql\":{entry}}}}}"));
    there_and_back("{ \"a\": 1 }", &format!("{{ \"a\": 1, \"mcpServers\": {{\"sql\":{entry}}} }}"));
    there_and_back("{\"mcpServers\":{}}", &format!("{{\"mcpServers\":{{\"sql\":{entry}}}}}"));
}

#[test]
fn an_entry_between_others_leaves_both_as_they_are() {
    let text =
        "{\n \"mcpServers\": {\n  \"a\": {}, // A\n  \"sql\": {\"x\": 1}, // ours\n  \"b\": {} // B\n }\n}";
    let without = "{\n \"mcpServers\": {\n  \"a\": {}, // A\n   // ours\n  \"b\": {} // B\n }\n}";
    assert_eq!(without_entry(text, KEY, "sql", true).unwrap(), without);
}

#[test]
fn what_follows_on_the_line_never_slips_into_a_comment() {
    let text = "{\"mcpServers\": {\n\"a\": 1, // A\n\"sql\": 2, \"b\": 3}}";
    let without = without_entry(text, KEY, "sql", true).unwrap();
    assert_eq!(without, "{\"mcpServers\": {\n\"a\": 1, // A\n \"b\": 3}}");
}

#[test]
fn another_value_is_replaced_in_its_place() {
    let text = "{\n  \"mcpServers\": {\n    \"sql\": 7, // ours\n    \"b\": {}\n  }\n}";
    let expected = "{\n  \"mcpServers\": {\n    \"sql\": {\n      \"command\": \"/bin/x\",\n      \"args\": [\n        \
                    \"--a\"\n      ]\n    }, // ours\n    \"b\": {}\n  }\n}";
    assert_eq!(added(text), expected);
}

#[test]
fn the_same_entry_in_another_dress_is_left_alone() {
    let text = "{\"mcpServers\": {\"sql\": {\"args\": [ \"--a\" ], /* x */ \"command\": \"/bin/x\"}}}";
    assert_eq!(added(text), text);
}

#[test]
fn of_a_name_that_stands_twice_the_last_counts() {
    let text = "{\"mcpServers\": {}, \"mcpServers\": {\"sql\": 1, \"sql\": 2}}";
    let found: Vec<_> = entries(text, KEY).unwrap();
    assert_eq!(found.len(), 2);
    let after = with_entry(text, KEY, "sql", &json!({})).unwrap();
    assert_eq!(after, "{\"mcpServers\": {}, \"mcpServers\": {\"sql\": 1, \"sql\": {}}}");
}

#[test]
fn a_text_that_cannot_be_edited_is_refused_with_the_place() {
    for (text, line, column) in [
        ("{\n  \"mcpServers\": {,}\n}", 2, 18),
        ("{\n  mcpServers: {}\n}", 2, 3),
        ("{\"a\": 1", 1, 1),
        ("[]", 1, 1),
        ("{\n  \"mcpServers\": []\n}", 2, 17),
        ("{} {}", 1, 4),
        ("{'a': 1}", 1, 2),
        ("{\"a\": 0x1F}", 1, 7),
        ("{\"a\": 1 \"b\": 2}", 1, 8),
    ] {
        let unfit = with_entry(text, KEY, "sql", &entry()).unwrap_err();
        assert_eq!((unfit.line, unfit.column), (line, column), "{text:?}: {unfit}");
        assert!(!unfit.reason.is_empty());
    }
}

/// Blanks and comments as they may stand between any two tokens.
fn gap() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(" "),
        Just("\n"),
        Just("\r\n"),
        Just("\t"),
        Just("/* c, } */"),
        Just("// \"x\": {\n"),
        Just("")
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("-1.5e3".to_owned()),
        "[a-z{},:/\\* é]{0,6}".prop_map(|text| Value::from(text).to_string()),
        Just("\"\\u0041\\\"\"".to_owned()),
    ]
}

fn container(
    open: char,
    close: char,
    members: Vec<(String, String, String)>,
    comma: bool,
    end: &str,
) -> String {
    let count = members.len();
    let mut out = String::from(open);
    for (place, (before, member, after)) in members.into_iter().enumerate() {
        let comma = if place + 1 < count || comma { "," } else { "" };
        out.push_str(&format!("{before}{member}{after}{comma}"));
    }
    format!("{out}{end}{close}")
}

fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(3, 24, 4, |inner| {
        let list = proptest::collection::vec((gap(), inner.clone(), gap()), 0..4);
        let map = members(inner);
        prop_oneof![
            (list, any::<bool>(), gap())
                .prop_map(|(list, comma, end)| container('[', ']', list, comma, &end)),
            (map, any::<bool>(), gap()).prop_map(|(map, comma, end)| container('{', '}', map, comma, &end)),
        ]
    })
}

fn members(inner: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<(String, String, String)>> {
    let member = (gap(), "[a-z]{1,3}", gap(), inner, gap())
        .prop_map(|(a, key, b, value, c)| (a, format!("\"k{key}\"{b}:{value}"), c));
    proptest::collection::vec(member, 0..4)
}

fn object_of(key: Option<&'static str>) -> impl Strategy<Value = String> {
    let servers = (members(value()), any::<bool>(), gap())
        .prop_map(|(map, comma, end)| container('{', '}', map, comma, &end));
    (members(value()), servers, gap(), any::<bool>(), gap(), gap()).prop_map(
        move |(mut map, servers, before, comma, end, outer)| {
            if let Some(key) = key {
                map.insert(map.len() / 2, (before, format!("\"{key}\": {servers}"), String::new()));
            }
            format!("{outer}{}\n", container('{', '}', map, comma, &end))
        },
    )
}

fn document() -> impl Strategy<Value = String> {
    prop_oneof![object_of(None), object_of(Some(KEY))]
}

fn parsed(text: &str) -> Value {
    let root = Parsed::read(text).unwrap().root.unwrap();
    Value::from(Node::Object(root))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn adding_changes_nothing_else(before in document()) {
        let after = added(&before);
        let mut expected = parsed(&before);
        let servers = expected.as_object_mut().unwrap().entry(KEY).or_insert_with(|| json!({}));
        servers.as_object_mut().unwrap().insert("sql".to_owned(), entry());
        prop_assert_eq!(parsed(&after), expected);
        // What was there is there still, in its order and to the byte.
        let mut rest = after.chars();
        prop_assert!(before.chars().all(|c| rest.any(|found| found == c)));
    }

    #[test]
    fn taking_out_undoes_adding_to_a_list_that_was_not_empty(before in document()) {
        let known = entries(&before, KEY).unwrap();
        prop_assume!(!known.is_empty());
        prop_assert_eq!(without_entry(&added(&before), KEY, "sql", true).unwrap(), before);
    }

    #[test]
    fn taking_out_any_entry_changes_nothing_else(before in object_of(Some(KEY)), place in 0_usize..4) {
        let known = entries(&before, KEY).unwrap();
        let Some((name, _)) = known.get(place) else { return Ok(()) };
        prop_assume!(known.iter().filter(|(other, _)| other == name).count() == 1);
        let after = without_entry(&before, KEY, name, true).unwrap();
        let mut expected = parsed(&before);
        expected[KEY].as_object_mut().unwrap().shift_remove(name);
        prop_assert_eq!(parsed(&after), expected);
    }

    #[test]
    fn the_kept_text_undoes_every_addition(before in document()) {
        let after = added(&before);
        let backups = [before];
        let undone = super::super::undo::undo(&after, &backups, KEY, "sql", std::path::Path::new("/bin/x")).unwrap();
        prop_assert_eq!(undone, Some(super::super::undo::Undo::Restore(0)));
    }

    #[test]
    fn no_text_makes_it_fail_otherwise_than_by_saying_where(text in ".{0,40}") {
        if let Err(unfit) = with_entry(&text, KEY, "sql", &entry()) {
            prop_assert!(unfit.line >= 1 && unfit.column >= 1);
        }
    }
}
