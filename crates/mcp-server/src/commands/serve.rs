//! `serve`: speaks MCP on stdin and stdout until the client is gone.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::connection;
use crate::lazy::LazyRegistry;
use crate::metrics::Exporter;
use crate::server::Server;
use crate::shutdown::{Signals, on_signals};
use crate::stdio;

/// Serves the client that started this process.
pub async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let shutdown = CancellationToken::new();
    // Ends with the process: the second signal may come at any time.
    tokio::spawn(on_signals(Signals::listen()?, shutdown.clone()));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        connections = config.settings.connections.join(", "),
        mode = %config.settings.policy.mode,
        "serving on stdin and stdout"
    );
    if stdio::stdin_is_terminal() {
        // Whoever typed the name alone would wait for something to happen.
        let hint = "this program speaks MCP on its standard input; see --help for the commands";
        stdio::tell(&format!("async-query-mcp: {hint}\n")).await;
    }
    let (settings, metrics) = (config.settings.clone(), config.metrics);
    let registry = LazyRegistry::new(connection::opener(config));
    let (reader, writer) = stdio::pipes();
    let server = Server::new(settings, registry, shutdown.clone());
    let exporter = match metrics {
        Some(address) => Exporter::start(address, &server, shutdown.clone()).await,
        None => None,
    };
    let served = crate::serve(server, reader, writer, shutdown).await;
    if let Some(exporter) = exporter {
        exporter.ended().await;
    }
    served?;
    Ok(ExitCode::SUCCESS)
}
