//! The roles that count in a session besides its own: a role is what the configuration names, and not the sum of all that
//! the user has.

use registry_core::backend::BackendError;
use registry_core::error::ErrorKind;
use tokio::time::Instant;

use super::error::fault;
use super::pool::own_statement;
use super::rows::first_text;
use super::session::SnowflakeSession;
use super::transport::{Call, Mark};
use crate::fence;
use crate::wire::driver::Envelope;

const REFUSED: &str = "the user's other roles count in the session, and Snowflake did not let the server switch them off; \
    set DEFAULT_SECONDARY_ROLES = () for the user, or ALLOWED_SECONDARY_ROLES = () by a session policy";

/// Switches them off. A session that is bound to one role, as that of a token may be, has none and refuses the statement.
pub(super) async fn switch_off(session: &SnowflakeSession) -> Result<(), BackendError> {
    let answer = run(session, "USE SECONDARY ROLES NONE").await?;
    if is_done(&answer) || has_none(session).await? {
        return Ok(());
    }
    Err(BackendError(fault(&answer).explained(ErrorKind::Configuration, REFUSED)))
}

async fn has_none(session: &SnowflakeSession) -> Result<bool, BackendError> {
    let answer = run(session, fence::SECONDARY).await?;
    Ok(is_done(&answer) && fence::secondary_roles_in(first_text(&answer)?.as_deref())?.is_empty())
}

async fn run(session: &SnowflakeSession, sql: &str) -> Result<Envelope, BackendError> {
    let body = own_statement(sql, session.next_sequence());
    let deadline = Instant::now() + fence::LIMIT;
    let (answer, _) = session.persist(Call::Submit(&body), &Mark::new(), deadline).await;
    Ok(answer?)
}

fn is_done(answer: &Envelope) -> bool {
    answer.is_success() && !answer.is_in_progress()
}
