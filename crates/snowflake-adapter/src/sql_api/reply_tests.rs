use registry_core::error::ErrorKind;

use super::*;

const HANDLE: &str = "01b66701-0000-001c-0000-0030000b9152";

fn meaning(status: u16, body: &str) -> Meaning {
    let answer = Answer {
        status,
        body: body.as_bytes().to_vec(),
        foreign_type: None,
        retry_after: None,
        clock_ahead: None,
    };
    read_now(answer).meaning
}

fn coded(status: u16, code: &str) -> Meaning {
    meaning(status, &format!(r#"{{"code":"{code}","message":"words","statementHandle":"{HANDLE}"}}"#))
}

/// One word for each meaning.
fn word(meaning: &Meaning) -> &'static str {
    match meaning {
        Meaning::Running => "running",
        Meaning::Result(_) => "result",
        Meaning::Rows => "rows",
        Meaning::Canceled => "canceled",
        Meaning::TimedOut => "timed out",
        Meaning::Failed(_) => "failed",
        Meaning::NotFound(_) => "not found",
        Meaning::Unauthenticated(_) => "unauthenticated",
        Meaning::Forbidden(_) => "forbidden",
        Meaning::Refused(_) => "refused",
        Meaning::Throttled(_) => "throttled",
        Meaning::Down(_) => "down",
        Meaning::Unexpected(_) => "unexpected",
    }
}

#[test]
fn every_pair_of_status_and_code_has_its_meaning() {
    let table = [
        (200, "333334", "running"),
        (200, "000604", "canceled"),
        (200, "000630", "timed out"),
        (200, "000709", "not found"),
        (200, "090001", "unexpected"), // without a description
        (200, "123456", "unexpected"),
        (202, "333334", "running"),
        (202, "333333", "running"),
        (202, "000604", "unexpected"),
        (204, "090001", "unexpected"),
        (304, "090001", "refused"),
        (400, "390142", "refused"),
        (401, "390303", "unauthenticated"),
        (403, "390422", "forbidden"),
        (404, "000000", "not found"),
        (405, "000000", "refused"),
        (408, "000630", "timed out"),
        (415, "000000", "refused"),
        (418, "000000", "unexpected"),
        (422, "000904", "failed"),
        (422, "000604", "canceled"),
        (422, "000630", "timed out"),
        (422, "000709", "not found"),
        (429, "333334", "running"),
        (429, "390505", "running"), // with a handle: a status of the statement
        (500, "000000", "down"),
        (502, "000000", "down"),
        (503, "333334", "down"),
        (504, "000000", "down"),
        (522, "000000", "down"),
        (599, "000000", "down"),
        (700, "000000", "unexpected"),
    ];
    for (status, code, wanted) in table {
        assert_eq!(word(&coded(status, code)), wanted, "{status} {code}");
    }
}

#[test]
fn every_status_without_words_has_its_meaning() {
    let table = [
        (200, "unexpected"),
        (202, "unexpected"),
        (400, "refused"),
        (401, "unauthenticated"),
        (403, "forbidden"),
        (404, "refused"),
        (408, "down"),
        (422, "unexpected"),
        (429, "throttled"),
        (500, "down"),
    ];
    for (status, wanted) in table {
        for body in ["", "<html>", "{\"code\":", "[]", "\"text\""] {
            assert_eq!(word(&meaning(status, body)), wanted, "{status} {body:?}");
        }
    }
}

#[test]
fn a_result_describes_its_columns_and_parts() {
    let body = r#"{"resultSetMetaData":{"numRows":3,"format":"jsonv2","rowType":[{"name":"A","type":"fixed","scale":2,
        "precision":10,"length":null,"nullable":true}],"partitionInfo":[{"rowCount":1,"uncompressedSize":10},
        {"rowCount":2,"uncompressedSize":20,"compressedSize":5}]},"data":[["1.50"]],"code":"090001"}"#;
    let Meaning::Result(head) = meaning(200, body) else { panic!() };
    assert_eq!((head.total, head.is_cut, head.parts.len()), (Some(3), false, 2));
    assert_eq!(head.columns[0].meta.kind, "NUMBER(10,2)");
    let Meaning::Result(cut) = meaning(200, &body.replace("090001", "391908")) else { panic!() };
    assert_eq!((cut.total, cut.is_cut), (None, true));
}

#[test]
fn a_result_in_another_format_is_not_taken_for_rows() {
    let body = r#"{"code":"090001","resultSetMetaData":{"format":"arrowv1","rowType":[]}}"#;
    let Meaning::Unexpected(error) = meaning(200, body) else { panic!() };
    assert!(error.message.contains("arrowv1"));
}

#[test]
fn a_clock_that_is_off_is_told_with_a_refused_credential() {
    let answer = Answer {
        status: 401,
        body: br#"{"code":"390144","message":"JWT token is invalid."}"#.to_vec(),
        foreign_type: None,
        retry_after: None,
        clock_ahead: Some(-400),
    };
    let Meaning::Unauthenticated(error) = read_now(answer).meaning else { panic!() };
    assert_eq!((error.kind, error.code_text.as_deref()), (ErrorKind::Authentication, Some("390144")));
    assert!(error.message.contains("clock is 400 s behind"), "{}", error.message);
    assert!(error.message.contains("JWT token is invalid."), "{}", error.message);
}

#[test]
fn a_page_instead_of_json_is_told_as_what_it_is() {
    let answer = Answer {
        status: 200,
        body: vec![],
        foreign_type: Some("text/html".to_owned()),
        retry_after: None,
        clock_ahead: None,
    };
    let Meaning::Unexpected(error) = read_now(answer).meaning else { panic!() };
    assert!(error.message.contains("text/html") && error.message.contains("proxy"), "{}", error.message);
}
