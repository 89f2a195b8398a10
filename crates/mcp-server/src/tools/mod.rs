//! The tools: one file each, with its arguments, its call and its answer.

pub mod arguments;
mod cancel;
mod execute;
mod export;
mod list;
mod result;
pub(crate) mod rows;
mod status;

use rmcp::model::{CallToolResponse, JsonObject, Tool, ToolAnnotations};

use crate::call::Call;
use crate::config::Settings;
use crate::error::ToolError;

/// A tool of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolName {
    /// `async_execute_query`
    Execute,
    /// `query_status`
    Status,
    /// `query_result`
    Result,
    /// `query_cancel`
    Cancel,
    /// `query_list`
    List,
}

impl ToolName {
    /// All of them, in the order they are listed.
    pub const ALL: [Self; 5] = [Self::Execute, Self::Status, Self::Result, Self::Cancel, Self::List];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Execute => "async_execute_query",
            Self::Status => "query_status",
            Self::Result => "query_result",
            Self::Cancel => "query_cancel",
            Self::List => "query_list",
        }
    }

    /// The tool with this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.as_str() == name)
    }

    /// What clients are told of the tool.
    pub fn definition(self, settings: &Settings) -> Tool {
        match self {
            Self::Execute => execute::definition(settings),
            Self::Status => status::definition(settings),
            Self::Result => result::definition(settings),
            Self::Cancel => cancel::definition(settings),
            Self::List => list::definition(settings),
        }
    }

    /// Carries out a call.
    pub async fn call(
        self,
        call: &Call,
        arguments: Option<JsonObject>,
    ) -> Result<CallToolResponse, ToolError> {
        let result = match self {
            Self::Execute => return execute::call(call, arguments).await,
            Self::Status => status::call(call, arguments).await,
            Self::Result => result::call(call, arguments).await,
            Self::Cancel => cancel::call(call, arguments).await,
            Self::List => list::call(call, arguments).await,
        };
        result.map(CallToolResponse::from)
    }
}

/// Hints of a tool that only looks.
fn looking() -> ToolAnnotations {
    ToolAnnotations::new().read_only(true).destructive(false).idempotent(true).open_world(false)
}
