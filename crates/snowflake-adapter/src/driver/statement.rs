//! One query's way through Snowflake: submitted, looked for, checked, watched, fetched.

use std::sync::Arc;

use async_trait::async_trait;
use registry_core::backend::{
    BackendError, FetchError, Lookup, Progress, Rows, Session, Submission, SubmitError,
};
use registry_core::error::{ErrorInfo, ErrorKind};
use registry_core::id::{RemoteHandle, RequestId};
use registry_core::results::{ResultWriter, StoredRows};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::attempt::Attempt;
use super::error::{CallError, fault};
use super::pool::{Limits, Pool, SIGN_INS, no_session_lasts, statement};
use super::questions;
use super::rows::{fetch_rows, first_text};
use super::session::SnowflakeSession;
use super::status::{UnknownWords, progress};
use super::transport::{Call, Mark};
use super::watch::Watch;
use crate::config::Whose;
use crate::context;
use crate::history::{Database, search, statement_tag};
use crate::requests::Requests;
use crate::wire::driver::{Envelope, QueryFacts};

/// What all sessions of one backend share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) pool: Arc<Pool>,
    pub(super) requests: Requests<Attempt>,
    pub(super) unknown: UnknownWords,
    /// The connection names a database, so that its sessions have a current one.
    pub(super) has_database: bool,
    pub(super) whose: Whose,
}

/// What one query uses. It borrows sessions at Snowflake for its calls and owns none.
#[derive(Debug)]
pub(super) struct Statement {
    shared: Arc<Shared>,
    /// The session that runs the statement, where this process submitted it.
    home: Option<Arc<SnowflakeSession>>,
    watch: Watch,
}

/// What one try to submit came to.
enum Tried {
    Answered(Envelope),
    /// It never arrived; the session is gone.
    SessionGone,
    /// Whether an attempt of this try may have arrived.
    Failed {
        error: CallError,
        may_have_arrived: bool,
    },
}

impl Statement {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, home: None, watch: Watch::default() }
    }

    /// A first submission, or one that is known not to have left.
    async fn submit_afresh(&mut self, submission: &Submission) -> Result<RemoteHandle, SubmitError> {
        let id = submission.request_id;
        self.shared.requests.set(id, Attempt::NotSent);
        let context = context::merged(self.shared.pool.home(), &submission.context, context::as_written);
        for _ in 0..=SIGN_INS {
            let lease = self.shared.pool.lease_as(&context).await.map_err(SubmitError::NotSent)?;
            if !leaves_its_session_alone(&submission.sql) {
                lease.session.spend();
            }
            self.shared.requests.set(id, Attempt::Sent(Arc::clone(&lease.session)));
            match self.try_submit(&lease.session, submission, false).await {
                Tried::SessionGone => self.shared.requests.set(id, Attempt::NotSent),
                Tried::Failed { error, may_have_arrived: false } => {
                    self.shared.requests.set(id, Attempt::NotSent);
                    return Err(SubmitError::NotSent(error.into()));
                }
                tried => return self.judge(&lease.session, id, tried),
            }
        }
        Err(SubmitError::Rejected(no_session_lasts().0))
    }

    /// The session recognises its own request: a statement that arrived is not run again.
    async fn submit_again(
        &mut self,
        session: Arc<SnowflakeSession>,
        submission: &Submission,
    ) -> Result<RemoteHandle, SubmitError> {
        match self.try_submit(&session, submission, true).await {
            Tried::SessionGone => self.search(submission.request_id).await,
            tried => self.judge(&session, submission.request_id, tried),
        }
    }

    /// Nothing may be sent any more, but an earlier try may have arrived.
    async fn search(&mut self, id: RequestId) -> Result<RemoteHandle, SubmitError> {
        match self.lookup(id).await {
            Ok(Lookup::Found(handle)) => Ok(handle),
            Ok(Lookup::Missing | Lookup::NeverArrived) => Err(SubmitError::NotSent(BackendError::new(
                ErrorKind::Unavailable,
                "Snowflake's history does not show the statement yet",
            ))),
            Err(error) => Err(SubmitError::NotSent(error)),
        }
    }

    async fn try_submit(&self, session: &SnowflakeSession, submission: &Submission, repeated: bool) -> Tried {
        let id = submission.request_id.to_string();
        let mut body = statement(&submission.sql, true, session.next_sequence());
        body.parameters = parameters(submission);
        let mark = Mark::with_id(id.clone()).at(u32::from(repeated), 0);
        session.owes_answer(&id);
        let deadline = Instant::now() + self.shared.pool.transport().deadlines().request;
        let (answer, may_have_arrived) = session.persist(Call::Submit(&body), &mark, deadline).await;
        let tried = match answer {
            Ok(envelope) if envelope.is_answer() => Tried::Answered(envelope),
            Ok(_) => Tried::Failed { error: no_answer_of_snowflakes(), may_have_arrived: true },
            Err(CallError::SessionEnded) if !may_have_arrived => Tried::SessionGone,
            Err(error) => Tried::Failed { error, may_have_arrived },
        };
        // What an earlier try owes is not settled by a repeat that did not arrive.
        let unsettled =
            matches!(tried, Tried::Failed { may_have_arrived, .. } if may_have_arrived || repeated);
        if !unsettled {
            session.answered(&id);
        }
        tried
    }

    /// What an answer, or the lack of one, says about the statement.
    fn judge(
        &mut self,
        session: &Arc<SnowflakeSession>,
        id: RequestId,
        tried: Tried,
    ) -> Result<RemoteHandle, SubmitError> {
        let envelope = match tried {
            Tried::Answered(envelope) => envelope,
            Tried::SessionGone => return Err(SubmitError::Unclear(CallError::SessionEnded.into())),
            Tried::Failed { error, may_have_arrived: true } => {
                return Err(SubmitError::Unclear(error.into()));
            }
            Tried::Failed { error, may_have_arrived: false } => {
                return Err(SubmitError::NotSent(error.into()));
            }
        };
        let facts: QueryFacts = envelope.data_or_default();
        let handle = facts.query_id.filter(|id| is_query_id(id)).map(RemoteHandle::new);
        if envelope.is_in_progress() || envelope.is_success() {
            let Some(handle) = handle else { return Err(SubmitError::Unclear(no_handle())) };
            self.taken(session, id, &handle, envelope);
            return Ok(handle);
        }
        Err(SubmitError::Rejected(self.shared.whose.name(fault(&envelope).statement_error())))
    }

    /// An answer may be the result already; then nobody asks for it again.
    fn taken(
        &mut self,
        session: &Arc<SnowflakeSession>,
        id: RequestId,
        handle: &RemoteHandle,
        envelope: Envelope,
    ) {
        self.shared.requests.set(id, Attempt::Taken(handle.clone()));
        self.home = Some(Arc::clone(session));
        if envelope.is_in_progress() {
            session.runs(handle.as_str());
        } else {
            self.watch.keep(handle, envelope);
        }
    }

    async fn find_by_tag(&self, id: RequestId) -> Result<Lookup, BackendError> {
        let database = if self.shared.has_database { Database::Current } else { Database::OfEveryAccount };
        questions::run(&self.shared.pool, &search(database, id)).await.and_then(|envelope| found(&envelope))
    }

    async fn ask(&self, handle: &RemoteHandle) -> Result<Progress, BackendError> {
        let envelope = self.shared.pool.look(self.home.as_ref(), Call::Status(handle.as_str())).await?;
        match progress(&envelope, &self.shared.unknown) {
            Some(Progress::Failed(error)) => Ok(Progress::Failed(self.shared.whose.name(error))),
            Some(progress) => Ok(progress),
            None => Err(BackendError(
                fault(&envelope).explained(ErrorKind::Protocol, "the statement's state could not be read"),
            )),
        }
    }
}

#[async_trait]
impl Session for Statement {
    async fn submit(&mut self, submission: Submission) -> Result<RemoteHandle, SubmitError> {
        match self.shared.requests.get(submission.request_id) {
            Some(Attempt::Taken(handle)) => Ok(handle),
            Some(Attempt::Sent(session)) if !session.has_ended() => {
                self.submit_again(session, &submission).await
            }
            Some(Attempt::NotSent) => self.submit_afresh(&submission).await,
            None if !submission.retry => self.submit_afresh(&submission).await,
            Some(Attempt::Sent(_)) | None => self.search(submission.request_id).await,
        }
    }

    async fn lookup(&mut self, request_id: RequestId) -> Result<Lookup, BackendError> {
        match self.shared.requests.get(request_id) {
            Some(Attempt::Taken(handle)) => return Ok(Lookup::Found(handle)),
            Some(Attempt::NotSent) => return Ok(Lookup::NeverArrived),
            Some(Attempt::Sent(_)) | None => {}
        }
        let lookup = self.find_by_tag(request_id).await?;
        if let Lookup::Found(handle) = &lookup {
            if let Some(Attempt::Sent(session)) = self.shared.requests.get(request_id) {
                session.runs(handle.as_str());
                session.answered(&request_id.to_string());
            }
            self.shared.requests.set(request_id, Attempt::Taken(handle.clone()));
        }
        Ok(lookup)
    }

    async fn check(&mut self, handle: &RemoteHandle) -> Result<Progress, BackendError> {
        if !is_query_id(handle.as_str()) {
            return Ok(Progress::NoData);
        }
        if self.watch.has_result(handle) {
            self.shared.pool.settled(handle.as_str());
            return Ok(Progress::Succeeded(Rows::AtEngine));
        }
        let progress = self.ask(handle).await?;
        if !matches!(progress, Progress::Running(_) | Progress::NoData) {
            self.shared.pool.settled(handle.as_str());
        }
        Ok(progress)
    }

    async fn changed(&mut self, handle: &RemoteHandle) {
        if is_query_id(handle.as_str()) {
            self.watch.news(&self.shared.pool, self.home.as_ref(), handle).await;
        } else {
            std::future::pending().await
        }
    }

    fn announces_end(&self) -> bool {
        self.watch.is_held()
    }

    async fn fetch(&mut self, handle: &RemoteHandle, rows: ResultWriter) -> Result<StoredRows, FetchError> {
        let kept = self.watch.take_result(handle).await;
        fetch_rows(&self.shared.pool, self.home.as_ref(), handle, kept, rows).await
    }

    async fn close(self: Box<Self>) -> Result<(), BackendError> {
        Ok(())
    }
}

/// Whether the text is a query id, fit for an address and for a statement.
pub(super) fn is_query_id(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

fn found(envelope: &Envelope) -> Result<Lookup, BackendError> {
    if envelope.is_in_progress() {
        return Err(BackendError::new(
            ErrorKind::Unavailable,
            "Snowflake's history takes too long to answer",
        ));
    }
    if !envelope.is_success() {
        let text = "Snowflake's history could not be searched; name a database that the role may use for the connection";
        return Err(BackendError(fault(envelope).explained(ErrorKind::Unavailable, text)));
    }
    let first = first_text(envelope)?;
    Ok(first.filter(|id| is_query_id(id)).map_or(Lookup::Missing, |id| Lookup::Found(RemoteHandle::new(id))))
}

fn no_answer_of_snowflakes() -> CallError {
    CallError::Protocol(
        "the address answered with JSON that is not Snowflake's; check account and host".to_owned(),
    )
}

fn no_handle() -> BackendError {
    BackendError::new(ErrorKind::Protocol, "Snowflake took the statement but told no query id")
}

/// The statement's own parameters, on top of the session's.
fn parameters(submission: &Submission) -> Map<String, Value> {
    let limits = Limits { time: submission.time_limit, rows: submission.row_limit };
    let mut parameters = limits.parameters();
    parameters.insert("QUERY_TAG".to_owned(), json!(statement_tag(&submission.tag, submission.request_id)));
    parameters
}

/// Kinds of statement after which the session is as it was. Whatever is not known to leave it alone may change it: `USE`
/// and `ALTER SESSION` do so openly, `CREATE DATABASE` and a procedure by the way.
const LEAVE_ALONE: [&str; 12] = [
    "select", "with", "show", "desc", "describe", "explain", "list", "ls", "insert", "update", "delete",
    "merge",
];

fn leaves_its_session_alone(sql: &str) -> bool {
    let word = first_word(sql);
    LEAVE_ALONE.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// The first word behind white space, comments and opening parentheses.
fn first_word(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
        let comment = match rest.get(..2) {
            Some("--" | "//") => rest.find('\n'),
            Some("/*") => rest.find("*/").map(|end| end + 1),
            _ => break,
        };
        let Some(end) = comment else { return "" };
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// A query's error in words, for the parts that only know that rows are not to be had.
pub(super) fn lost_rows(message: impl Into<String>) -> ErrorInfo {
    ErrorInfo::new(ErrorKind::ResultFetch, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_may_change_its_session_is_told_from_one_that_does_not() {
        for sql in
            ["select 1", " -- use\n(SELECT 1)", "/* use */ with a as (select 1) select 1", "SHOW TABLES"]
        {
            assert!(leaves_its_session_alone(sql), "{sql}");
        }
        for sql in [
            "use role r",
            "-- select\nUSE ROLE r",
            "/* select */use role r",
            "alter session set x = 1",
            "create database d",
            "call p()",
            "begin",
            "selection",
            "-- select",
            "/* select",
            "",
        ] {
            assert!(!leaves_its_session_alone(sql), "{sql}");
        }
    }

    #[test]
    fn only_a_uuid_in_its_usual_form_is_a_query_id() {
        assert!(is_query_id("01b4ae32-0001-d0ae-0000-0001a2b3c4d5"));
        for bad in [
            "",
            "q_0",
            "01b4ae320001d0ae00000001a2b3c4d5",
            "{01b4ae32-0001-d0ae-0000-0001a2b3c4d5}",
            "01b4ae32-0001-d0ae-0000-0001a2b3c4d'",
        ] {
            assert!(!is_query_id(bad), "{bad}");
        }
    }
}
