//! From sources to a connection.

use secrecy::ExposeSecret;

use super::error::ConfigError;
use super::file::Files;
use super::key::{self, Key};
use super::lookup::Lookup;
use super::provenance::Provenance;
use super::sources::{Sources, defined_by, prefix};
use super::{DEFAULT_NAME, Deadlines, Protocol, SnowflakeConfig, StatementContext, endpoint, sign_in};

/// The connection called `name`, or the default one. It reads files, and it checks everything that can be checked
/// without the server.
pub fn load(name: Option<&str>, sources: &Sources) -> Result<SnowflakeConfig, ConfigError> {
    let files = Files::read(sources.directory())?;
    let name = chosen_name(name, sources, &files)?;
    let lookup = Lookup::new(&name, sources, files.section(&name));
    lookup.report_unknown();
    check_flags(sources)?;
    let (account, base_url) = endpoint::resolve(&lookup)?;
    let (user, credentials) = sign_in::resolve(&lookup)?;
    let protocol = sign_in::protocol(&lookup, &credentials)?;
    Ok(SnowflakeConfig {
        account,
        base_url,
        user,
        credentials,
        protocol,
        context: context(&lookup, protocol)?,
        session_parameters: lookup.session_parameters()?,
        deadlines: Deadlines::default(),
        name,
    })
}

/// Where each setting of a connection comes from, also when [`load`] refuses them.
pub fn explain(name: Option<&str>, sources: &Sources) -> Result<Vec<Provenance>, ConfigError> {
    let files = Files::read(sources.directory())?;
    let name = chosen_name(name, sources, &files)?;
    Lookup::new(&name, sources, files.section(&name)).provenance()
}

/// The names of all connections, the default one first.
pub fn names(sources: &Sources) -> Result<Vec<String>, ConfigError> {
    let files = Files::read(sources.directory())?;
    Ok(all_names(sources, &files))
}

fn all_names(sources: &Sources, files: &Files) -> Vec<String> {
    let mut names: Vec<String> = files.names().map(str::to_owned).collect();
    for defined in sources.variables.keys().filter_map(|variable| defined_by(variable)) {
        let name = defined.to_ascii_lowercase();
        // The variables may only complete a connection of a file.
        if !names.iter().any(|known| prefix(known) == prefix(&name)) {
            names.push(name);
        }
    }
    let default = default_name(sources, files);
    if default == DEFAULT_NAME && has_general_account(sources) && !names.contains(&default) {
        names.push(default.clone());
    }
    names.sort_by_key(|name| (*name != default, name.clone()));
    names
}

fn chosen_name(name: Option<&str>, sources: &Sources, files: &Files) -> Result<String, ConfigError> {
    let name = name.map_or_else(|| default_name(sources, files), str::to_owned);
    let known = all_names(sources, files);
    let by_variable = |name: &str| {
        let defined = sources.variables.keys().filter_map(|variable| defined_by(variable));
        defined.into_iter().any(|defined| prefix(defined) == prefix(name))
    };
    let general = name == DEFAULT_NAME && has_general_account(sources);
    if known.contains(&name) || by_variable(&name) || general {
        return Ok(name);
    }
    Err(ConfigError::UnknownConnection { name, known, directory: sources.directory.clone() })
}

fn default_name(sources: &Sources, files: &Files) -> String {
    let variable =
        sources.variables.get("SNOWFLAKE_DEFAULT_CONNECTION_NAME").map(ExposeSecret::expose_secret);
    variable.map(str::to_owned).or_else(|| files.default.clone()).unwrap_or_else(|| DEFAULT_NAME.to_owned())
}

/// Whether arguments and general variables make a connection without any name.
fn has_general_account(sources: &Sources) -> bool {
    [&key::ACCOUNT, &key::HOST].into_iter().any(|key| {
        let variable = format!("SNOWFLAKE_{}", key.name.to_ascii_uppercase());
        let values = [sources.flags.get(key.name), sources.variables.get(&variable)];
        values.into_iter().flatten().any(|value| !value.expose_secret().trim().is_empty())
    })
}

/// A misspelt argument would otherwise do nothing and say nothing.
fn check_flags(sources: &Sources) -> Result<(), ConfigError> {
    match sources.flags.keys().find(|flag| !key::names().any(|name| name == flag.as_str())) {
        None => Ok(()),
        Some(flag) => Err(ConfigError::Invalid {
            origin: super::Origin::Flag { key: flag.clone() },
            expected: format!("one of {}", key::names().collect::<Vec<_>>().join(", ")),
            found: Some(flag.clone()),
        }),
    }
}

fn context(lookup: &Lookup<'_>, protocol: Protocol) -> Result<StatementContext, ConfigError> {
    let part = |key: &'static Key| -> Result<Option<String>, ConfigError> {
        let text = lookup.text(key)?;
        Ok(match protocol {
            Protocol::SqlApi => text.map(|text| stored_identifier(&text)),
            Protocol::Driver => text,
        })
    };
    Ok(StatementContext {
        role: part(&key::ROLE)?,
        warehouse: part(&key::WAREHOUSE)?,
        database: part(&key::DATABASE)?,
        schema: part(&key::SCHEMA)?,
    })
}

/// An identifier as the catalogue stores it. The SQL API compares exactly, while drivers read the same setting as
/// SQL does: in capitals unless it is quoted.
fn stored_identifier(text: &str) -> String {
    match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => text.to_uppercase(),
    }
}
