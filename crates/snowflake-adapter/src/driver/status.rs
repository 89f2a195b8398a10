//! What Snowflake's words for a statement's state mean.

use std::collections::HashSet;
use std::sync::Mutex;

use registry_core::backend::{Progress, Rows};
use registry_core::record::RemotePhase;

use super::error::{Stopped, stopped};
use super::session::lock;
use crate::error::{Ending, Fault};
use crate::wire::driver::{Envelope, Monitoring, QueryState};

/// So many unknown words are told; more would be noise.
const MAX_TOLD: usize = 32;

/// Words that this program does not know, each told once.
#[derive(Debug, Default)]
pub(super) struct UnknownWords(Mutex<HashSet<String>>);

impl UnknownWords {
    fn tell(&self, word: &str) {
        let mut told = lock(&self.0);
        if told.len() < MAX_TOLD && told.insert(word.to_owned()) {
            tracing::warn!(status = word, "Snowflake told an unknown state; the statement counts as running");
        }
    }
}

/// The state in an answer; `None` when the answer is no answer to the question.
pub(super) fn progress(envelope: &Envelope, unknown: &UnknownWords) -> Option<Progress> {
    if !envelope.is_success() {
        return None;
    }
    let monitoring: Monitoring = envelope.data_or_default();
    Some(match monitoring.queries.as_deref() {
        Some([state, ..]) => progress_of(state, unknown),
        _ => Progress::NoData,
    })
}

/// Every word there is, and those there may be some day.
fn progress_of(state: &QueryState, unknown: &UnknownWords) -> Progress {
    match state.status.as_deref().unwrap_or_default() {
        "RUNNING" => Progress::Running(RemotePhase::Running),
        "RESUMING_WAREHOUSE" => Progress::Running(RemotePhase::Resuming),
        // The first spelling is the server's own.
        "QUEUED" | "QUEUED_REPARING_WAREHOUSE" | "QUEUED_REPAIRING_WAREHOUSE" => {
            Progress::Running(RemotePhase::Queued)
        }
        "BLOCKED" => Progress::Running(RemotePhase::Blocked),
        // Its end is still to come.
        "ABORTING" | "RESTARTED" => Progress::Running(RemotePhase::Running),
        "NO_DATA" | "" => Progress::NoData,
        "SUCCESS" => Progress::Succeeded(Rows::AtEngine),
        "ABORTED" => match told(state) {
            Some(Stopped::TimedOut) => Progress::TimedOut,
            _ => Progress::Aborted,
        },
        "FAILED_WITH_ERROR" | "FAILED_WITH_INCIDENT" | "DISCONNECTED" => failed(state),
        word => {
            unknown.tell(word);
            Progress::Running(RemotePhase::Running)
        }
    }
}

fn told(state: &QueryState) -> Option<Stopped> {
    let code = state.error_code.as_ref().and_then(crate::wire::driver::Code::number).unwrap_or(0);
    stopped(code, state.error_message.as_deref().unwrap_or_default())
}

fn failed(state: &QueryState) -> Progress {
    match told(state) {
        Some(Stopped::TimedOut) => return Progress::TimedOut,
        Some(Stopped::Canceled) => return Progress::Aborted,
        None => {}
    }
    let code = state.error_code.clone().filter(|code| code.number() != Some(0)).map(|code| code.0);
    // A statement that was lost with its server is no error of its text.
    let sql_state = match state.status.as_deref() {
        Some("FAILED_WITH_INCIDENT" | "DISCONNECTED") => Some("XX000".to_owned()),
        _ => None,
    };
    let fault = Fault { code, sql_state, message: state.error_message.clone() };
    match fault.ending() {
        Ending::Failed(error) => Progress::Failed(error),
        Ending::Aborted => Progress::Aborted,
        Ending::TimedOut => Progress::TimedOut,
        Ending::NotFound => Progress::NoData,
    }
}

#[cfg(test)]
mod tests {
    use registry_core::error::ErrorKind;

    use super::*;

    fn seen(queries: &str) -> Progress {
        let text = format!(r#"{{"data":{{"queries":{queries}}},"code":null,"success":true}}"#);
        progress(&serde_json::from_str(&text).unwrap(), &UnknownWords::default()).unwrap()
    }

    fn word(status: &str) -> Progress {
        seen(&format!(r#"[{{"status":"{status}","errorCode":0,"errorMessage":"No error reported"}}]"#))
    }

    fn running(phase: RemotePhase) -> Progress {
        Progress::Running(phase)
    }

    fn failure(status: &str, code: &str, message: &str) -> Progress {
        seen(&format!(r#"[{{"status":"{status}","errorCode":{code},"errorMessage":"{message}"}}]"#))
    }

    #[test]
    fn running_is_running() {
        assert_eq!(word("RUNNING"), running(RemotePhase::Running));
    }

    #[test]
    fn a_resuming_warehouse_is_resuming() {
        assert_eq!(word("RESUMING_WAREHOUSE"), running(RemotePhase::Resuming));
    }

    #[test]
    fn queued_is_queued() {
        assert_eq!(word("QUEUED"), running(RemotePhase::Queued));
    }

    #[test]
    fn a_warehouse_under_repair_is_queued_in_both_spellings() {
        assert_eq!(word("QUEUED_REPARING_WAREHOUSE"), running(RemotePhase::Queued));
        assert_eq!(word("QUEUED_REPAIRING_WAREHOUSE"), running(RemotePhase::Queued));
    }

    #[test]
    fn blocked_is_running_and_no_error() {
        assert_eq!(word("BLOCKED"), running(RemotePhase::Blocked));
    }

    #[test]
    fn no_data_is_no_data() {
        assert_eq!(word("NO_DATA"), Progress::NoData);
    }

    #[test]
    fn an_empty_list_is_no_data() {
        assert_eq!(seen("[]"), Progress::NoData);
        assert_eq!(seen("null"), Progress::NoData);
    }

    #[test]
    fn success_has_its_rows_at_the_engine() {
        assert_eq!(word("SUCCESS"), Progress::Succeeded(Rows::AtEngine));
    }

    #[test]
    fn failed_with_error_fails_with_a_code_as_text_or_number() {
        for code in [r#""002003""#, "2003"] {
            let Progress::Failed(error) = failure("FAILED_WITH_ERROR", code, "no such table") else {
                panic!()
            };
            assert_eq!(
                (error.kind, error.code, error.code_text.as_deref()),
                (ErrorKind::Sql, Some(2003), Some("002003"))
            );
            assert!(error.message.contains("no such table"));
        }
    }

    #[test]
    fn failed_with_error_604_is_aborted() {
        assert_eq!(failure("FAILED_WITH_ERROR", r#""000604""#, "SQL execution canceled"), Progress::Aborted);
        assert_eq!(failure("FAILED_WITH_ERROR", "604", "SQL execution canceled"), Progress::Aborted);
    }

    #[test]
    fn failed_with_error_630_is_timed_out() {
        assert_eq!(failure("FAILED_WITH_ERROR", r#""000630""#, "reached its timeout"), Progress::TimedOut);
    }

    #[test]
    fn failed_with_incident_fails_as_unavailable() {
        for progress in
            [word("FAILED_WITH_INCIDENT"), failure("FAILED_WITH_INCIDENT", r#""000603""#, "incident 7")]
        {
            let Progress::Failed(error) = progress else { panic!() };
            assert_eq!(error.kind, ErrorKind::Unavailable);
        }
    }

    #[test]
    fn disconnected_fails_as_unavailable() {
        let Progress::Failed(error) = word("DISCONNECTED") else { panic!() };
        assert_eq!(error.kind, ErrorKind::Unavailable);
    }

    #[test]
    fn aborting_is_still_running() {
        assert_eq!(word("ABORTING"), running(RemotePhase::Running));
    }

    #[test]
    fn aborted_is_aborted() {
        assert_eq!(word("ABORTED"), Progress::Aborted);
    }

    #[test]
    fn restarted_is_running() {
        assert_eq!(word("RESTARTED"), running(RemotePhase::Running));
    }

    #[test]
    fn an_unknown_word_is_running_and_told_once() {
        let unknown = UnknownWords::default();
        let state = QueryState { status: Some("DREAMING".to_owned()), ..QueryState::default() };
        assert_eq!(progress_of(&state, &unknown), running(RemotePhase::Running));
        assert_eq!(progress_of(&state, &unknown), running(RemotePhase::Running));
        assert_eq!(lock(&unknown.0).len(), 1);
    }
}
