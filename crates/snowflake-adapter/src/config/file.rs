//! The connection files. Their text is wiped after parsing, and every value in them is a secret until asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::error::ConfigError;
use super::provenance::Origin;
use crate::secret;

/// Far above any file that people write.
const MOST_BYTES: u64 = 1024 * 1024;

/// A TOML table as it was read.
pub(crate) type Table = BTreeMap<String, Raw>;

/// A TOML value. Every plain one is text here; who asks for it knows what it should be.
#[derive(Debug, Clone)]
pub(crate) enum Raw {
    /// A string, number or boolean.
    Text(SecretString),
    /// A table.
    Table(Table),
    /// A list, which no setting is.
    List,
}

/// The connections of all files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    sections: BTreeMap<String, Section>,
    /// `default_connection_name` of `config.toml`.
    pub(crate) default: Option<String>,
}

/// One connection of a file.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its header.
    pub(crate) header: String,
    /// Its settings.
    pub(crate) table: Table,
}

impl Section {
    /// The place of one of its keys.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        Origin::File { path: self.path.clone(), section: self.header.clone(), key: key.to_owned() }
    }
}

impl Files {
    /// Reads what there is in `directory`. As in Snowflake's tools, `connections.toml` replaces all connections of
    /// `config.toml` and leaves its default name alone.
    pub(crate) fn read(directory: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(directory) = directory else { return Ok(Self::default()) };
        let config_path = directory.join("config.toml");
        let mut config = read(&config_path)?.unwrap_or_default();
        let default = default_name(&config_path, config.remove("default_connection_name"))?;
        let path = directory.join("connections.toml");
        let sections = match (read(&path)?, config.remove("connections")) {
            (Some(connections), _) => sections(&path, "", connections),
            (None, Some(Raw::Table(connections))) => sections(&config_path, "connections.", connections),
            (None, _) => BTreeMap::new(),
        };
        Ok(Self { sections, default })
    }

    /// The connection called `name`.
    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(name)
    }

    /// The names of all connections.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }
}

fn sections(path: &Path, prefix: &str, connections: Table) -> BTreeMap<String, Section> {
    let section = |(name, value)| match value {
        Raw::Table(table) => {
            let header = format!("{prefix}{name}");
            Some((name, Section { path: path.to_path_buf(), header, table }))
        }
        _ => {
            tracing::debug!(file = %path.display(), key = name, "ignored: it stands outside of every connection");
            None
        }
    };
    connections.into_iter().filter_map(section).collect()
}

fn default_name(path: &Path, value: Option<Raw>) -> Result<Option<String>, ConfigError> {
    let key = "default_connection_name".to_owned();
    match value {
        None => Ok(None),
        Some(Raw::Text(name)) => Ok(Some(name.expose_secret().to_owned()).filter(|name| !name.is_empty())),
        Some(_) => Err(ConfigError::Invalid {
            origin: Origin::File { path: path.to_path_buf(), section: String::new(), key },
            expected: "the name of a connection, in quotes".to_owned(),
            found: None,
        }),
    }
}

/// The root table of the file; `None` where there is no file.
fn read(path: &Path) -> Result<Option<Table>, ConfigError> {
    let metadata = match path.metadata() {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Err(ConfigError::unreadable(path, &io::Error::other("not a regular file"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConfigError::unreadable(path, &error)),
    };
    check_permissions(path, secret::mode(&metadata))?;
    let text = File::open(path)
        .and_then(|file| secret::read_text(file, MOST_BYTES))
        .map_err(|error| ConfigError::unreadable(path, &error))?;
    parse(path, text.expose_secret()).map(Some)
}

/// A file that others may write decides where our credentials go; one that others may read is common, and only the
/// secrets in it are at risk.
fn check_permissions(path: &Path, mode: Option<u32>) -> Result<(), ConfigError> {
    match mode {
        Some(mode) if mode & 0o022 != 0 => Err(ConfigError::Writable { path: path.to_path_buf(), mode }),
        Some(mode) if mode & 0o044 != 0 => {
            let file = path.display();
            tracing::warn!(%file, "others may read this file (mode {mode:o}); run: chmod 600 '{file}'");
            Ok(())
        }
        _ => Ok(()),
    }
}

fn parse(path: &Path, text: &str) -> Result<Table, ConfigError> {
    toml::from_str(text).map_err(|error| {
        // The error's own text quotes the line, which may hold a secret.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        ConfigError::Syntax {
            path: path.to_path_buf(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            reason: error.message().replace('\n', ", "),
        }
    })
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a TOML value")
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(SecretString::from(value)))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(SecretString::from(value)))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Text(SecretString::from(value.to_string())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Text(SecretString::from(value.to_string())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Text(SecretString::from(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Text(SecretString::from(value.to_string())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Raw::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut table = Table::new();
        while let Some((key, value)) = entries.next_entry()? {
            table.insert(key, value);
        }
        Ok(Raw::Table(table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::write;

    fn names(directory: &Path) -> Vec<String> {
        Files::read(Some(directory)).unwrap().names().map(str::to_owned).collect()
    }

    #[test]
    fn connections_toml_replaces_the_connections_of_config_toml_and_keeps_its_default() {
        let directory = tempfile::tempdir().unwrap();
        let config =
            "default_connection_name = 'b'\n[connections.a]\n[connections.b]\n[cli.logs]\nlevel = 'info'\n";
        write(directory.path(), "config.toml", config, 0o600);
        assert_eq!(names(directory.path()), ["a", "b"]);
        write(directory.path(), "connections.toml", "[c]\nuser = 'u'\n", 0o600);
        assert_eq!(names(directory.path()), ["c"]);
        assert_eq!(Files::read(Some(directory.path())).unwrap().default.as_deref(), Some("b"));
    }

    #[test]
    fn a_directory_without_files_has_no_connections() {
        let directory = tempfile::tempdir().unwrap();
        assert!(names(directory.path()).is_empty());
        assert!(names(&directory.path().join("none")).is_empty());
    }

    #[test]
    fn wrong_toml_is_named_by_file_line_and_column_and_never_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let wrong = [
            "password = canary-1",
            "password = \"canary\\q\"",
            "password = \"canary",
            "password = canary",
            "canary",
            "password = '''canary",
            "password = 'canary' 'canary'",
            "password = 1canary",
            "password = 2020-canary",
            "password = \"\\ucanary\"",
            "password canary",
            "password = 'x'\npassword = 'canary'",
            "password = { x = canary }",
        ];
        for line in wrong {
            let path =
                write(directory.path(), "connections.toml", &format!("[dev]\nuser = 'u'\n{line}\n"), 0o600);
            let error = Files::read(Some(directory.path())).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.starts_with(&format!("{}, line ", path.display())), "{line}: {text}");
            assert!(matches!(error, ConfigError::Syntax { line: 3..=5, .. }), "{line}: {text}");
            assert!(!text.contains("canary"), "{line}: {text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_write_is_refused_and_one_they_may_read_is_not() {
        let directory = tempfile::tempdir().unwrap();
        for mode in [0o620, 0o602, 0o666] {
            let path = write(directory.path(), "connections.toml", "[dev]\n", mode);
            let error = Files::read(Some(directory.path())).unwrap_err().to_string();
            assert!(error.contains(&format!("chmod 600 '{}'", path.display())), "{error}");
        }
        write(directory.path(), "connections.toml", "[dev]\n", 0o644);
        assert_eq!(names(directory.path()), ["dev"]);
    }
}
