//! The stand-in for Snowflake, one connection to it, and a home directory, for tests that need every setting.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::fake_snowflake::faults::{Fault, Misbehaviour};
use support::fake_snowflake::options::Options;
use support::fake_snowflake::{FakeSnowflake, client};
use support::server_process::ServerProcess;

use crate::BINARY;

const FOREVER: u32 = 100_000;

/// A service, a home directory, and the settings of the connection `test` to it.
pub(crate) struct Site {
    pub(crate) service: FakeSnowflake,
    pub(crate) home: tempfile::TempDir,
    pub(crate) api: &'static str,
    settings: BTreeMap<&'static str, String>,
    variables: Vec<(String, String)>,
}

impl Site {
    pub(crate) fn new(api: &'static str) -> Self {
        Self::with_options(api, Options::default())
    }

    pub(crate) fn with_options(api: &'static str, options: Options) -> Self {
        let service = FakeSnowflake::start_blocking(options).unwrap();
        let own = [("API", api), ("WAREHOUSE", "WH"), ("DATABASE", "DB")]
            .map(|(key, value)| (key, value.to_owned()));
        let settings = client::place(service.port()).into_iter().chain(own).collect();
        let home = tempfile::tempdir().unwrap();
        Self { service, home, api, settings, variables: vec![] }
    }

    /// Changes a setting.
    pub(crate) fn set(mut self, key: &'static str, value: &str) -> Self {
        self.settings.insert(key, value.to_owned());
        self
    }

    /// Sets a variable of the process that is none of the connection.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn unset(mut self, keys: &[&str]) -> Self {
        self.settings.retain(|key, _| !keys.contains(key));
        self
    }

    /// Signs in with a secret of the kind that is usual in the protocol.
    pub(crate) fn secret(mut self, secret: &str) -> Self {
        self.settings.extend(client::sign_in(self.api, secret));
        self
    }

    /// Signs in with a key of the test data, from a file of this mode.
    pub(crate) fn key(self, name: &str, mode: u32) -> Self {
        let path = self.file("key.p8", &key(name), mode);
        let site = self.unset(&["TOKEN", "PASSWORD"]).set("AUTHENTICATOR", "SNOWFLAKE_JWT");
        site.set("PRIVATE_KEY_FILE", path.to_str().unwrap())
    }

    /// A file in the home directory that nobody else may read.
    pub(crate) fn secret_file(&self, name: &str, text: &str) -> PathBuf {
        self.file(name, text, 0o600)
    }

    /// A file in the home directory.
    pub(crate) fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// Every call of one kind that holds a text goes wrong in this way.
    pub(crate) fn fault(self, endpoint: &str, holding: &str, kind: Misbehaviour) -> Self {
        let fault = Fault { holding: holding.to_owned(), ..Fault::once(endpoint, kind).times(FOREVER) };
        self.service.faults.add(fault);
        self
    }

    /// Signing in is refused with a code; the driver protocol says so with status 200.
    pub(crate) fn refuses(self, status: u16, code: &str, message: &str) -> Self {
        let (endpoint, status) = if self.api == "sql" { ("submit", status) } else { ("login", 200) };
        self.fault(endpoint, "", refused(status, code, message))
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// A server that has shaken hands.
    pub(crate) fn serve(&self, arguments: &[&str]) -> ServerProcess {
        let arguments = [&["--connection", "test=snowflake"], arguments].concat();
        let mut server =
            ServerProcess::spawn_with(BINARY, &self.state_dir(), &arguments, &self.environment());
        server.initialize();
        server
    }

    /// A command of the command line, to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        Command::new(BINARY)
            .arg("--state-dir")
            .arg(self.state_dir())
            .args(["--connection", "test=snowflake"])
            .args(arguments)
            .env_clear()
            .envs(self.environment())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn environment(&self) -> Vec<(String, String)> {
        let home = self.home.path().display().to_string();
        self.settings
            .iter()
            .map(|(key, value)| (client::variable(key), value.clone()))
            .chain([("HOME".to_owned(), home.clone()), ("SNOWFLAKE_HOME".to_owned(), home)])
            .chain(self.variables.iter().cloned())
            .collect()
    }
}

/// The text of a key of the test data.
pub(crate) fn key(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../snowflake-adapter/testdata").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// A refusal in words of its own.
pub(crate) fn refused(status: u16, code: &str, message: &str) -> Misbehaviour {
    Misbehaviour::Refused { status, code: code.to_owned(), message: message.to_owned() }
}
