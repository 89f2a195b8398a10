use registry_core::error::ErrorKind;

use super::*;

const LOGIN: &str = "/session/v1/login-request";

/// The error of a backend whose sign-in is answered so, and how often it signed in for two queries.
async fn failed_login(reply: fn() -> Reply) -> (registry_core::error::ErrorInfo, usize) {
    let server = Server::start(move |seen| if seen.path == LOGIN { reply() } else { usual(seen) }).await;
    let backend = backend(&server);
    let error = backend.open_session().await.unwrap_err().0;
    let again = backend.open_session().await.unwrap_err().0;
    assert_eq!(error.kind, again.kind);
    assert_eq!(backend.stats().opened, 0);
    (error, server.count(LOGIN))
}

#[tokio::test]
async fn a_login_carries_who_where_and_the_parameters_that_keep_statements_alive() {
    let server = Server::start(usual).await;
    let backend = backend(&server);
    session(&backend).await;
    let seen = &server.seen(LOGIN)[0];
    let data = &seen.body["data"];
    assert_eq!((data["ACCOUNT_NAME"].as_str(), data["LOGIN_NAME"].as_str()), (Some("ACCT"), Some("ann")));
    assert_eq!(data["PASSWORD"], "pa55word");
    assert!(data.get("TOKEN").is_none() && data.get("AUTHENTICATOR").is_none());
    let parameters = &data["SESSION_PARAMETERS"];
    assert_eq!(parameters["ABORT_DETACHED_QUERY"], false);
    assert_eq!(parameters["MULTI_STATEMENT_COUNT"], 1);
    assert_eq!(parameters["AUTOCOMMIT"], true);
    assert_eq!(parameters["TIMEZONE"], "UTC");
    assert!(parameters["QUERY_TAG"].is_string());
    assert_eq!(seen.query["roleName"], "R");
    assert_eq!(seen.token(), "", "nothing to sign with yet");
    assert_eq!(server.seen("/queries/v1/query-request")[0].sql(), "USE SECONDARY ROLES NONE");
}

#[tokio::test]
async fn a_token_is_sent_with_its_authenticator_and_no_password() {
    let server = Server::start(usual).await;
    let backend = DriverBackend::new(&with_token(&server), options()).unwrap();
    session(&backend).await;
    let data = &server.seen(LOGIN)[0].body["data"];
    assert_eq!(
        (data["AUTHENTICATOR"].as_str(), data["TOKEN"].as_str()),
        (Some("PROGRAMMATIC_ACCESS_TOKEN"), Some("t0ken"))
    );
    assert!(data.get("PASSWORD").is_none());
}

#[tokio::test]
async fn rejected_credentials_are_told_and_not_tried_again() {
    for code in ["390100", "390144", "394300", "394301", "394302", "394303", "394304", "394305", "394306"] {
        let body = refusal(code);
        let server = Server::start(move |_| Reply::json(body.clone())).await;
        let backend = backend(&server);
        for _ in 0..3 {
            let error = backend.open_session().await.unwrap_err().0;
            assert_eq!((error.kind, error.code), (ErrorKind::Authentication, code.parse().ok()), "{code}");
        }
        assert_eq!(server.count(LOGIN), 1, "{code}");
    }
}

#[tokio::test]
async fn a_second_factor_is_refused_with_a_way_out() {
    let (error, _) = failed_login(|| {
        Reply::json(r#"{"data":{"nextAction":"EXT_AUTHN_DUO_ALL"},"code":"390123","success":false}"#)
    })
    .await;
    assert_eq!(error.kind, ErrorKind::Authentication);
    assert!(error.message.contains("second factor") && error.message.contains("key pair"), "{error:?}");
}

#[tokio::test]
async fn a_password_change_is_refused_with_a_way_out() {
    let (error, _) =
        failed_login(|| Reply::json(r#"{"data":{"nextAction":"PWD_CHANGE"},"code":null,"success":true}"#))
            .await;
    assert!(error.message.contains("change the password"), "{error:?}");
}

#[tokio::test]
async fn http_403_at_login_is_a_matter_of_account_or_network_policy() {
    let (error, _) = failed_login(|| Reply::status(403, "")).await;
    assert_eq!(error.kind, ErrorKind::Configuration);
}

#[tokio::test]
async fn a_page_instead_of_json_is_told_as_such() {
    let (error, _) = failed_login(|| Reply::bytes("text/html", b"<html>proxy</html>".to_vec())).await;
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert!(error.message.contains("proxy"), "{error:?}");
}

#[tokio::test]
async fn a_login_without_an_answer_is_not_repeated() {
    let (error, logins) = failed_login(Reply::lost).await;
    assert_eq!((error.kind, logins), (ErrorKind::Unavailable, 2), "one for each of two queries");
}

#[tokio::test]
async fn a_token_that_would_break_the_header_is_refused() {
    let (error, _) = failed_login(|| Reply::json(login("a\\\"b", "master"))).await;
    assert_eq!(error.kind, ErrorKind::Protocol);
}

/// A service that switches no secondary roles off, and tells so of those that the session has.
async fn keeping_secondary_roles(told: impl Fn() -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |seen| match seen.sql() {
        "USE SECONDARY ROLES NONE" => Reply::json(refusal("003107")),
        "SELECT CURRENT_SECONDARY_ROLES()" => told(),
        _ => usual(seen),
    })
    .await
}

#[tokio::test]
async fn an_account_that_forbids_to_drop_secondary_roles_is_told() {
    let roles = || Reply::json(result(r#"[["{\"roles\":\"SYSADMIN\",\"value\":\"ALL\"}"]]"#));
    let unreadable = || Reply::json(result(r#"[["ALL"]]"#));
    let refused = || Reply::json(refusal("001003"));
    for (told, kind) in [
        (roles as fn() -> Reply, ErrorKind::Configuration),
        (refused, ErrorKind::Configuration),
        (unreadable, ErrorKind::Protocol),
    ] {
        let server = keeping_secondary_roles(told).await;
        let backend = backend(&server);
        let error = backend.open_session().await.unwrap_err().0;
        assert_eq!(error.kind, kind, "{error:?}");
        let stats = backend.stats();
        assert_eq!((stats.opened, stats.closed, stats.logouts), (1, 1, 1));
    }
}

#[tokio::test]
async fn a_session_that_is_bound_to_one_role_has_no_others_to_drop() {
    for roles in [r#"[["{\"roles\":\"\",\"value\":\"\"}"]]"#, "[[null]]"] {
        let server = keeping_secondary_roles(move || Reply::json(result(roles))).await;
        let backend = backend(&server);
        session(&backend).await;
        assert_eq!(backend.stats().closed, 0, "{roles}");
    }
}
