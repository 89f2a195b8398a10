//! The numbers in the text format of Prometheus, version 0.0.4. `docs/metrics.md` lists them; a test holds both to
//! each other.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use registry_core::metrics::{ConnectionMetrics, HistogramSnapshot, MetricKind, MetricsSnapshot};

type Labels = Vec<(&'static str, String)>;

/// All metrics at one moment.
#[derive(Debug, Default)]
pub(super) struct Page {
    families: Vec<Family>,
}

/// One metric with all its labels.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    suffix: &'static str,
    labels: Labels,
    value: f64,
}

impl Page {
    /// What a process that `started` then has to tell; `None` is a registry that no call has opened yet.
    pub(super) fn of(snapshot: Option<MetricsSnapshot>, started: SystemTime) -> Self {
        let mut page = Self::default();
        page.process(snapshot.is_some(), started);
        let snapshot = snapshot.unwrap_or_default();
        page.queries(&snapshot);
        page.stops(&snapshot);
        page.sessions(&snapshot);
        page.upkeep(&snapshot);
        page.engines(&snapshot.connections);
        page
    }

    fn process(&mut self, is_opened: bool, started: SystemTime) {
        let version = Sample::of(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        let help = "Always 1; its label tells the release.";
        self.add("async_query_mcp_build_info", "gauge", help, vec![version]);
        let start = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        self.gauge(
            "process_start_time_seconds",
            "When the process began to serve, in seconds since 1970.",
            start,
        );
        let opened = f64::from(u8::from(is_opened));
        self.gauge("registry_opened", "1 once the first tool call has opened the state directory.", opened);
    }

    fn queries(&mut self, snapshot: &MetricsSnapshot) {
        let MetricsSnapshot { connections, .. } = snapshot;
        self.counter("queries_accepted_total", "Queries that got a record.", snapshot.queries_accepted);
        self.counter(
            "queries_joined_total",
            "Requests answered with an earlier query.",
            snapshot.queries_joined,
        );
        let ended = snapshot.queries_ended.iter();
        let ended = ended.map(|(status, count)| Sample::of(&[("status", status.as_str())], *count as f64));
        self.add("queries_ended_total", "counter", "Queries that ended, by how they did.", ended.collect());
        let timeouts = snapshot.query_timeouts;
        self.counter("query_timeouts_total", "Queries that their time limit stopped.", timeouts);
        let help = "From the engine's taking a statement to the query's end.";
        self.histogram("query_execution_seconds", help, [(vec![], &snapshot.query_execution_seconds)]);
        let help = "Queries that hold a place on a connection.";
        self.by_connection("queries_running", help, connections, |connection| connection.running);
        let help = "Queries that wait for a place on a connection.";
        self.by_connection("queries_waiting", help, connections, |connection| connection.waiting);
        self.gauge("waiting_calls", "Tool calls that wait for a query to change.", snapshot.waiters as f64);
    }

    fn stops(&mut self, snapshot: &MetricsSnapshot) {
        let cancels = snapshot.cancel_answers.iter();
        let cancels =
            cancels.map(|(reason, count)| Sample::of(&[("outcome", reason.as_str())], *count as f64));
        let help = "Answers to cancel requests, by what they achieved.";
        self.add("query_cancels_total", "counter", help, cancels.collect());
        self.counter("query_cancels_sent_total", "Cancel requests sent to engines.", snapshot.cancels_sent);
        let help = "Statements of ended queries that were found ended, or stopped, at their engine.";
        self.counter("debts_paid_total", help, snapshot.debts_paid);
        let help = "Statements of ended queries that may still run, and are no longer tried to stop.";
        self.counter("debts_given_up_total", help, snapshot.debts_given_up);
    }

    fn sessions(&mut self, snapshot: &MetricsSnapshot) {
        self.counter("sessions_opened_total", "Sessions that queries opened.", snapshot.sessions_opened);
        self.counter(
            "sessions_closed_total",
            "Sessions of queries that were closed.",
            snapshot.sessions_closed,
        );
        self.gauge("sessions_open", "Sessions that queries hold.", snapshot.sessions_open as f64);
        let errors = snapshot.session_close_errors;
        self.counter("session_close_errors_total", "Closings that reported an error.", errors);
        let help = "Calls to engines, their repeats included, until the answer or its deadline.";
        let calls = snapshot.engine_call_seconds.iter();
        let calls = calls.map(|(call, times)| (vec![("call", call.as_str().to_owned())], times));
        self.histogram("engine_call_seconds", help, calls);
    }

    fn upkeep(&mut self, snapshot: &MetricsSnapshot) {
        self.gauge("drivers_alive", "Tasks that carry a query.", snapshot.drivers as f64);
        let help = "Tasks that broke off by a fault of this program.";
        self.counter("driver_panics_total", help, snapshot.driver_panics);
        let help = "Queries taken over from processes that are gone.";
        self.counter("queries_taken_over_total", help, snapshot.queries_taken_over);
        let help = "Records removed at the end of their retention.";
        self.counter("queries_pruned_total", help, snapshot.queries_pruned);
        self.counter("late_events_total", "News of queries that had ended already.", snapshot.late_events);
        let help = "Waits for the lock that all readers and writers of records take.";
        self.histogram("registry_lock_wait_seconds", help, [(vec![], &snapshot.registry_lock_wait_seconds)]);
        let help = "Calls to the journal, the wait for its lock included.";
        self.histogram("journal_seconds", help, [(vec![], &snapshot.journal_seconds)]);
        self.counter("journal_errors_total", "Calls to the journal that failed.", snapshot.journal_errors);
    }

    /// What engines tell about themselves; those of one kind tell the same.
    fn engines(&mut self, connections: &[ConnectionMetrics]) {
        for connection in connections {
            for metric in &connection.engine {
                let sample = Sample::of(&[("connection", &connection.connection)], metric.value as f64);
                let kind = match metric.kind {
                    MetricKind::Counter => "counter",
                    MetricKind::Gauge => "gauge",
                };
                match self.families.iter_mut().find(|family| family.name == metric.name) {
                    Some(family) => family.samples.push(sample),
                    None => self.add(metric.name, kind, metric.help, vec![sample]),
                }
            }
        }
    }

    // ---- shapes

    fn add(&mut self, name: &'static str, kind: &'static str, help: &'static str, samples: Vec<Sample>) {
        self.families.push(Family { name, help, kind, samples });
    }

    fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.add(name, "counter", help, vec![Sample::of(&[], value as f64)]);
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.add(name, "gauge", help, vec![Sample::of(&[], value)]);
    }

    fn by_connection(
        &mut self,
        name: &'static str,
        help: &'static str,
        connections: &[ConnectionMetrics],
        value: impl Fn(&ConnectionMetrics) -> usize,
    ) {
        let sample = |of: &ConnectionMetrics| Sample::of(&[("connection", &of.connection)], value(of) as f64);
        self.add(name, "gauge", help, connections.iter().map(sample).collect());
    }

    fn histogram<'h>(
        &mut self,
        name: &'static str,
        help: &'static str,
        of: impl IntoIterator<Item = (Labels, &'h HistogramSnapshot)>,
    ) {
        let mut samples = Vec::new();
        for (labels, histogram) in of {
            for (bound, count) in &histogram.buckets {
                let labels = labels.iter().cloned().chain([("le", Number(*bound).to_string())]).collect();
                samples.push(Sample { suffix: "_bucket", labels, value: *count as f64 });
            }
            let sum = histogram.sum_seconds;
            samples.push(Sample { suffix: "_sum", labels: labels.clone(), value: sum });
            samples.push(Sample { suffix: "_count", labels, value: histogram.count as f64 });
        }
        self.add(name, "histogram", help, samples);
    }
}

impl Sample {
    fn of(labels: &[(&'static str, &str)], value: f64) -> Self {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { suffix: "", labels, value }
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.families.iter().try_for_each(|family| write!(f, "{family}"))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# HELP {} {}", self.name, self.help)?;
        writeln!(f, "# TYPE {} {}", self.name, self.kind)?;
        for Sample { suffix, labels, value } in &self.samples {
            writeln!(f, "{}{suffix}{} {}", self.name, Braces(labels), Number(*value))?;
        }
        Ok(())
    }
}

/// Labels in their braces; none are none.
struct Braces<'l>(&'l Labels);

impl fmt::Display for Braces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, value)) in self.0.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(f, "{before}{name}=\"{value}\"")?;
        }
        if self.0.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

/// A number as the format spells it.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == f64::INFINITY { f.write_str("+Inf") } else { write!(f, "{}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use registry_core::metrics::EngineMetric;

    use super::*;

    fn connection(name: &str, value: u64) -> ConnectionMetrics {
        let metric =
            EngineMetric { name: "engine_total", help: "What it did.", kind: MetricKind::Counter, value };
        ConnectionMetrics { connection: name.to_owned(), running: 2, waiting: 0, engine: vec![metric] }
    }

    #[test]
    fn engines_of_one_kind_share_a_family() {
        let connections = vec![connection("a", 1), connection("b\\\"\n", 2)];
        let snapshot = MetricsSnapshot { connections, ..MetricsSnapshot::default() };
        let text = Page::of(Some(snapshot), UNIX_EPOCH).to_string();
        let wanted = "# HELP engine_total What it did.\n# TYPE engine_total counter\nengine_total{connection=\"a\"} 1\n\
                      engine_total{connection=\"b\\\\\\\"\\n\"} 2\n";
        assert!(text.ends_with(wanted), "{text}");
        assert!(text.contains("queries_running{connection=\"a\"} 2\n"), "{text}");
    }

    #[test]
    fn a_histogram_ends_with_everything_and_its_sum() {
        let text = Page::of(None, UNIX_EPOCH).to_string();
        assert!(text.contains("registry_opened 0\n"), "{text}");
        let wanted = "journal_seconds_bucket{le=\"86400\"} 0\njournal_seconds_bucket{le=\"+Inf\"} 0\n\
                      journal_seconds_sum 0\njournal_seconds_count 0\n";
        assert!(text.contains(wanted), "{text}");
        assert!(text.contains("engine_call_seconds_bucket{call=\"submit\",le=\"0.0001\"} 0\n"), "{text}");
    }
}
