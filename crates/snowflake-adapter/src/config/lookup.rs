//! Finds a setting: the strongest layer that has it wins, whatever it is called there.

use secrecy::{ExposeSecret, SecretString};

use super::error::ConfigError;
use super::file::{Raw, Section};
use super::key::{self, Key};
use super::provenance::{Origin, Provenance, Shown};
use super::sources::{Sources, prefix};

/// No path and no name is longer, while keys are.
const MOST_SHOWN: usize = 400;

/// A setting that was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    key: &'static Key,
    value: SecretString,
    /// Where it was found.
    pub(crate) origin: Origin,
    /// The layer it was found in; the least is the strongest.
    pub(crate) layer: usize,
}

impl Found {
    /// The value, for settings that are no secrets.
    pub(crate) fn text(&self) -> &str {
        self.value.expose_secret().trim()
    }

    /// Whether it is this setting.
    pub(crate) fn is(&self, key: &Key) -> bool {
        self.key == key
    }

    /// The value as it was read.
    pub(crate) fn secret(self) -> SecretString {
        self.value
    }

    /// The value, if anybody may see it.
    pub(crate) fn shown(&self) -> Option<&str> {
        presentable(self.text()).filter(|_| !self.key.secret)
    }

    /// The complaint that something else was expected here.
    pub(crate) fn expected(&self, expected: impl Into<String>) -> ConfigError {
        let found = self.shown().map(str::to_owned);
        ConfigError::Invalid { origin: self.origin.clone(), expected: expected.into(), found }
    }

    fn provenance(&self) -> Provenance {
        let value = self.shown().map_or(Shown::Secret, |text| Shown::Text(text.to_owned()));
        Provenance { key: self.key.name.to_owned(), value, origin: self.origin.clone() }
    }
}

/// All sources, seen from one connection.
#[derive(Debug)]
pub(crate) struct Lookup<'a> {
    /// The connection.
    pub(crate) name: &'a str,
    /// What paths are relative to.
    pub(crate) sources: &'a Sources,
    section: Option<&'a Section>,
    prefix: String,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(name: &'a str, sources: &'a Sources, section: Option<&'a Section>) -> Self {
        Self { name, sources, section, prefix: prefix(name) }
    }

    /// The setting from the strongest layer that has it. Empty text counts as not set.
    pub(crate) fn find(&self, key: &'static Key) -> Result<Option<Found>, ConfigError> {
        for layer in
            [Self::flag, Self::own_variable, Self::file, Self::general_variable].into_iter().enumerate()
        {
            if let Some(found) = self.find_in(key, layer)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Text of a setting that is no secret.
    pub(crate) fn text(&self, key: &'static Key) -> Result<Option<String>, ConfigError> {
        Ok(self.find(key)?.map(|found| found.text().to_owned()))
    }

    /// The parameters of a session, which only files hold.
    pub(crate) fn session_parameters(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let Some(section) = self.section else { return Ok(Vec::new()) };
        let parameters = match section.table.get(key::SESSION_PARAMETERS) {
            None => return Ok(Vec::new()),
            Some(Raw::Table(parameters)) => parameters,
            Some(_) => return Err(wrong(section.origin(key::SESSION_PARAMETERS), "a table of parameters")),
        };
        let checked = parameters.iter().map(|(name, value)| match value {
            Raw::Text(text) if is_parameter(name) => Ok((name.clone(), text.expose_secret().to_owned())),
            Raw::Text(_) => Err(wrong(parameter_origin(section, name), "a name of letters, digits and _")),
            _ => Err(wrong(parameter_origin(section, name), "a string, number or boolean")),
        });
        checked.collect()
    }

    /// Every setting in effect and where it came from.
    pub(crate) fn provenance(&self) -> Result<Vec<Provenance>, ConfigError> {
        let mut all = Vec::new();
        for key in key::ALL {
            all.extend(self.find(key)?.map(|found| found.provenance()));
        }
        for (name, value) in self.session_parameters()? {
            let Some(section) = self.section else { continue };
            let origin = parameter_origin(section, &name);
            all.push(Provenance {
                key: format!("session_parameters.{name}"),
                value: Shown::Text(value),
                origin,
            });
        }
        Ok(all)
    }

    /// Says which keys have no meaning here. Snowflake's tools have many more, so they are no mistake.
    pub(crate) fn report_unknown(&self) {
        let Some(section) = self.section else { return };
        let known = |name: &str| name == key::SESSION_PARAMETERS || key::names().any(|known| known == name);
        for name in section.table.keys().filter(|name| !known(name)) {
            tracing::debug!(connection = self.name, key = name, "ignored: not a setting of this program");
        }
    }

    fn find_in(&self, key: &'static Key, layer: (usize, Layer<'a>)) -> Result<Option<Found>, ConfigError> {
        let (layer, read) = layer;
        let mut all = Vec::new();
        for name in key.names() {
            all.extend(read(self, key, name)?);
        }
        let mut all = all.into_iter().filter(|(value, _)| !value.expose_secret().trim().is_empty());
        let Some((value, origin)) = all.next() else { return Ok(None) };
        if let Some((_, second)) = all.find(|(other, _)| other.expose_secret() != value.expose_secret()) {
            let mend = "they are the same setting with two values, so remove one";
            return Err(ConfigError::conflict(origin, second, mend));
        }
        Ok(Some(Found { key, value, origin, layer }))
    }

    fn flag(&self, _: &Key, name: &str) -> Reading {
        let found = self.sources.flags.get(name).cloned();
        Ok(found.map(|value| (value, Origin::Flag { key: name.to_owned() })))
    }

    fn own_variable(&self, _: &Key, name: &str) -> Reading {
        Ok(self.variable(format!("{}{}", self.prefix, name.to_ascii_uppercase())))
    }

    fn file(&self, key: &Key, name: &str) -> Reading {
        let Some(section) = self.section else { return Ok(None) };
        match section.table.get(name) {
            None => Ok(None),
            Some(Raw::Text(value)) => Ok(Some((value.clone(), section.origin(name)))),
            Some(_) => Err(wrong(section.origin(name), expected_kind(key))),
        }
    }

    fn general_variable(&self, key: &Key, name: &str) -> Reading {
        let usual = self.variable(format!("SNOWFLAKE_{}", name.to_ascii_uppercase()));
        Ok(usual.or_else(|| key.variable.and_then(|name| self.variable(name.to_owned()))))
    }

    fn variable(&self, name: String) -> Option<(SecretString, Origin)> {
        let value = self.sources.variables.get(&name)?.clone();
        Some((value, Origin::Variable { name }))
    }
}

type Reading = Result<Option<(SecretString, Origin)>, ConfigError>;
type Layer<'a> = fn(&Lookup<'a>, &Key, &str) -> Reading;

fn expected_kind(key: &Key) -> &'static str {
    match *key {
        key::PORT => "a port number",
        _ => "a string",
    }
}

fn wrong(origin: Origin, expected: &str) -> ConfigError {
    ConfigError::Invalid { origin, expected: expected.to_owned(), found: None }
}

fn parameter_origin(section: &Section, name: &str) -> Origin {
    let header = format!("{}.{}", section.header, key::SESSION_PARAMETERS);
    Origin::File { path: section.path.clone(), section: header, key: name.to_owned() }
}

fn is_parameter(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What stands where no secret belongs may be one all the same: a URL with a password in it, a key or token in place
/// of its path.
fn presentable(text: &str) -> Option<&str> {
    let is_secret = text.contains('@') && text.contains("://")
        || text.contains("-----BEGIN")
        || text.starts_with("eyJ")
        || text.len() > MOST_SHOWN;
    (!is_secret).then_some(text)
}
