//! What a client is told, so that it finds the service and signs in there.

use std::path::Path;

/// Where the service on `port` is, and a user of it.
pub fn place(port: u16) -> [(&'static str, String); 5] {
    [
        ("ACCOUNT", "acme-test".to_owned()),
        ("USER", "ada".to_owned()),
        ("HOST", "127.0.0.1".to_owned()),
        ("PORT", port.to_string()),
        ("PROTOCOL", "http".to_owned()),
    ]
}

/// The protocol, and a secret of the kind that is usual in it.
pub fn sign_in(api: &str, secret: &str) -> [(&'static str, String); 3] {
    let (kind, authenticator) = match api {
        "sql" => ("TOKEN", "PROGRAMMATIC_ACCESS_TOKEN"),
        _ => ("PASSWORD", "snowflake"),
    };
    [("API", api.to_owned()), ("AUTHENTICATOR", authenticator.to_owned()), (kind, secret.to_owned())]
}

/// The variables of a process whose connection `test` has these settings, and whose own files are in `home`.
pub fn variables(
    settings: impl IntoIterator<Item = (&'static str, String)>,
    home: &Path,
) -> Vec<(String, String)> {
    let home = ("SNOWFLAKE_HOME".to_owned(), home.display().to_string());
    settings.into_iter().map(|(key, value)| (variable(key), value)).chain([home]).collect()
}

/// The variable of one setting.
pub fn variable(key: &str) -> String {
    format!("SNOWFLAKE_CONNECTIONS_TEST_{key}")
}
