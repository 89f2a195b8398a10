//! The MCP clients that this server can be registered with, and the files in which they keep their servers.

use clap::ValueEnum;

pub mod covering;
pub mod difference;
pub mod document;
pub mod entry;
pub mod file;
mod layout;
pub mod places;
pub mod secrets;
pub mod survey;
pub mod undo;

/// An MCP client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// Cursor.
    Cursor,
    /// Claude Desktop.
    ClaudeDesktop,
    /// Claude Code.
    ClaudeCode,
    /// Visual Studio Code.
    #[value(name = "vscode")]
    VsCode,
}

impl Client {
    /// Every client, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::Cursor, Self::ClaudeDesktop, Self::ClaudeCode, Self::VsCode];

    /// Its name as its makers write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cursor => "Cursor",
            Self::ClaudeDesktop => "Claude Desktop",
            Self::ClaudeCode => "Claude Code",
            Self::VsCode => "VS Code",
        }
    }

    /// The key of its servers.
    pub fn key(self) -> &'static str {
        match self {
            Self::Cursor | Self::ClaudeDesktop | Self::ClaudeCode => "mcpServers",
            Self::VsCode => "servers",
        }
    }

    /// What the user does for a new entry to be seen.
    pub fn next_step(self) -> &'static str {
        match self {
            Self::Cursor => "In Cursor, look for it under Settings > MCP and switch it on.",
            Self::ClaudeDesktop => "Quit Claude Desktop and start it again.",
            Self::ClaudeCode => "Start Claude Code again; /mcp shows the server.",
            Self::VsCode => "In VS Code, run the command \"MCP: List Servers\" and start it.",
        }
    }
}

/// For whom a server is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// For everything the user opens.
    User,
    /// For one project directory.
    Project,
}
