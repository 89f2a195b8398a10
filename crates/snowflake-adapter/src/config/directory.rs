//! The directory of the connection files, by the rules of Snowflake's own tools.

use std::path::PathBuf;

use secrecy::ExposeSecret;

use super::sources::Sources;

/// `$SNOWFLAKE_HOME` or `~/.snowflake` where that exists, else the platform's directory for configuration.
pub(crate) fn find(sources: &Sources) -> Option<PathBuf> {
    let named = variable(sources, "SNOWFLAKE_HOME").map(|text| sources.path(text));
    if let Some(directory) = named.as_ref().filter(|directory| !directory.is_dir()) {
        tracing::warn!(directory = %directory.display(), "SNOWFLAKE_HOME is no directory; the usual ones are used");
    }
    let own = named.or_else(|| sources.home.as_ref().map(|home| home.join(".snowflake")));
    own.filter(|directory| directory.is_dir()).or_else(|| platform(sources))
}

#[cfg(target_os = "macos")]
fn platform(sources: &Sources) -> Option<PathBuf> {
    sources.home.as_ref().map(|home| home.join("Library/Application Support/snowflake"))
}

#[cfg(windows)]
fn platform(sources: &Sources) -> Option<PathBuf> {
    variable(sources, "LOCALAPPDATA").map(|directory| PathBuf::from(directory).join("snowflake"))
}

#[cfg(not(any(target_os = "macos", windows)))]
fn platform(sources: &Sources) -> Option<PathBuf> {
    let configured =
        variable(sources, "XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = configured.or_else(|| sources.home.as_ref().map(|home| home.join(".config")));
    base.map(|base| base.join("snowflake"))
}

fn variable<'a>(sources: &'a Sources, name: &str) -> Option<&'a str> {
    sources.variables.get(name).map(ExposeSecret::expose_secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_first_directory_that_exists_is_taken() {
        let home = tempfile::tempdir().unwrap();
        let sources = Sources::new().with_home(home.path());
        assert_eq!(find(&sources).unwrap(), home.path().join(".config/snowflake"));
        let sources = sources.with_variable("XDG_CONFIG_HOME", "/xdg");
        assert_eq!(find(&sources).unwrap(), PathBuf::from("/xdg/snowflake"));

        std::fs::create_dir(home.path().join(".snowflake")).unwrap();
        assert_eq!(find(&sources).unwrap(), home.path().join(".snowflake"));
        std::fs::create_dir(home.path().join("named")).unwrap();
        let named = sources.with_variable("SNOWFLAKE_HOME", "~/named");
        assert_eq!(find(&named).unwrap(), home.path().join("named"));
        let gone = named.with_variable("SNOWFLAKE_HOME", "~/gone");
        assert_eq!(find(&gone).unwrap(), PathBuf::from("/xdg/snowflake"));
    }
}
