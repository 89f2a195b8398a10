//! Logs: to stderr only, because stdout is the protocol, and one line a record, because others read them line by line.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::LogFormat;
use crate::visible::{visible, visible_json};

/// The protocol's library logs whole messages, rows included, so it is kept quiet unless asked for by name.
const QUIET: &str = "rmcp=warn";

/// Starts logging. `level` wins over `RUST_LOG`; a filter that cannot be read is an error of the caller.
pub fn start(level: Option<&str>, default: &str, format: LogFormat) -> anyhow::Result<()> {
    let asked =
        level.map(str::to_owned).or_else(|| std::env::var("RUST_LOG").ok()).filter(|text| !text.is_empty());
    let filter = filter(asked.as_deref().unwrap_or(default))?;
    let lines = OneLineEach { format, out: io::stderr };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines).with_ansi(false);
    match format {
        LogFormat::Text => builder.finish().try_init()?,
        LogFormat::Json => builder.json().finish().try_init()?,
    }
    log_panics();
    Ok(())
}

fn filter(given: &str) -> anyhow::Result<EnvFilter> {
    let unreadable = |reason: &dyn fmt::Display| {
        anyhow::anyhow!(
            "the log level {given:?} cannot be read ({reason}); use error, warn, info, debug or trace"
        )
    };
    if let Some(word) = given.split(',').find(|word| is_bare_name(word)) {
        return Err(unreadable(&format_args!("{word:?} is no level")));
    }
    let text = if given.contains("rmcp") { given.to_owned() } else { format!("{QUIET},{given}") };
    EnvFilter::try_new(text).map_err(|error| unreadable(&error))
}

/// Whether `word` would be taken for the name of a part of the program, of which all is logged and of the others
/// nothing: a level that is mistyped would silence the log.
fn is_bare_name(word: &str) -> bool {
    !word.is_empty() && !word.contains(['=', '[', ']', '{', '}']) && word.parse::<LevelFilter>().is_err()
}

/// A panic becomes a record like any other, so that what it quotes cannot break the log.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => tracing::error!(%panic, %backtrace, "a fault of this program"),
            _ => tracing::error!(%panic, "a fault of this program"),
        }
    }));
}

/// Makes one line of each record, whatever its fields hold.
#[derive(Debug, Clone, Copy)]
pub struct OneLineEach<M> {
    /// How records are written: JSON keeps its own escapes.
    pub format: LogFormat,
    /// Where they go.
    pub out: M,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for OneLineEach<M> {
    type Writer = RecordWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        RecordWriter { format: self.format, out: self.out.make_writer() }
    }
}

/// Writes records, each of which comes whole and in one piece.
#[derive(Debug)]
pub struct RecordWriter<W> {
    format: LogFormat,
    out: W,
}

impl<W: Write> Write for RecordWriter<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let line = match self.format {
            LogFormat::Text => visible(text),
            LogFormat::Json => visible_json(text),
        };
        // Nobody who reads it is no error: the work goes on without a log.
        let _ = self.out.write_all(format!("{line}\n").as_bytes());
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.out.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::visible::is_hidden;

    const HOSTILE: &str = "x\nERROR forged\r\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\u{2028}\u{e0041}\u{85}";

    #[derive(Debug, Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let out = captured.clone();
        let lines = OneLineEach { format, out: move || out.clone() };
        let builder = tracing_subscriber::fmt().with_writer(lines).with_ansi(false);
        match format {
            LogFormat::Text => tracing::subscriber::with_default(builder.finish(), log),
            LogFormat::Json => tracing::subscriber::with_default(builder.json().finish(), log),
        }
        String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
    }

    fn three_records() {
        tracing::error!(error = %HOSTILE, "it failed");
        tracing::error!(error = ?HOSTILE, "it failed");
        let span = tracing::info_span!("query", connection = HOSTILE);
        span.in_scope(|| tracing::warn!("{HOSTILE}"));
    }

    #[test]
    fn one_record_is_one_line_whatever_it_holds() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, three_records);
            let lines: Vec<&str> = text.split_terminator('\n').collect();
            assert_eq!(lines.len(), 3, "{text}");
            assert!(lines.iter().all(|line| !line.chars().any(is_hidden)), "{text:?}");
        }
    }

    #[test]
    fn a_json_record_keeps_its_values() {
        let text = logged(LogFormat::Json, || tracing::error!(error = HOSTILE, "it failed"));
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(record["fields"]["error"], HOSTILE);
    }

    #[test]
    fn the_protocols_library_is_quiet_unless_named() {
        assert!(filter("debug").unwrap().to_string().contains("rmcp=warn"));
        assert!(!filter("info,rmcp=debug").unwrap().to_string().contains("rmcp=warn"));
    }

    #[test]
    fn what_is_no_level_is_refused_as_it_was_given() {
        for given in ["inof", "info,debgu", "hyper", "a=b=c", "mcp_server=inof", " warn"] {
            let error = filter(given).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the log level {given:?} cannot be read (")), "{error}");
        }
        for given in
            ["off", "WARN", "info,", "warn,mcp_server=debug", "info,[query{connection=x}]=trace", "3"]
        {
            assert!(filter(given).is_ok(), "{given}");
        }
    }
}
