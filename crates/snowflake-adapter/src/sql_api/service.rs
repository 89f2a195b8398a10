//! Calls of the SQL API, with their credential, their deadline and their repeats.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use registry_core::backend::{BackendError, Submission};
use registry_core::error::ErrorKind;
use registry_core::metrics::EngineMetric;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::parameters::Parameters;
use super::reply::{self, Meaning, Reply};
use crate::auth::{Authenticator, BearerToken};
use crate::config::{SnowflakeConfig, StatementContext, Whose};
use crate::context;
use crate::history::statement_tag;
use crate::http::{Answer, Ceiling, Failure, Http, Request, authorization};
use crate::requests::Requests;
use crate::retry::{Judgement, RetryPolicy, Verdict, repeat};
use crate::secret::without;
use crate::wire::sql_api::StatementBody;

const STATEMENTS: &str = "/api/v2/statements";
/// The longest time limit that the service takes, seven days.
const MAX_TIMEOUT: u64 = 604_800;
/// How many deadlines long the tries to get one part may take.
const PART_TRIES: u32 = 3;
/// No answer in words is longer.
const MOST_WORDS: usize = 64 * 1024;
const TOKEN_TYPE: HeaderName = HeaderName::from_static("x-snowflake-authorization-token-type");

/// The name of a statement at Snowflake. Its form was checked, so it may stand in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle(Uuid);

impl Handle {
    /// Only the one form that Snowflake writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_plain = text.len() == 36 && text.as_bytes().get(8) == Some(&b'-');
        text.parse().ok().filter(|_| is_plain).map(Self)
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

/// The way to the statements of one connection.
#[derive(Debug)]
pub(super) struct Service {
    http: Http,
    auth: Authenticator,
    context: StatementContext,
    pub(super) whose: Whose,
    parameters: Parameters,
    policy: RetryPolicy,
    /// For one call, its repeats included.
    patience: Duration,
    /// Snowflake recognises a repeat of what succeeded; of what was stopped or failed, only we do.
    pub(super) taken: Requests<Handle>,
}

/// A submission's answer, and whether an earlier attempt within the same call may have been taken.
#[derive(Debug)]
pub(super) struct Submitted {
    pub(super) outcome: Result<Reply, Failure>,
    pub(super) in_doubt: bool,
}

impl Service {
    pub(super) fn new(config: &SnowflakeConfig, policy: RetryPolicy) -> Result<Self, BackendError> {
        let auth = Authenticator::new(config)
            .map_err(|error| BackendError::new(ErrorKind::Configuration, error.to_string()))?;
        Ok(Self {
            http: Http::new(config)?,
            auth,
            context: config.context.clone(),
            whose: Whose::of(config),
            parameters: Parameters::new(&config.session_parameters)?,
            policy,
            patience: config.deadlines.request,
            taken: Requests::default(),
        })
    }

    /// What can be told of the way to the account.
    pub(super) fn metrics(&self) -> Vec<EngineMetric> {
        self.http.account().metrics()
    }

    /// Whether something could be sent now.
    pub(super) async fn ready(&self) -> Result<(), BackendError> {
        self.http.ready()?;
        Ok(self.token(self.deadline()).await.map(drop)?)
    }

    /// Sends a statement. Every attempt carries the same request id, and all that may be second ones say so.
    pub(super) async fn submit(&self, submission: &Submission) -> Submitted {
        let tag = statement_tag(&submission.tag, submission.request_id);
        let context = context::merged(&self.context, &submission.context, context::resolved);
        let parameters = self.parameters.of(tag, submission.row_limit);
        let body = body(&submission.sql, submission.time_limit, &context, parameters);
        let id = submission.request_id.to_string();
        let request = |attempt: u32| {
            let mut query = vec![("async", "true".to_owned()), ("requestId", id.clone()), nullable()];
            if submission.retry || attempt > 1 {
                query.push(("retry", "true".to_owned()));
            }
            post(STATEMENTS.to_owned(), query, Some(body.clone()), Ceiling::Announced)
        };
        // The last attempt speaks for itself; what counts here are those before it.
        let mut doubts = (false, false);
        let watch =
            |outcome: &Result<Reply, Failure>| doubts = (doubts.0 || doubts.1, may_have_been_taken(outcome));
        let outcome = self.call(request, watch).await;
        Submitted { outcome, in_doubt: doubts.0 }
    }

    /// Runs a short statement of our own, waiting for its rows in the same call.
    pub(super) async fn run(
        &self,
        sql: &str,
        limit: Duration,
        tag: String,
        context: &StatementContext,
    ) -> Result<Reply, Failure> {
        let body = body(sql, limit, context, self.parameters.of(tag, None));
        let id = Uuid::new_v4().to_string();
        let request = |attempt: u32| {
            let mut query = vec![("requestId", id.clone()), nullable()];
            if attempt > 1 {
                query.push(("retry", "true".to_owned()));
            }
            post(STATEMENTS.to_owned(), query, Some(body.clone()), Ceiling::CONTROL)
        };
        self.call(request, |_| {}).await
    }

    /// Asks once how a statement is doing. The next question comes by itself, so there is no repeat.
    pub(super) async fn status(&self, handle: Handle) -> Result<Reply, Failure> {
        self.attempt(&part(handle, None, Ceiling::Announced), self.deadline()).await
    }

    /// Gets one part of a result; the first one with its description. Each try has its own time, because a part may be
    /// large and the way slow.
    pub(super) async fn part(
        &self,
        handle: Handle,
        number: usize,
        ceiling: Ceiling,
    ) -> Result<Reply, Failure> {
        let number = (number > 0).then_some(number);
        let last = Instant::now() + PART_TRIES * self.patience;
        self.call_until(last, || self.deadline(), |_| part(handle, number, ceiling), |_| {}).await
    }

    /// Asks for a statement's end.
    pub(super) async fn cancel(&self, handle: Handle) -> Result<Reply, Failure> {
        let request = |_| {
            let query = vec![("requestId", Uuid::new_v4().to_string())];
            post(format!("{STATEMENTS}/{handle}/cancel"), query, None, Ceiling::CONTROL)
        };
        self.call(request, |_| {}).await
    }

    /// Where and as whom statements run that say nothing about it.
    pub(super) fn context(&self) -> &StatementContext {
        &self.context
    }

    // ---- one call

    async fn call(
        &self,
        request: impl Fn(u32) -> Request,
        watch: impl FnMut(&Result<Reply, Failure>),
    ) -> Result<Reply, Failure> {
        let deadline = self.deadline();
        self.call_until(deadline, || deadline, request, watch).await
    }

    /// Begins no try after `last`; each one has until what `deadline` says at its start.
    async fn call_until(
        &self,
        last: Instant,
        deadline: impl Fn() -> Instant,
        request: impl Fn(u32) -> Request,
        mut watch: impl FnMut(&Result<Reply, Failure>),
    ) -> Result<Reply, Failure> {
        let attempt = |number| {
            let (request, deadline) = (request(number), deadline());
            async move { self.attempt(&request, deadline).await }
        };
        let judge = |outcome: &_| {
            watch(outcome);
            judge(outcome)
        };
        repeat(&self.policy, &self.http.account().bucket, last, attempt, judge).await
    }

    async fn attempt(&self, request: &Request, deadline: Instant) -> Result<Reply, Failure> {
        let answer = self.authorized(request, deadline).await?;
        let reply = reply::read(answer).await;
        Ok(Reply { meaning: reply.meaning.about(&self.whose), ..reply })
    }

    /// A credential that is not accepted is made anew, once.
    async fn authorized(&self, request: &Request, deadline: Instant) -> Result<Answer, Failure> {
        let token = self.token(deadline).await?;
        let answer = self.send(request, &token, deadline).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        if let Some(seconds_we_are_ahead) = answer.clock_ahead {
            self.auth.set_clock_skew(-1000 * seconds_we_are_ahead);
        }
        self.auth.rejected(&token).await;
        let fresh = self.token(deadline).await?;
        if fresh.value.expose_secret() == token.value.expose_secret() {
            return Ok(answer);
        }
        self.send(request, &fresh, deadline).await
    }

    async fn send(
        &self,
        request: &Request,
        token: &BearerToken,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let mut answer = self.http.send(request, headers(token)?, deadline).await?;
        // A service may quote what it was sent. What is longer than this is rows.
        if answer.body.len() <= MOST_WORDS {
            answer.body = match String::from_utf8(answer.body) {
                Ok(text) => without(text, &token.value).into_bytes(),
                Err(error) => error.into_bytes(),
            };
        }
        Ok(answer)
    }

    async fn token(&self, deadline: Instant) -> Result<BearerToken, Failure> {
        match timeout_at(deadline, self.auth.token()).await {
            Ok(token) => token.map_err(|error| Failure::NoToken(self.whose.of_backend(error))),
            Err(_) => {
                let text = "signing in took too long; try again";
                Err(Failure::NoToken(BackendError::new(ErrorKind::Unavailable, text)))
            }
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }
}

fn body(
    sql: &str,
    limit: Duration,
    context: &StatementContext,
    parameters: BTreeMap<String, String>,
) -> Vec<u8> {
    let StatementContext { role, warehouse, database, schema } = context;
    let body = StatementBody {
        statement: sql,
        timeout: seconds_of(limit),
        database: database.as_deref(),
        schema: schema.as_deref(),
        warehouse: warehouse.as_deref(),
        role: role.as_deref(),
        parameters,
    };
    // Text with text for keys can always be written.
    serde_json::to_vec(&body).unwrap_or_default()
}

fn post(
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    ceiling: Ceiling,
) -> Request {
    Request { method: Method::POST, path, query, body, ceiling }
}

fn part(handle: Handle, number: Option<usize>, ceiling: Ceiling) -> Request {
    let mut query = vec![("requestId", Uuid::new_v4().to_string())];
    query.extend(number.map(|number| ("partition", number.to_string())));
    Request { method: Method::GET, path: format!("{STATEMENTS}/{handle}"), query, body: None, ceiling }
}

/// NULL comes as null rather than as the word.
fn nullable() -> (&'static str, String) {
    ("nullable", "true".to_owned())
}

fn headers(token: &BearerToken) -> Result<HeaderMap, Failure> {
    let value = format!("Bearer {}", token.value.expose_secret());
    let kind = HeaderValue::from_static(token.kind.header_value());
    // Asked for with every request, also where there is no body.
    let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(HeaderMap::from_iter([authorization(&value).map_err(Failure::NoToken)?, (TOKEN_TYPE, kind), json]))
}

/// Never zero, which would mean no limit.
fn seconds_of(limit: Duration) -> u64 {
    let seconds = limit.as_secs().saturating_add(u64::from(limit.subsec_nanos() > 0));
    seconds.clamp(1, MAX_TIMEOUT)
}

fn judge(outcome: &Result<Reply, Failure>) -> Judgement {
    let retry_after = outcome.as_ref().ok().and_then(|reply| reply.retry_after);
    let verdict = match outcome {
        Err(Failure::NotSent(_) | Failure::NoAnswer(_)) => Verdict::Transient,
        Ok(Reply { meaning: Meaning::Down(_), .. }) => Verdict::Transient,
        Ok(Reply { meaning: Meaning::Throttled(_), .. }) => Verdict::Throttled,
        Ok(_) | Err(_) => Verdict::Done,
    };
    Judgement { verdict, retry_after }
}

/// Whether a submission with this outcome may have started its statement.
fn may_have_been_taken(outcome: &Result<Reply, Failure>) -> bool {
    match outcome {
        Err(Failure::NoAnswer(_) | Failure::Unusable(_)) => true,
        Err(Failure::NotSent(_) | Failure::Paused(_) | Failure::NoToken(_) | Failure::Redirected(_)) => false,
        Ok(reply) => matches!(reply.meaning, Meaning::Down(_) | Meaning::Unexpected(_)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_uuid_is_a_handle() {
        let good = "01b66701-0000-001c-0000-0030000b91521";
        assert!(Handle::parse(&good[..36]).is_some());
        for bad in [
            "",
            good,
            "../x",
            "01b667010000001c00000030000b9152",
            "{01b66701-0000-001c-0000-0030000b91}",
            "q_1",
        ] {
            assert!(Handle::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_time_limit_is_never_no_limit() {
        let limits = [0, 1, 999, 1000, 1001].map(|millis| seconds_of(Duration::from_millis(millis)));
        assert_eq!(limits, [1, 1, 1, 1, 2]);
        assert_eq!(seconds_of(Duration::MAX), MAX_TIMEOUT);
    }
}
