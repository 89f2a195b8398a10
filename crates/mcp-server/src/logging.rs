//! Logs: to stderr only, because stdout is the protocol.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::LogFormat;

/// The protocol's library logs whole messages, rows included, so it is kept quiet unless asked for by name.
const QUIET: &str = "rmcp=warn";

/// Starts logging. `level` wins over `RUST_LOG`; a filter that cannot be read is an error of the caller.
pub fn start(level: Option<&str>, default: &str, format: LogFormat) -> anyhow::Result<()> {
    let asked =
        level.map(str::to_owned).or_else(|| std::env::var("RUST_LOG").ok()).filter(|text| !text.is_empty());
    let filter = filter(asked.as_deref().unwrap_or(default))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false);
    match format {
        LogFormat::Text => builder.finish().try_init()?,
        LogFormat::Json => builder.json().finish().try_init()?,
    }
    Ok(())
}

fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    let text = if text.contains("rmcp") { text.to_owned() } else { format!("{QUIET},{text}") };
    EnvFilter::try_new(&text).map_err(|error| {
        anyhow::anyhow!(
            "the log level {text:?} cannot be read ({error}); use error, warn, info, debug or trace"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocols_library_is_quiet_unless_named() {
        assert!(filter("debug").unwrap().to_string().contains("rmcp=warn"));
        assert!(!filter("info,rmcp=debug").unwrap().to_string().contains("rmcp=warn"));
        assert!(filter("a=b=c").is_err());
    }
}
