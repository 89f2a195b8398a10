//! Whole connections, from files and variables to what the engine gets.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use super::testing::write;
use super::{ConfigError, Credentials, Origin, Protocol, SecretSource, Shown, SnowflakeConfig, Sources};
use super::{explain, load, names};

/// A directory with a `connections.toml`, and a source that reads it.
struct Home {
    directory: tempfile::TempDir,
    sources: Sources,
}

impl Home {
    fn new(connections: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "connections.toml", connections, 0o600);
        let sources = Sources::new().with_directory(directory.path()).with_home(directory.path());
        Self { directory, sources }
    }

    /// A complete connection `dev` with a password, and these lines.
    fn dev(lines: &str) -> Self {
        Self::new(&format!("[dev]\naccount = 'org-acct'\nuser = 'ada'\npassword = 'canary-1'\n{lines}\n"))
    }

    /// A connection `dev` without a way to sign in, and these lines.
    fn bare(lines: &str) -> Self {
        Self::new(&format!("[dev]\naccount = 'org-acct'\nuser = 'ada'\n{lines}\n"))
    }

    fn load(&self) -> Result<SnowflakeConfig, ConfigError> {
        load(Some("dev"), &self.sources)
    }

    fn error(&self) -> String {
        let error = self.load().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        error.to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn url(lines: &str) -> String {
    Home::dev(lines).load().unwrap_or_else(|error| panic!("{lines}: {error}")).base_url.to_string()
}

fn password(config: &SnowflakeConfig) -> &str {
    match &config.credentials {
        Credentials::Password(password) => password.expose_secret(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_connection_of_a_file_is_resolved_with_everything_in_it() {
    let home = Home::dev(
        "role = 'r'\nwarehouse = 'w'\ndatabase = 'd'\nschema = 's'\nunknown = [1, 2]\n\
         [dev.session_parameters]\nQUERY_TAG = 'x'\nLOCK_TIMEOUT = 5\nAUTOCOMMIT = true\n",
    );
    let config = home.load().unwrap();
    assert_eq!((config.name.as_str(), config.account.as_str()), ("dev", "ORG-ACCT"));
    assert_eq!(config.base_url.as_str(), "https://org-acct.snowflakecomputing.com/");
    assert_eq!(config.user.as_deref(), Some("ada"));
    assert_eq!(password(&config), "canary-1");
    assert_eq!(config.protocol, Protocol::Driver);
    let context = config.context;
    assert_eq!(
        [context.role, context.warehouse, context.database, context.schema].map(Option::unwrap),
        ["r", "w", "d", "s"]
    );
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        config.session_parameters,
        [pair("AUTOCOMMIT", "true"), pair("LOCK_TIMEOUT", "5"), pair("QUERY_TAG", "x")]
    );
}

#[test]
fn arguments_beat_own_variables_beat_files_beat_general_variables() {
    let mut home = Home::dev("role = 'file'");
    let general = |sources: &Sources| sources.clone().with_variable("SNOWFLAKE_ROLE", "general");
    let role = |sources: &Sources| load(Some("dev"), sources).unwrap().context.role.unwrap();
    home.sources = general(&home.sources);
    assert_eq!(role(&home.sources), "file");
    let own = home.sources.clone().with_variable("SNOWFLAKE_CONNECTIONS_DEV_ROLE", "own");
    assert_eq!(role(&own), "own");
    assert_eq!(role(&own.with_flag("role", "flag")), "flag");
    assert_eq!(role(&general(&Home::dev("role = ''").sources)), "general");
}

#[test]
fn an_alias_in_a_stronger_source_wins_and_beside_its_twin_is_refused() {
    let home = Home::bare("authenticator = 'snowflake_jwt'\nprivate_key_file = '~/a.p8'");
    write(home.directory.path(), "b.p8", "", 0o600);
    let sources = home.sources.clone().with_variable("SNOWFLAKE_CONNECTIONS_DEV_PRIVATE_KEY_PATH", "~/b.p8");
    match load(Some("dev"), &sources).unwrap().credentials {
        Credentials::KeyPair { key: SecretSource::File(path), .. } => assert_eq!(path, home.path("b.p8")),
        other => panic!("{other:?}"),
    }
    let twins = Home::bare("private_key_file = '~/a.p8'\nprivate_key_path = '~/b.p8'");
    assert!(twins.error().contains("the same setting with two values"), "{}", twins.error());
}

#[test]
fn the_default_connection_is_named_by_variable_then_file_then_custom() {
    let connection = |name: &str| format!("[{name}]\naccount = 'org-{name}'\nuser = 'u'\npassword = 'p'\n");
    let home = Home::new(&["default", "a", "b"].map(connection).concat());
    assert_eq!(load(None, &home.sources).unwrap().name, "default");
    write(home.directory.path(), "config.toml", "default_connection_name = 'a'\n", 0o600);
    assert_eq!(load(None, &home.sources).unwrap().name, "a");
    assert_eq!(names(&home.sources).unwrap(), ["a", "b", "default"]);
    let sources = home.sources.clone().with_variable("SNOWFLAKE_DEFAULT_CONNECTION_NAME", "b");
    assert_eq!(load(None, &sources).unwrap().name, "b");
    assert_eq!(names(&sources).unwrap(), ["b", "a", "default"]);
}

#[test]
fn variables_alone_make_a_connection() {
    let general = Sources::new()
        .with_variable("SNOWFLAKE_ACCOUNT", "org-acct")
        .with_variable("SNOWFLAKE_USER", "u")
        .with_variable("SNOWFLAKE_PASSWORD", "p");
    assert_eq!(load(None, &general).unwrap().account, "ORG-ACCT");
    assert_eq!(names(&general).unwrap(), ["default"]);

    let own = general.with_variable("SNOWFLAKE_CONNECTIONS_MY_DEV_ACCOUNT", "org-dev");
    assert_eq!(names(&own).unwrap(), ["default", "my_dev"]);
    for name in ["my_dev", "my-dev"] {
        assert_eq!(load(Some(name), &own).unwrap().account, "ORG-DEV");
    }
}

#[test]
fn a_variable_without_a_value_sets_nothing_and_makes_no_connection() {
    let plain = Home::dev("role = 'r'");
    let bare = Sources::new();
    for key in super::key::names().map(str::to_ascii_uppercase) {
        for variable in [format!("SNOWFLAKE_{key}"), format!("SNOWFLAKE_CONNECTIONS_DEV_{key}")] {
            for nothing in ["", " "] {
                let sources = plain.sources.clone().with_variable(variable.as_str(), nothing);
                let changed = explain(Some("dev"), &sources).unwrap();
                assert_eq!(changed, explain(Some("dev"), &plain.sources).unwrap(), "{variable}");
                assert!(load(Some("dev"), &sources).is_ok(), "{variable}");
                let sources = bare.clone().with_variable(variable.as_str(), nothing);
                assert!(names(&sources).unwrap().is_empty(), "{variable}");
                assert!(matches!(load(Some("dev"), &sources), Err(ConfigError::UnknownConnection { .. })));
            }
        }
    }
    let default = plain.sources.clone().with_variable("SNOWFLAKE_DEFAULT_CONNECTION_NAME", "");
    assert_eq!(names(&default).unwrap(), names(&plain.sources).unwrap());
}

#[test]
fn variables_of_a_connection_in_a_file_make_no_second_one() {
    let home = Home::new("[my-dev]\nuser = 'u'\npassword = 'p'\n");
    let sources = home.sources.clone().with_variable("SNOWFLAKE_CONNECTIONS_MY_DEV_ACCOUNT", "org-acct");
    assert_eq!(names(&sources).unwrap(), ["my-dev"]);
    assert_eq!(load(Some("my-dev"), &sources).unwrap().account, "ORG-ACCT");
}

#[test]
fn an_unknown_connection_is_refused_with_the_known_ones_and_the_place_to_add_it() {
    let home = Home::new("[a]\n[b]\n");
    let error = load(Some("c"), &home.sources).unwrap_err().to_string();
    for part in ["configured ones (a, b), or add [c]", "connections.toml", "SNOWFLAKE_CONNECTIONS_C_ACCOUNT"]
    {
        assert!(error.contains(part), "{error}");
    }
    let nothing = load(None, &Sources::new()).unwrap_err().to_string();
    assert!(nothing.contains("none is configured") && nothing.contains("SNOWFLAKE_ACCOUNT"), "{nothing}");
}

#[test]
fn host_port_and_protocol_replace_what_the_account_gives() {
    let cases = [
        ("", "https://org-acct.snowflakecomputing.com/"),
        ("host = 'proxy.example'", "https://proxy.example/"),
        ("host = 'proxy.example:8443'", "https://proxy.example:8443/"),
        ("host = 'https://proxy.example/'\nport = 8443", "https://proxy.example:8443/"),
        ("port = 443", "https://org-acct.snowflakecomputing.com/"),
        ("host = 'localhost'\nport = '8080'\nprotocol = 'HTTP'", "http://localhost:8080/"),
        ("host = '127.3.2.1'\nprotocol = 'http'", "http://127.3.2.1/"),
        ("host = '::1'\nport = 8080\nprotocol = 'http'", "http://[::1]:8080/"),
        ("host = '[::1]:8080'\nprotocol = 'http'", "http://[::1]:8080/"),
        ("host = 'http://127.0.0.1:9'", "http://127.0.0.1:9/"),
        ("host = 'http://proxy.example'\nprotocol = 'https'", "https://proxy.example/"),
    ];
    for (lines, expected) in cases {
        assert_eq!(url(lines), expected, "{lines}");
    }
}

#[test]
fn plain_http_leaves_this_machine_never() {
    let lines = [
        "protocol = 'http'",
        "host = 'http://proxy.example'",
        "host = '10.0.0.1'\nprotocol = 'http'",
        "host = 'localhost.example'\nprotocol = 'http'",
        "host = '127.0.0.1.example'\nprotocol = 'http'",
        "host = '0.0.0.0'\nprotocol = 'http'",
        "host = '::ffff:127.0.0.1'\nprotocol = 'http'",
        "host = '::'\nprotocol = 'http'",
    ];
    for lines in lines {
        let error = Home::dev(lines).error();
        assert!(error.contains("plain http is taken only to this machine"), "{lines}: {error}");
    }
}

#[test]
fn the_account_is_taken_from_a_host_of_snowflake() {
    let home =
        Home::new("[dev]\nhost = 'org-acct.privatelink.snowflakecomputing.com'\nuser='u'\npassword='p'\n");
    assert_eq!(home.load().unwrap().account, "ORG-ACCT");
    let other = Home::new("[dev]\nhost = 'proxy.example'\nuser='u'\npassword='p'\n");
    assert!(other.error().contains("account = "), "{}", other.error());
    let named = Home::new("[dev]\naccount='fake.acct'\nhost='localhost'\nuser='u'\npassword='p'\n");
    assert_eq!(named.load().unwrap().account, "FAKE");
}

#[test]
fn a_wrong_value_is_named_with_file_section_key_and_what_is_expected() {
    let cases = [
        ("port = 0", "port", "a port number from 1 to 65535, found \"0\""),
        ("port = 'x'", "port", "a port number"),
        ("port = [1]", "port", "a port number"),
        ("protocol = 'ftp'", "protocol", "\"https\""),
        ("host = 'a b'", "host", "a host name"),
        ("host = 'https://u:canary@h/'", "host", "a host name"),
        ("host = 'h/path'", "host", "a host name"),
        ("api = 'rest'", "api", "\"sql\" or \"driver\""),
        ("authenticator = 'magic'", "authenticator", "snowflake_jwt"),
        ("role = { a = 1 }", "role", "a string"),
        ("session_parameters = 'x'", "session_parameters", "a table"),
        ("[dev.session_parameters]\nX = [1]", "X", "a string, number or boolean"),
        ("[dev.session_parameters]\n'a b' = 1", "a b", "letters, digits"),
    ];
    for (lines, key, expected) in cases {
        let home = Home::dev(lines);
        let error = home.error();
        let place = format!("{key} in [dev");
        let file = home.path("connections.toml").display().to_string();
        assert!(
            error.contains(&place) && error.contains(&file) && error.contains(expected),
            "{lines}: {error}"
        );
    }
    let account = Home::new("[dev]\naccount = 'a/b'\nuser = 'u'\npassword = 'p'\n");
    assert!(account.error().contains("organisation-account"), "{}", account.error());
    let flag = load(Some("dev"), &Home::dev("").sources.with_flag("acount", "x")).unwrap_err().to_string();
    assert!(flag.contains("the argument acount") && flag.contains("account"), "{flag}");
}

#[test]
fn each_way_to_sign_in_is_recognised_and_brings_its_protocol() {
    let directory = tempfile::tempdir().unwrap();
    let key = write(directory.path(), "key.p8", "", 0o600);
    let token = write(directory.path(), "token", "", 0o600);
    let key = format!("private_key_file = '{}'", key.display());
    let token = format!("token_file_path = '{}'", token.display());
    let cases = [
        ("password = 'p'".to_owned(), "password", Protocol::Driver),
        ("password = 'p'\nauthenticator = 'SNOWFLAKE'".to_owned(), "password", Protocol::Driver),
        (key.clone(), "key file", Protocol::SqlApi),
        (format!("{key}\npassword = 'p'"), "key file", Protocol::SqlApi),
        (format!("{key}\nauthenticator = 'SNOWFLAKE_JWT'\napi = 'driver'"), "key file", Protocol::Driver),
        ("private_key = 'k'".to_owned(), "key", Protocol::SqlApi),
        (format!("{token}\nauthenticator = 'Programmatic_Access_Token'"), "pat file", Protocol::SqlApi),
        ("token = 't'\nauthenticator = 'programmatic_access_token'".to_owned(), "pat", Protocol::SqlApi),
        (format!("{token}\nauthenticator = 'oauth'\napi = 'SQL'"), "oauth file", Protocol::SqlApi),
        ("token = 't'\nauthenticator = 'oauth'\npassword = 'p'".to_owned(), "oauth", Protocol::SqlApi),
    ];
    for (lines, expected, protocol) in cases {
        let config = Home::bare(&lines).load().unwrap_or_else(|error| panic!("{lines}: {error}"));
        let found = match config.credentials {
            Credentials::Password(_) => "password",
            Credentials::KeyPair { key: SecretSource::File(_), .. } => "key file",
            Credentials::KeyPair { key: SecretSource::Value(_), .. } => "key",
            Credentials::AccessToken(SecretSource::File(_)) => "pat file",
            Credentials::AccessToken(SecretSource::Value(_)) => "pat",
            Credentials::OAuth(SecretSource::File(_)) => "oauth file",
            Credentials::OAuth(SecretSource::Value(_)) => "oauth",
        };
        assert_eq!((found, config.protocol), (expected, protocol), "{lines}");
    }
}

#[test]
fn a_password_of_a_stronger_source_beats_a_key_of_a_weaker_one() {
    let home = Home::dev("");
    let sources = home.sources.clone().with_variable("SNOWFLAKE_PRIVATE_KEY_RAW", "key");
    assert_eq!(password(&load(Some("dev"), &sources).unwrap()), "canary-1");
    let sources = sources.with_variable("SNOWFLAKE_CONNECTIONS_DEV_PRIVATE_KEY", "key");
    assert!(matches!(load(Some("dev"), &sources).unwrap().credentials, Credentials::KeyPair { .. }));
}

#[test]
fn a_passphrase_is_found_under_each_of_its_names() {
    for name in
        ["SNOWFLAKE_PRIVATE_KEY_FILE_PWD", "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", "PRIVATE_KEY_PASSPHRASE"]
    {
        let sources = Home::bare("private_key = 'k'").sources.with_variable(name, "phrase");
        // The directory is gone by now; a connection of variables needs none.
        let sources = sources
            .with_variable("SNOWFLAKE_ACCOUNT", "org-acct")
            .with_variable("SNOWFLAKE_USER", "u")
            .with_variable("SNOWFLAKE_PRIVATE_KEY_RAW", "k");
        match load(None, &sources).unwrap().credentials {
            Credentials::KeyPair { passphrase: Some(phrase), .. } => {
                assert_eq!(phrase.expose_secret(), "phrase")
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn what_needs_a_person_is_refused_with_what_does_not() {
    let interactive = [
        "externalbrowser",
        "EXTERNALBROWSER",
        "username_password_mfa",
        "oauth_authorization_code",
        "oauth_client_credentials",
        "workload_identity",
        "https://acme.okta.com/",
    ];
    for authenticator in interactive {
        let error = Home::dev(&format!("authenticator = '{authenticator}'")).error();
        for part in
            ["authenticator in [dev]", "private_key_file", "programmatic_access_token", "oauth", "password"]
        {
            assert!(error.contains(part), "{error}");
        }
    }
}

#[test]
fn what_is_missing_or_contradicts_itself_is_named_with_the_mend() {
    let cases = [
        ("", "private_key_file, or authenticator and token_file_path, or password"),
        ("token = 'canary'", "set authenticator to"),
        ("authenticator = 'oauth'", "token_file_path"),
        ("authenticator = 'snowflake_jwt'\npassword = 'canary'", "set private_key_file"),
        ("token = 'canary'\ntoken_file_path = '/t'\nauthenticator = 'oauth'", "exclude each other"),
        ("private_key = 'canary'\nprivate_key_file = '/k'", "exclude each other"),
        ("password = 'canary'\napi = 'sql'", "the SQL API takes no passwords"),
        ("private_key_file = '-----BEGIN PRIVATE KEY-----canary'", "the path of a file, not what is in it"),
        ("token_file_path = 'eyJcanary'\nauthenticator = 'oauth'", "the path of a file, not what is in it"),
        ("private_key_file = '/does/not/exist'", "cannot read /does/not/exist"),
    ];
    for (lines, expected) in cases {
        let error = Home::bare(lines).error();
        assert!(error.contains(expected), "{lines}: {error}");
    }
    let no_user = Home::new("[dev]\naccount = 'org-acct'\npassword = 'p'\n").error();
    assert!(no_user.contains("set user"), "{no_user}");
    let access_token = "[dev]\naccount = 'o-a'\nauthenticator = 'programmatic_access_token'\ntoken = 't'\n";
    assert_eq!(Home::new(access_token).load().unwrap().user, None);
}

#[cfg(unix)]
#[test]
fn a_key_or_token_that_others_may_read_is_refused_before_it_is_needed() {
    let home = Home::bare("private_key_file = '~/key.p8'");
    let path = write(home.directory.path(), "key.p8", "canary", 0o640);
    assert!(home.error().contains(&format!("chmod 600 '{}'", path.display())), "{}", home.error());
    write(home.directory.path(), "key.p8", "canary", 0o400);
    home.load().unwrap();
}

#[test]
fn names_of_objects_reach_the_sql_api_as_the_catalogue_has_them() {
    let lines = "private_key = 'k'\nrole = 'analyst'\nwarehouse = '\"my wh\"'\ndatabase = 'Db'\nschema = '\"a\"\"B\"'";
    let context = Home::bare(lines).load().unwrap().context;
    assert_eq!(
        [context.role, context.warehouse, context.database, context.schema].map(Option::unwrap),
        ["ANALYST", "my wh", "DB", "a\"B"]
    );
    let driver = Home::bare(&format!("{lines}\napi = 'driver'")).load().unwrap().context;
    assert_eq!(driver.warehouse.as_deref(), Some("\"my wh\""));
}

#[test]
fn the_origin_of_every_setting_is_told_and_no_secret_with_it() {
    let home = Home::dev("role = 'r'\ntoken = 'canary-2'\n[dev.session_parameters]\nQUERY_TAG = 'x'\n");
    let sources = home
        .sources
        .clone()
        .with_variable("SNOWFLAKE_WAREHOUSE", "w")
        .with_variable("PRIVATE_KEY_PASSPHRASE", "canary-3")
        .with_flag("database", "d");
    let all = explain(Some("dev"), &sources).unwrap();
    let of = |key: &str| all.iter().find(|entry| entry.key == key).unwrap_or_else(|| panic!("{key}"));
    let file = |section: &str, key: &str| Origin::File {
        path: home.path("connections.toml"),
        section: section.to_owned(),
        key: key.to_owned(),
    };
    assert_eq!((&of("role").value, &of("role").origin), (&Shown::Text("r".to_owned()), &file("dev", "role")));
    assert_eq!(of("warehouse").origin, Origin::Variable { name: "SNOWFLAKE_WAREHOUSE".to_owned() });
    assert_eq!(of("database").origin, Origin::Flag { key: "database".to_owned() });
    assert_eq!(of("password").value, Shown::Secret);
    assert_eq!(
        of("private_key_file_pwd").origin,
        Origin::Variable { name: "PRIVATE_KEY_PASSPHRASE".to_owned() }
    );
    assert_eq!(of("session_parameters.QUERY_TAG").origin, file("dev.session_parameters", "QUERY_TAG"));
    let printed: String = all.iter().map(|entry| format!("{entry} {entry:?}\n")).collect();
    assert!(!printed.contains("canary"), "{printed}");
    assert!(all.iter().all(|entry| entry.key != "schema"));
}

#[test]
fn a_setting_that_is_refused_is_explained_all_the_same() {
    let home = Home::dev("port = 'x'\nhost = 'https://u:canary@h/'");
    home.load().unwrap_err();
    let all = explain(Some("dev"), &home.sources).unwrap();
    assert!(all.iter().any(|entry| entry.to_string().starts_with("port = \"x\"")));
    assert!(!format!("{all:?}").contains("canary"));
}

#[test]
fn no_type_prints_a_secret() {
    let home = Home::dev("token = 'canary-2'\nprivate_key_file_pwd = 'canary-3'");
    let sources = home
        .sources
        .clone()
        .with_flag("private_key", "canary-4")
        .with_variable("SNOWFLAKE_PASSWORD", "canary-5");
    let files = super::file::Files::read(Some(home.directory.path() as &Path)).unwrap();
    let with_password = home.load().unwrap();
    let with_key = load(Some("dev"), &sources).unwrap();
    let printed = format!("{sources:?} {files:?} {with_password:?} {with_key:#?}");
    assert!(!printed.contains("canary"), "{printed}");
}
