//! Signing in: what is sent, and what the answer means.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use registry_core::backend::BackendError;
use registry_core::error::ErrorKind;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::error::{CallError, fault, rejects_credentials};
use super::session::{Tokens, lock, usable};
use super::stats::Counters;
use super::transport::{Mark, Transport, without_secret};
use crate::auth::{Authenticator, BearerToken};
use crate::config::{Credentials, SnowflakeConfig, StatementContext, Whose};
use crate::retry::{Judgement, Verdict, repeat};
use crate::wire::driver::{ClientEnvironment, Envelope, LoginAnswer, LoginData, LoginRequest};

const APPLICATION: &str = "async-query-mcp";
/// Credentials that were refused are not tried again for so long: every try counts towards locking the user out.
const REFUSAL_LASTS: Duration = Duration::from_secs(15 * 60);
/// In MB; keeps the memory of a fetch small. Snowflake takes 48 to 160 everywhere.
const CHUNK_SIZE: u32 = 48;
const DEFAULT_MASTER_VALIDITY: u64 = 4 * 3600;

/// Signs in as one user.
#[derive(Debug)]
pub(super) struct SignIn {
    config: SnowflakeConfig,
    whose: Whose,
    /// `None` for a password.
    authenticator: Option<Authenticator>,
    transport: Arc<Transport>,
    counters: Arc<Counters>,
    refusal: Mutex<Option<Refusal>>,
}

/// Credentials that Snowflake refused.
#[derive(Debug, Clone)]
struct Refusal {
    /// What was refused. A token that is read anew may be the same one still.
    secret: SecretString,
    at: Instant,
    error: BackendError,
}

/// A session that has just begun.
pub(super) struct SignedIn {
    pub(super) tokens: Tokens,
    pub(super) master_validity: Duration,
}

enum Secret<'a> {
    Password(&'a SecretString),
    Token(BearerToken),
}

impl Secret<'_> {
    fn text(&self) -> &SecretString {
        match self {
            Self::Password(password) => password,
            Self::Token(token) => &token.value,
        }
    }
}

impl SignIn {
    pub(super) fn new(
        config: &SnowflakeConfig,
        authenticator: Option<Authenticator>,
        transport: &Arc<Transport>,
        counters: &Arc<Counters>,
    ) -> Self {
        Self {
            config: config.clone(),
            whose: Whose::of(config),
            authenticator,
            transport: Arc::clone(transport),
            counters: Arc::clone(counters),
            refusal: Mutex::default(),
        }
    }

    /// Signs in. A refused token is replaced once, if there is a newer one.
    pub(super) async fn sign_in(&self, context: &StatementContext) -> Result<SignedIn, BackendError> {
        self.try_secrets(context).await.map_err(|error| self.whose.of_backend(error))
    }

    async fn try_secrets(&self, context: &StatementContext) -> Result<SignedIn, BackendError> {
        let mut last = None;
        for _ in 0..2 {
            let secret = self.secret().await?;
            self.recall(secret.text())?;
            let envelope = self.send(&secret, context).await.map_err(explained)?;
            if envelope.is_success() {
                return signed_in(&envelope);
            }
            let error = refused(&envelope);
            if !rejects_credentials(envelope.code()) {
                return Err(error);
            }
            self.remember(&secret, &error).await;
            last = Some(error);
        }
        Err(last.unwrap_or_else(|| BackendError::new(ErrorKind::Authentication, "signing in failed")))
    }

    async fn secret(&self) -> Result<Secret<'_>, BackendError> {
        match (&self.config.credentials, &self.authenticator) {
            (Credentials::Password(password), _) => Ok(Secret::Password(password)),
            (_, Some(authenticator)) => Ok(Secret::Token(authenticator.token().await?)),
            (_, None) => Err(BackendError::new(ErrorKind::Internal, "there is nothing to sign in with")),
        }
    }

    /// The error of credentials that were refused a short time ago.
    fn recall(&self, secret: &SecretString) -> Result<(), BackendError> {
        match &*lock(&self.refusal) {
            Some(refusal)
                if refusal.secret.expose_secret() == secret.expose_secret()
                    && refusal.at.elapsed() < REFUSAL_LASTS =>
            {
                Err(refusal.error.clone())
            }
            _ => Ok(()),
        }
    }

    async fn remember(&self, secret: &Secret<'_>, error: &BackendError) {
        if let (Secret::Token(token), Some(authenticator)) = (secret, &self.authenticator) {
            authenticator.rejected(token).await;
        }
        let refusal = Refusal { secret: secret.text().clone(), at: Instant::now(), error: error.clone() };
        *lock(&self.refusal) = Some(refusal);
    }

    /// Repeated only when it did not arrive or was not looked at.
    async fn send(&self, secret: &Secret<'_>, context: &StatementContext) -> Result<Envelope, CallError> {
        self.counters.logins.add_one();
        let (mark, context, body) = (Mark::new(), parts(context), self.body(secret));
        let attempt = |number: u32| {
            let mark = mark.at(number - 1, 0);
            let (context, body) = (&context, &body);
            async move { self.transport.login(context, &mark, body).await }
        };
        let judge = |answer: &Result<Envelope, CallError>| {
            let verdict = match answer {
                Err(CallError::NotSent(_) | CallError::Status { status: 502..=504, .. }) => {
                    Verdict::Transient
                }
                Err(CallError::Status { status: 429, .. }) => Verdict::Throttled,
                _ => Verdict::Done,
            };
            Judgement { verdict, retry_after: answer.as_ref().err().and_then(CallError::retry_after) }
        };
        let (policy, bucket) = self.transport.retries();
        let deadline = Instant::now() + self.transport.deadlines().request;
        let answer = repeat(policy, bucket, deadline, attempt, judge).await;
        without_secret(answer, secret.text())
    }

    fn body<'a>(&'a self, secret: &'a Secret<'_>) -> LoginRequest<'a> {
        let (password, authenticator, token) = match secret {
            Secret::Password(password) => (Some(password.expose_secret()), None, None),
            Secret::Token(token) => {
                (None, Some(token.kind.authenticator()), Some(token.value.expose_secret()))
            }
        };
        let data = LoginData {
            client_app_id: APPLICATION,
            client_app_version: env!("CARGO_PKG_VERSION"),
            svn_revision: None,
            account_name: &self.config.account,
            login_name: self.config.user.as_deref(),
            password,
            authenticator,
            token,
            client_environment: ClientEnvironment {
                application: APPLICATION,
                os: std::env::consts::OS,
                os_version: std::env::consts::ARCH,
            },
            session_parameters: self.parameters(),
        };
        LoginRequest { data }
    }

    /// The user's parameters, then those that nobody may change: without them statements would die with the
    /// connection, more than one could run in a text, or what a statement wrote would be lost with its session.
    fn parameters(&self) -> Map<String, Value> {
        let mut parameters = Map::new();
        parameters.insert("QUERY_TAG".to_owned(), json!(json!({ "app": APPLICATION }).to_string()));
        parameters.insert("CLIENT_RESULT_CHUNK_SIZE".to_owned(), json!(CHUNK_SIZE));
        for (name, value) in &self.config.session_parameters {
            parameters.insert(name.to_uppercase(), json!(value));
        }
        parameters.insert("ABORT_DETACHED_QUERY".to_owned(), json!(false));
        parameters.insert("AUTOCOMMIT".to_owned(), json!(true));
        parameters.insert("MULTI_STATEMENT_COUNT".to_owned(), json!(1));
        parameters
    }
}

fn parts(context: &StatementContext) -> Vec<(&'static str, String)> {
    let parts = [
        ("databaseName", &context.database),
        ("schemaName", &context.schema),
        ("warehouse", &context.warehouse),
        ("roleName", &context.role),
    ];
    parts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
}

fn signed_in(envelope: &Envelope) -> Result<SignedIn, BackendError> {
    let answer: LoginAnswer = envelope.data_or_default();
    if let Some(action) = &answer.next_action {
        return Err(needs_a_person(action));
    }
    let session = answer.token.ok_or_else(|| missing("session token"))?;
    // Without a master token there is no renewal: the session then lasts as long as its token.
    let master = answer.master_token.unwrap_or_else(|| session.clone());
    let tokens = Tokens { session: usable(session)?, master: usable(master)?, generation: 0 };
    let validity = answer.master_validity_in_seconds.or(answer.validity_in_seconds);
    let master_validity = Duration::from_secs(validity.unwrap_or(DEFAULT_MASTER_VALIDITY));
    Ok(SignedIn { tokens, master_validity })
}

fn missing(what: &str) -> BackendError {
    BackendError::new(ErrorKind::Protocol, format!("Snowflake accepted the sign-in but gave no {what}"))
}

fn needs_a_person(action: &str) -> BackendError {
    let advice = match action {
        action if action.starts_with("EXT_AUTHN") => {
            "the user must confirm with a second factor, which a server cannot do; use a key pair or a programmatic \
             access token"
        }
        action if action.starts_with("PWD_CHANGE") => {
            "the user must change the password first; sign in to Snowflake in a browser and do so"
        }
        _ => {
            "Snowflake asks for a step that only a person can take; use a key pair or a programmatic access token"
        }
    };
    BackendError::new(ErrorKind::Authentication, format!("signing in is not complete: {advice}"))
}

fn refused(envelope: &Envelope) -> BackendError {
    let answer: LoginAnswer = envelope.data_or_default();
    if let Some(action) = &answer.next_action {
        return needs_a_person(action);
    }
    BackendError(fault(envelope).sign_in_error())
}

fn explained(error: CallError) -> BackendError {
    match error {
        CallError::Status { status: status @ (403 | 404), .. } => BackendError::new(
            ErrorKind::Configuration,
            format!(
                "Snowflake does not know this account or does not let this machine in (HTTP {status}); the user must \
                 check the account's name, host and network policy"
            ),
        ),
        CallError::Status { status: 401, ref message, .. } => {
            let words = if message.is_empty() { "no reason given" } else { message };
            BackendError::new(ErrorKind::Authentication, format!("Snowflake refused the sign-in: {words}"))
        }
        other => other.into(),
    }
}
