//! Where each client keeps its servers on each system.

use std::path::{Path, PathBuf};

use super::{Client, Scope};

/// An operating system, as far as it decides where programs keep their files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Linux and its like.
    Linux,
    /// macOS.
    Mac,
    /// Windows.
    Windows,
}

impl System {
    /// The one this program was built for.
    pub fn current() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else if cfg!(target_os = "macos") {
            Self::Mac
        } else {
            Self::Linux
        }
    }
}

/// What decides where files lie: the system, its variables, and the directory of the project.
pub struct Places<'a> {
    /// The operating system.
    pub system: System,
    /// Environment variables.
    pub variable: &'a dyn Fn(&str) -> Option<PathBuf>,
    /// The project's directory.
    pub project: PathBuf,
}

impl std::fmt::Debug for Places<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Places")
            .field("system", &self.system)
            .field("project", &self.project)
            .finish_non_exhaustive()
    }
}

impl Places<'_> {
    /// The file in which `client` keeps its servers; none where it has none, or where no home directory is known.
    pub fn file(&self, client: Client, scope: Scope) -> Option<PathBuf> {
        match (client, scope) {
            (Client::Cursor, Scope::Project) => Some(self.project.join(".cursor").join("mcp.json")),
            (Client::ClaudeCode, Scope::Project) => Some(self.project.join(".mcp.json")),
            (Client::VsCode, Scope::Project) => Some(self.project.join(".vscode").join("mcp.json")),
            (Client::ClaudeDesktop, Scope::Project) => None,
            (Client::Cursor, Scope::User) => Some(self.home()?.join(".cursor").join("mcp.json")),
            (Client::ClaudeCode, Scope::User) => {
                Some(self.set("CLAUDE_CONFIG_DIR").or_else(|| self.home())?.join(".claude.json"))
            }
            (Client::ClaudeDesktop, Scope::User) => {
                let data = self.packaged_claude().or_else(|| self.applications())?;
                Some(data.join("Claude").join("claude_desktop_config.json"))
            }
            (Client::VsCode, Scope::User) => {
                Some(self.applications()?.join("Code").join("User").join("mcp.json"))
            }
        }
    }

    fn set(&self, name: &str) -> Option<PathBuf> {
        (self.variable)(name).filter(|value| !value.as_os_str().is_empty())
    }

    fn home(&self) -> Option<PathBuf> {
        self.set(if self.system == System::Windows { "USERPROFILE" } else { "HOME" })
    }

    /// Where programs with windows keep their data.
    fn applications(&self) -> Option<PathBuf> {
        match self.system {
            System::Linux => {
                self.set("XDG_CONFIG_HOME").or_else(|| self.home().map(|home| home.join(".config")))
            }
            System::Mac => self.home().map(|home| home.join("Library").join("Application Support")),
            System::Windows => self.set("APPDATA"),
        }
    }

    /// Claude Desktop as a Windows package sees its own copy of the data directory and never the common one.
    fn packaged_claude(&self) -> Option<PathBuf> {
        if self.system != System::Windows {
            return None;
        }
        let packages = self.set("LOCALAPPDATA")?.join("Packages");
        let mut found: Vec<PathBuf> = std::fs::read_dir(packages)
            .ok()?
            .filter_map(|entry| entry.ok())
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("Claude_"))
            .map(|entry| entry.path().join("LocalCache").join("Roaming"))
            .filter(|roaming| roaming.is_dir())
            .collect();
        found.sort();
        found.pop()
    }
}

/// `path` seen from `directory`.
pub fn absolute(path: &Path, directory: &Path) -> PathBuf {
    directory.join(path.strip_prefix(".").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: [(&str, &str); 2] = [("HOME", "/home/ada"), ("USERPROFILE", "/users/ada")];

    fn file(system: System, client: Client, scope: Scope, extra: &[(&str, &str)]) -> Option<PathBuf> {
        let known: Vec<_> = HOME.iter().chain(extra).copied().collect();
        let variable = move |name: &str| {
            known.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
        };
        Places { system, variable: &variable, project: PathBuf::from("/work/shop") }.file(client, scope)
    }

    fn user(system: System, client: Client, extra: &[(&str, &str)]) -> String {
        file(system, client, Scope::User, extra).unwrap().display().to_string().replace('\\', "/")
    }

    #[test]
    fn every_client_has_its_file_on_linux() {
        let at = |client| user(System::Linux, client, &[]);
        assert_eq!(at(Client::Cursor), "/home/ada/.cursor/mcp.json");
        assert_eq!(at(Client::ClaudeDesktop), "/home/ada/.config/Claude/claude_desktop_config.json");
        assert_eq!(at(Client::ClaudeCode), "/home/ada/.claude.json");
        assert_eq!(at(Client::VsCode), "/home/ada/.config/Code/User/mcp.json");
    }

    #[test]
    fn every_client_has_its_file_on_macos() {
        let at = |client| user(System::Mac, client, &[("XDG_CONFIG_HOME", "/elsewhere")]);
        let support = "/home/ada/Library/Application Support";
        assert_eq!(at(Client::Cursor), "/home/ada/.cursor/mcp.json");
        assert_eq!(at(Client::ClaudeDesktop), format!("{support}/Claude/claude_desktop_config.json"));
        assert_eq!(at(Client::ClaudeCode), "/home/ada/.claude.json");
        assert_eq!(at(Client::VsCode), format!("{support}/Code/User/mcp.json"));
    }

    #[test]
    fn every_client_has_its_file_on_windows() {
        let at = |client| user(System::Windows, client, &[("APPDATA", "/users/ada/Roaming")]);
        assert_eq!(at(Client::Cursor), "/users/ada/.cursor/mcp.json");
        assert_eq!(at(Client::ClaudeDesktop), "/users/ada/Roaming/Claude/claude_desktop_config.json");
        assert_eq!(at(Client::ClaudeCode), "/users/ada/.claude.json");
        assert_eq!(at(Client::VsCode), "/users/ada/Roaming/Code/User/mcp.json");
    }

    #[test]
    fn claude_desktop_from_a_windows_package_has_its_own_copy() {
        let local = tempfile::tempdir().unwrap();
        let roaming = local.path().join("Packages/Claude_abc123/LocalCache/Roaming");
        std::fs::create_dir_all(&roaming).unwrap();
        std::fs::create_dir_all(local.path().join("Packages/Other_abc123/LocalCache/Roaming")).unwrap();
        let extra = [("APPDATA", "/users/ada/Roaming"), ("LOCALAPPDATA", local.path().to_str().unwrap())];
        let found = file(System::Windows, Client::ClaudeDesktop, Scope::User, &extra).unwrap();
        assert_eq!(found, roaming.join("Claude").join("claude_desktop_config.json"));
    }

    #[test]
    fn variables_move_the_files_that_the_clients_let_them_move() {
        let moved = [("XDG_CONFIG_HOME", "/cfg"), ("CLAUDE_CONFIG_DIR", "/cc")];
        assert_eq!(user(System::Linux, Client::ClaudeCode, &moved), "/cc/.claude.json");
        assert_eq!(user(System::Linux, Client::VsCode, &moved), "/cfg/Code/User/mcp.json");
        let empty = [("XDG_CONFIG_HOME", ""), ("CLAUDE_CONFIG_DIR", "")];
        assert_eq!(user(System::Linux, Client::ClaudeCode, &empty), "/home/ada/.claude.json");
        assert_eq!(file(System::Linux, Client::Cursor, Scope::User, &[("HOME", "")]), None);
    }

    #[test]
    fn a_project_has_files_of_its_own_except_for_claude_desktop() {
        let at = |client| file(System::Linux, client, Scope::Project, &[]);
        assert_eq!(at(Client::Cursor), Some(PathBuf::from("/work/shop/.cursor/mcp.json")));
        assert_eq!(at(Client::ClaudeCode), Some(PathBuf::from("/work/shop/.mcp.json")));
        assert_eq!(at(Client::VsCode), Some(PathBuf::from("/work/shop/.vscode/mcp.json")));
        assert_eq!(at(Client::ClaudeDesktop), None);
    }
}
