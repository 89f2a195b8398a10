//! `async-query-mcp`: long SQL queries for AI agents over MCP, and by hand.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use mcp_server::cli::{Cli, Command};
use mcp_server::commands;
use mcp_server::config::Config;
use mcp_server::logging;
use mcp_server::stdio;
use mcp_server::visible::visible_lines;

/// A read of stdin that nobody can interrupt must not keep the process.
const LEFTOVERS: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let cli = Cli::of_process();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(_) => return ExitCode::FAILURE,
    };
    let code = runtime.block_on(async {
        match dispatch(cli).await {
            Ok(code) => code,
            Err(error) => {
                stdio::tell(&format!("async-query-mcp: {}\n", visible_lines(&format!("{error:#}")))).await;
                commands::exit_code::ExitCode::Usage.into()
            }
        }
    });
    runtime.shutdown_timeout(LEFTOVERS);
    code
}

async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let command = cli.command.unwrap_or(Command::Serve);
    let quiet = match command {
        Command::Serve => "info",
        // The progress line says why the engine cannot be reached.
        Command::Run(_) if stdio::stderr_is_terminal() => "warn,registry_core::records=error",
        _ => "warn",
    };
    logging::start(cli.global.logging.log_level.as_deref(), quiet, cli.global.logging.log_format)?;
    if let Command::Completions(args) = command {
        return Ok(commands::completions::completions(args).await);
    }
    let config = Config::from_args(&cli.global, |name| std::env::var_os(name).map(PathBuf::from))?;
    Ok(match command {
        Command::Serve => commands::serve::serve(config).await?,
        Command::Check(args) => commands::check::check(&config, args).await,
        Command::Doctor(args) => commands::doctor::doctor(config, args).await,
        Command::Run(args) => commands::run::run(config, args).await,
        Command::List(args) => commands::list::list(config, args).await,
        Command::Status(args) => commands::status::status(config, args).await,
        Command::Result(args) => commands::result::result(config, args).await,
        Command::Cancel(args) => commands::cancel::cancel(config, args).await,
        Command::Prune(args) => commands::prune::prune(config, args).await,
        Command::Completions(args) => commands::completions::completions(args).await,
        Command::Install(args) => commands::install::install(args).await,
        Command::Uninstall(args) => commands::install::uninstall(args).await,
    })
}
