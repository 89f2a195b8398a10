//! A server over a scripted engine and a client at the other end of a pipe in memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_server::Server;
use mcp_server::config::Settings;
use mcp_server::lazy::LazyRegistry;
use registry_core::backend::Fence;
use registry_core::registry::{RegistryConfig, StateLocation};
use registry_core::testing::scripted::{Script, ScriptedBackend};
use registry_core::{Backend, QueryRegistry};
use rmcp::ServiceExt;
use rmcp::handler::client::ClientHandler;
use rmcp::model::{CallToolRequestParams, CallToolResult, ProgressNotificationParam, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, NotificationContext, RoleClient, RunningService};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A client that remembers what it was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    pub(crate) progress: Arc<Mutex<Vec<ProgressNotificationParam>>>,
    /// How often it was told that the list of resources has changed.
    pub(crate) changes: Arc<watch::Sender<usize>>,
}

impl ClientHandler for Client {
    async fn on_progress(&self, params: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.progress.lock().unwrap().push(params);
    }

    async fn on_resource_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

/// A server and its client.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) client: RunningService<RoleClient, Client>,
    pub(crate) engine: ScriptedBackend,
    pub(crate) registry: QueryRegistry,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<anyhow::Result<()>>,
}

/// A successful answer in both forms.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) facts: Value,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn str(&self, name: &str) -> &str {
        self.facts[name].as_str().unwrap_or_else(|| panic!("no text {name} in {}", self.facts))
    }
}

/// An engine that refuses what writes, so that it may be sent what nobody else understands.
pub(crate) fn remote() -> ScriptedBackend {
    ScriptedBackend::remote().with_fence(Fence::engine("It refuses what writes."))
}

/// An engine: `quick` ends at once, `slow` after twenty seconds, `endless` never, `wrong` with an error.
pub(crate) fn engine() -> ScriptedBackend {
    use registry_core::error::{ErrorInfo, ErrorKind};
    let wrong = ErrorInfo::new(ErrorKind::Sql, "no such table: ordes").with_code(2003, "002003");
    remote()
        .on("select quick", Script::at_once())
        .on("select slow", Script::runs_for(Duration::from_secs(20)))
        .on("select endless", Script::never_ends())
        .on("select wrong", Script::at_once().then_fails(wrong))
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(engine(), Settings::default(), RegistryConfig::default()).await
    }

    pub(crate) async fn over(engine: ScriptedBackend) -> Self {
        Self::with(engine, Settings::default(), RegistryConfig::default()).await
    }

    pub(crate) async fn with(engine: ScriptedBackend, settings: Settings, config: RegistryConfig) -> Self {
        let backend: Arc<dyn Backend> = Arc::new(engine.clone());
        let connections = vec![("main".to_owned(), backend)];
        let registry = QueryRegistry::open(config, StateLocation::Ephemeral, connections).await.unwrap();
        let lazy = LazyRegistry::opened(registry.clone());
        let (client, shutdown, served) = connect(settings, lazy).await;
        Self { client, engine, registry, shutdown, served }
    }

    pub(crate) async fn raw(&self, tool: &str, arguments: Value) -> CallToolResult {
        let arguments = arguments.as_object().cloned().unwrap();
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        self.client.call_tool(params).await.unwrap()
    }

    /// A call that must succeed.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Answer {
        let result = self.raw(tool, arguments).await;
        let text = text(&result);
        assert_ne!(result.is_error, Some(true), "{text}");
        Answer { facts: result.structured_content.expect("structured content"), text }
    }

    /// A call that must be refused: the text of the error.
    pub(crate) async fn refused(&self, tool: &str, arguments: Value) -> String {
        let result = self.raw(tool, arguments).await;
        let text = text(&result);
        assert_eq!(result.is_error, Some(true), "{text}");
        assert!(text.contains("\nerror.type: "), "{text}");
        text
    }
}

/// The text of a result.
pub(crate) fn text(result: &CallToolResult) -> String {
    assert_eq!(result.content.len(), 1);
    result.content[0].as_text().unwrap().text.clone()
}

type Connected = (RunningService<RoleClient, Client>, CancellationToken, JoinHandle<anyhow::Result<()>>);

/// A client that opens with `initialize`, as those of today do.
pub(crate) async fn connect(settings: Settings, registry: LazyRegistry) -> Connected {
    let (pipe, shutdown, served) = serve(settings, registry);
    (Client::default().serve(pipe).await.unwrap(), shutdown, served)
}

/// A client of the revision without a handshake.
pub(crate) async fn connect_modern(settings: Settings, registry: LazyRegistry) -> Connected {
    let (pipe, shutdown, served) = serve(settings, registry);
    let mode = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    (Client::default().serve_with_lifecycle(pipe, mode).await.unwrap(), shutdown, served)
}

type Served = (tokio::io::DuplexStream, CancellationToken, JoinHandle<anyhow::Result<()>>);

/// A server at the other end of a pipe.
pub(crate) fn serve(settings: Settings, registry: LazyRegistry) -> Served {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let shutdown = CancellationToken::new();
    let server = Server::new(settings, registry, shutdown.clone());
    let (reader, writer) = tokio::io::split(ours);
    let served = tokio::spawn(mcp_server::serve(server, reader, writer, shutdown.clone()));
    (theirs, shutdown, served)
}
