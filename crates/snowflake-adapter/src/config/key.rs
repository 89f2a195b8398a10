//! The keys of a connection, in Snowflake's spelling.

/// One setting of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its name in files; variables spell it in capitals.
    pub(crate) name: &'static str,
    /// Other names of the same.
    aliases: &'static [&'static str],
    /// A general variable without the usual prefix.
    pub(crate) variable: Option<&'static str>,
    /// Its value is never shown.
    pub(crate) secret: bool,
}

impl Key {
    const fn plain(name: &'static str) -> Self {
        Self { name, aliases: &[], variable: None, secret: false }
    }

    const fn secret(name: &'static str) -> Self {
        Self { name, aliases: &[], variable: None, secret: true }
    }

    const fn or(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// Every spelling, the usual one first.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

pub(crate) const ACCOUNT: Key = Key::plain("account");
pub(crate) const REGION: Key = Key::plain("region");
pub(crate) const HOST: Key = Key::plain("host");
pub(crate) const PORT: Key = Key::plain("port");
pub(crate) const PROTOCOL: Key = Key::plain("protocol");
/// Ours: which of the two protocols to speak. Snowflake's `protocol` is the scheme of the URL.
pub(crate) const API: Key = Key::plain("api");
pub(crate) const USER: Key = Key::plain("user").or(&["username"]);
pub(crate) const AUTHENTICATOR: Key = Key::plain("authenticator");
pub(crate) const PASSWORD: Key = Key::secret("password");
pub(crate) const TOKEN: Key = Key::secret("token");
pub(crate) const TOKEN_FILE: Key = Key::plain("token_file_path");
pub(crate) const PRIVATE_KEY: Key = Key::secret("private_key").or(&["private_key_raw"]);
pub(crate) const PRIVATE_KEY_FILE: Key = Key::plain("private_key_file").or(&["private_key_path"]);
pub(crate) const PASSPHRASE: Key = Key {
    variable: Some("PRIVATE_KEY_PASSPHRASE"),
    ..Key::secret("private_key_file_pwd").or(&["private_key_passphrase"])
};
pub(crate) const ROLE: Key = Key::plain("role");
pub(crate) const WAREHOUSE: Key = Key::plain("warehouse");
pub(crate) const DATABASE: Key = Key::plain("database");
pub(crate) const SCHEMA: Key = Key::plain("schema");

/// The table of parameters; it is no single value, so it is no [`Key`].
pub(crate) const SESSION_PARAMETERS: &str = "session_parameters";

/// All of them, in the order a person wants to read them.
pub(crate) const ALL: [&Key; 18] = [
    &ACCOUNT,
    &REGION,
    &HOST,
    &PORT,
    &PROTOCOL,
    &API,
    &USER,
    &AUTHENTICATOR,
    &PASSWORD,
    &TOKEN,
    &TOKEN_FILE,
    &PRIVATE_KEY,
    &PRIVATE_KEY_FILE,
    &PASSPHRASE,
    &ROLE,
    &WAREHOUSE,
    &DATABASE,
    &SCHEMA,
];

/// Every spelling of every key.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ALL.into_iter().flat_map(Key::names)
}
