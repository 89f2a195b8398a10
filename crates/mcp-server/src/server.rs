//! The MCP side: who we are, which tools there are, and how a call is carried out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rmcp::ErrorData;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult, Implementation, JsonObject,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig, SubscriptionFilter,
    Tool,
};
use rmcp::service::{NotificationContext, RequestContext, RoleServer, SubscriptionContext};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::call::Call;
use crate::config::Settings;
use crate::confirmation::{Confirmations, Reply};
use crate::error::ToolError;
use crate::export::Exports;
use crate::lazy::LazyRegistry;
use crate::parameters;
use crate::resources;
use crate::tools::ToolName;

/// At shutdown, what a call that is not waiting may still take to answer. The answer must leave before the
/// conversation is given up.
const LAST_WORDS: Duration = Duration::from_millis(150);

/// The server that a client talks to. Cheap to clone; all clones are one server.
#[derive(Debug, Clone)]
pub struct Server {
    shared: Arc<Shared>,
    tools: Arc<[Tool]>,
    places: Arc<Semaphore>,
    /// The client that opened with `initialize` is being told of changes.
    told: Arc<AtomicBool>,
}

/// What all calls share.
#[derive(Debug)]
pub struct Shared {
    /// How the tools behave.
    pub settings: Settings,
    /// The registry, opened by the first call.
    pub registry: LazyRegistry,
    /// Owns the tasks that tell the client of changes.
    pub watchers: TaskTracker,
    /// Files with whole results.
    pub exports: Exports,
    /// Cancelled when the client is gone or the process is asked to end: every wait ends.
    pub shutdown: CancellationToken,
    /// Questions to the person behind the client.
    pub confirmations: Confirmations,
}

impl Server {
    /// A server over `registry` whose waits end with `shutdown`.
    pub fn new(settings: Settings, registry: LazyRegistry, shutdown: CancellationToken) -> Self {
        let tools = ToolName::ALL.into_iter().map(|tool| tool.definition(&settings)).collect();
        let places = Arc::new(Semaphore::new(settings.max_calls));
        let shared = Shared {
            settings,
            registry,
            watchers: TaskTracker::new(),
            exports: Exports::new(shutdown.clone()),
            shutdown,
            confirmations: Confirmations::default(),
        };
        Self { shared: Arc::new(shared), tools, places, told: Arc::default() }
    }

    /// What the server shares with its calls.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Carries out a call on a task of its own, so that a fault in it is answered and not silence.
    async fn answer(&self, tool: ToolName, arguments: Option<JsonObject>, call: Call) -> CallToolResponse {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return self.too_many_calls().into();
        };
        let mut task = AbortOnDropHandle::new(tokio::spawn(async move {
            let _place = place;
            tool.call(&call, arguments).await
        }));
        let outcome = tokio::select! {
            biased;
            outcome = &mut task => outcome,
            () = self.last_words() => return shutting_down().into(),
        };
        match outcome {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => error.into(),
            Err(fault) => {
                tracing::error!(%fault, tool = tool.as_str(), "a tool call failed by a fault of this program");
                let message = "The call failed by a fault of this program; its log on stderr says more.";
                ToolError::new("internal", message)
                    .next("Call query_list to see what was started. Tell the user.")
                    .into()
            }
        }
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, ErrorData> {
        let busy = |_| ErrorData::internal_error(self.too_many_calls().text(), None);
        Arc::clone(&self.places).try_acquire_owned().map_err(busy)
    }

    fn too_many_calls(&self) -> ToolError {
        let limit = self.shared.settings.max_calls;
        let message = format!("Too many calls at once: this server answers {limit} at a time (--max-calls).");
        ToolError::new("too_many_calls", message)
            .next("Wait for one of the other calls to answer, then repeat this one.")
    }

    async fn last_words(&self) {
        self.shared.shutdown.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    }

    fn instructions(&self) -> String {
        let settings = &self.shared.settings;
        let mut text = format!(
            "Run SQL with async_execute_query. Quick queries answer with rows at once; otherwise pass the query_id to \
             query_result, which waits. Running is not failure: never resubmit. Results stay {}. Prefer aggregates \
             and LIMIT.",
            settings.retention_words()
        );
        if settings.sample.is_some() {
            text.push_str(SAMPLE);
        }
        text
    }
}

/// What a newcomer finds when no database was named. The column names keep the first query from failing.
const SAMPLE: &str = " Database: a sample shop (SQLite) with regions, customers, products, orders, order_items; \
                      see their columns with SELECT name, sql FROM sqlite_schema.";

fn shutting_down() -> ToolError {
    ToolError::new("shutting_down", "The server is shutting down.")
        .next("Once it has been started again, call query_list to see what became of your queries.")
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_resources_list_changed()
            .build();
        let name = Implementation::new("async-query-mcp", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(capabilities)
            .with_server_info(name.with_title("Long-running SQL queries"))
            .with_instructions(self.instructions())
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let _place = self.place()?;
        resources::list(&self.shared, request.and_then(|request| request.cursor)).await
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(vec![resources::template()]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let _place = self.place()?;
        Ok(resources::read(&self.shared, &request.uri).await?.into())
    }

    /// Every request that is none of a known method with the parameters it takes.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        Err(parameters::refusal(&request))
    }

    /// Clients that open with `initialize` are told without asking.
    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        if !self.told.swap(true, Ordering::Relaxed) {
            let shared = Arc::clone(&self.shared);
            self.shared.watchers.spawn(async move {
                let tell = || async { context.peer.notify_resource_list_changed().await.is_ok() };
                resources::watch(&shared, tell).await;
            });
        }
    }

    /// Clients of the revision without a handshake are told when they ask.
    fn accepted_subscription_filter(&self, _: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(SubscriptionFilter::builder().resources_list_changed().build())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let wanted = context.accepted().resources_list_changed == Some(true);
        let telling = async {
            if wanted {
                let tell = || async { context.sink().notify_resource_list_changed().await.is_ok() };
                resources::watch(&self.shared, tell).await;
            } else {
                self.shared.shutdown.cancelled().await;
            }
        };
        tokio::select! {
            () = context.cancelled() => {}
            () = telling => {}
        }
        Ok(())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.to_vec()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let ticket = request.request_state.as_deref();
        let question = ticket.and_then(|ticket| self.shared.confirmations.take(ticket));
        let reply = Reply { responses: request.input_responses, question };
        let Some(tool) = ToolName::find(&request.name) else {
            let known = ToolName::ALL.map(ToolName::as_str).join(", ");
            return Err(ErrorData::invalid_params(format!("tool not found; the tools are {known}"), None));
        };
        let started = Instant::now();
        let call = Call::new(Arc::clone(&self.shared), &context, reply);
        let response = self.answer(tool, request.arguments, call).await;
        let failed = matches!(&response, CallToolResponse::Complete(result) if result.is_error == Some(true));
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(tool = tool.as_str(), failed, millis, "call answered");
        Ok(response)
    }
}
