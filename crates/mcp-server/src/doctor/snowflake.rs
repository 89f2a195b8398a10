//! A connection to Snowflake: from its configuration to a statement that was stopped.
//!
//! None of the statements names a warehouse, so none of them starts one or costs its time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use registry_core::backend::FenceKind;
use registry_core::error::{ErrorInfo, ErrorKind};
use registry_core::registry::CancelReason;
use registry_core::snapshot::QueryStatus;
use snowflake_adapter::config::{
    self, ConfigError, Deadlines, Protocol, SnowflakeConfig, Sources, StatementContext,
};
use snowflake_adapter::doctor::{self, Silence};

use super::queries::Queries;
use super::report::{Finding, Report};
use super::{How, safety};
use crate::connection::backend_of;
use crate::policy::Mode;

const STEPS: [&str; 13] = [
    "files",
    "settings",
    "credentials",
    "dns",
    "tcp",
    "tls",
    "clock",
    "sign_in",
    "role",
    "fence",
    "warehouse",
    "statement",
    "cancel",
];
/// The connections of the doctor's own registry: without anything but the user, and with the role.
const BARE: &str = "bare";
const AS_ROLE: &str = "as_role";
/// Snowflake refuses signed tokens from a clock that is further off.
const MOST_SKEW: u64 = 60;

const WHO: &str = "select current_user() as \"USER\", current_role() as \"ROLE\"";
const ROLE: &str = "select current_role() as \"ROLE\"";
const STATEMENT: &str = "select 1 as one";
const LONG: &str = "select system$wait(60)";

pub(super) async fn examine(report: &mut Report, scope: &str, name: Option<String>, mode: Mode, how: How) {
    report.take(scope, "policy", async { safety::policy(mode) }).await;
    let Some(config) = configuration(report, scope, name).await else {
        return report.skip_rest(scope, &STEPS, "the connection is not configured as it must be");
    };
    if how.offline {
        return report.skip_rest(scope, &STEPS, "nothing leaves this machine (--offline)");
    }
    let config = SnowflakeConfig {
        deadlines: Deadlines { connect: how.patience, request: how.patience, long_poll: how.patience },
        ..config
    };
    if !reach(report, scope, &config).await {
        return report.skip_rest(scope, &STEPS, "Snowflake cannot be reached");
    }
    let queries = match open(&config, how.patience).await {
        Ok(queries) => queries,
        Err(reason) => {
            let finding = Finding::failed("configuration", reason, "Correct the settings of the connection.");
            report.take(scope, "sign_in", async { finding }).await;
            return report.skip_rest(scope, &STEPS, "nothing can be sent");
        }
    };
    statements(report, scope, &config, &queries, mode).await;
    queries.close().await;
}

// ---- on this machine

/// Reads what the connection is made of. It blocks, so it has a thread of its own.
async fn configuration(report: &mut Report, scope: &str, name: Option<String>) -> Option<SnowflakeConfig> {
    let read = move || {
        let sources = Sources::from_process();
        let name = name.as_deref();
        let directory = sources.directory().map(Path::to_path_buf);
        (directory, config::names(&sources), config::explain(name, &sources), config::load(name, &sources))
    };
    let Ok((directory, names, explained, loaded)) = tokio::task::spawn_blocking(read).await else {
        let finding = Finding::failed("internal", "the files could not be read", "Report the fault.");
        report.take(scope, "files", async { finding }).await;
        return None;
    };
    if !report.take(scope, "files", async { files(directory.as_deref(), names) }).await {
        return None;
    }
    let details = explained.iter().flatten().map(ToString::to_string).collect();
    let (settings, credentials) = match &loaded {
        Ok(config) => (Finding::ok(described(config)), None),
        Err(error) if is_about_credentials(error) => (Finding::ok("complete"), Some(mended(error))),
        Err(error) => (mended(error), None),
    };
    if !report.take(scope, "settings", async { settings.with_details(details) }).await {
        return None;
    }
    let credentials = async {
        match (&loaded, credentials) {
            (_, Some(finding)) => finding,
            (Ok(config), None) => credential(config).await,
            (Err(error), None) => mended(error),
        }
    };
    if !report.take(scope, "credentials", credentials).await {
        return None;
    }
    loaded.ok()
}

fn files(directory: Option<&Path>, names: Result<Vec<String>, ConfigError>) -> Finding {
    let names = match names {
        Ok(names) => names,
        Err(error) => return mended(&error),
    };
    let found: Vec<PathBuf> = ["connections.toml", "config.toml"]
        .iter()
        .filter_map(|name| directory.map(|directory| directory.join(name)))
        .filter(|path| path.is_file())
        .collect();
    let files: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let text = match (&files[..], directory) {
        ([], Some(directory)) => format!("no files in {}; connections: {names}", directory.display()),
        ([], None) => format!("no directory for connection files; connections: {names}"),
        (files, _) => format!("{}; connections: {names}", files.join(", ")),
    };
    match found.iter().find(|path| is_readable_by_others(path)) {
        Some(path) => Finding::warning(
            "readable_by_others",
            format!("{text}; others may read {}", path.display()),
            format!("Run: chmod 600 '{}'", path.display()),
        ),
        None => Finding::ok(text),
    }
}

#[cfg(unix)]
fn is_readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o044 != 0)
}

#[cfg(not(unix))]
fn is_readable_by_others(_path: &Path) -> bool {
    false
}

fn described(config: &SnowflakeConfig) -> String {
    let protocol = match config.protocol {
        Protocol::SqlApi => "the SQL API",
        Protocol::Driver => "the driver protocol",
    };
    let user = config.user.as_deref().unwrap_or("the token's user");
    format!("account {}, {user}, over {protocol}, at {}", config.account, doctor::host(config))
}

/// A file that cannot be read is a secret's here: those of the connections were read before.
fn is_about_credentials(error: &ConfigError) -> bool {
    matches!(
        error,
        ConfigError::Exposed { .. }
            | ConfigError::Unreadable { .. }
            | ConfigError::Key { .. }
            | ConfigError::Token { .. }
    )
}

async fn credential(config: &SnowflakeConfig) -> Finding {
    match doctor::credential(config).await {
        Ok(()) => Finding::ok("can be read and used"),
        Err(error) => Finding::failed(
            "credentials",
            error.to_string(),
            "Correct the key, its passphrase or the token where the settings say that it is.",
        ),
    }
}

fn mended(error: &ConfigError) -> Finding {
    let (kind, mend) = match error {
        ConfigError::UnknownConnection { .. } => {
            ("unknown_connection", "Use one of the configured names, or add it.")
        }
        ConfigError::Unreadable { .. } => ("unreadable", "Correct the path or the permissions."),
        ConfigError::Syntax { .. } => {
            ("syntax", "Correct the file at this place; values of text stand in quotes.")
        }
        ConfigError::Writable { .. } | ConfigError::Exposed { .. } => {
            ("permissions", "Run the chmod that it names; if others could change the secret, make a new one.")
        }
        ConfigError::Missing { .. } => ("missing", "Set it in connections.toml or by its variable."),
        ConfigError::Invalid { .. } => ("invalid", "Correct the value where it is set."),
        ConfigError::Conflict { .. } => ("conflict", "Remove one of the two."),
        ConfigError::Unsupported { .. } => ("unsupported", "Choose another way to sign in."),
        ConfigError::PlainHttp { .. } => ("plain_http", "Use https."),
        ConfigError::Key { .. } | ConfigError::Token { .. } => ("credentials", "Put a usable one there."),
    };
    Finding::failed(kind, error.to_string(), mend)
}

// ---- on the way

async fn reach(report: &mut Report, scope: &str, config: &SnowflakeConfig) -> bool {
    let mut addresses = Vec::new();
    if let Some(variable) = doctor::proxy(config) {
        let reason = format!("requests go through the proxy of {variable}");
        report.skip_rest(scope, &["dns", "tcp"], &reason);
    } else {
        let found = async {
            match doctor::resolve(config).await {
                Ok(found) => {
                    let text =
                        found.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
                    addresses = found;
                    Finding::ok(text)
                }
                Err(reason) => Finding::failed(
                    "unknown_host",
                    format!("{}: {reason}", doctor::host(config)),
                    "Check the account's name (organization-account) or the host, and this machine's name servers.",
                ),
            }
        };
        if !report.take(scope, "dns", found).await {
            return false;
        }
        if !report.take(scope, "tcp", tcp(config, &addresses)).await {
            return false;
        }
    }
    let greeting = doctor::greet(config).await;
    let encrypted = doctor::is_encrypted(config);
    if !report.take(scope, "tls", async { tls(encrypted, &greeting) }).await {
        return false;
    }
    report
        .take(scope, "clock", async { clock(greeting.ok().and_then(|greeting| greeting.clock_ahead)) })
        .await;
    true
}

async fn tcp(config: &SnowflakeConfig, addresses: &[std::net::SocketAddr]) -> Finding {
    match doctor::connect(addresses, config.deadlines.connect).await {
        Ok(address) => Finding::ok(format!("{address} takes connections")),
        Err(reason) => Finding::failed(
            "no_connection",
            reason,
            "Check host and port, and whether a firewall, a VPN or a missing proxy setting stands between.",
        ),
    }
}

fn tls(encrypted: bool, greeting: &Result<doctor::Greeting, Silence>) -> Finding {
    match greeting {
        Err(Silence::NotConnected(reason)) => Finding::failed(
            "tls",
            reason,
            "Check that the port speaks https. If a proxy looks into encrypted traffic, add its certificate to the \
             system's trusted ones.",
        ),
        _ if !encrypted => Finding::skipped("plain http, to this machine"),
        Ok(_) | Err(Silence::NoAnswer(_)) => Finding::ok("the certificate is trusted"),
    }
}

fn clock(ahead: Option<i64>) -> Finding {
    let Some(ahead) = ahead else {
        return Finding::warning(
            "no_date",
            "the service did not tell its time",
            "Nothing, unless signing in fails.",
        );
    };
    let off = ahead.unsigned_abs();
    if off <= MOST_SKEW {
        return Finding::ok(format!("{off} s from the service's"));
    }
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    Finding::failed(
        "clock_skew",
        format!("this machine's clock is {off} s {side} the service's"),
        "Set the clock, best by NTP: Snowflake refuses tokens that are signed at the wrong time.",
    )
}

// ---- at Snowflake

async fn open(config: &SnowflakeConfig, patience: Duration) -> Result<Queries, String> {
    let role = StatementContext { role: config.context.role.clone(), ..StatementContext::default() };
    let mut connections = Vec::new();
    for (name, context) in [(BARE, StatementContext::default()), (AS_ROLE, role)] {
        let config = SnowflakeConfig { context, ..config.clone() };
        connections.push((name.to_owned(), backend_of(&config).map_err(|error| error.to_string())?));
    }
    Queries::open(connections, patience).await.map_err(|error| error.to_string())
}

async fn statements(
    report: &mut Report,
    scope: &str,
    config: &SnowflakeConfig,
    queries: &Queries,
    mode: Mode,
) {
    if !report.take(scope, "sign_in", sign_in(queries)).await {
        return report.skip_rest(scope, &STEPS, "signing in failed");
    }
    if !report.take(scope, "role", role(queries, config.context.role.as_deref())).await {
        return report.skip_rest(scope, &STEPS, "the role cannot be used");
    }
    report.take(scope, "fence", fence(queries, mode)).await;
    report.take(scope, "warehouse", warehouse(queries, config.context.warehouse.as_deref())).await;
    if !report.take(scope, "statement", statement(queries)).await {
        return report.skip_rest(scope, &STEPS, "no statement runs");
    }
    report.take(scope, "cancel", cancel(queries)).await;
}

async fn sign_in(queries: &Queries) -> Finding {
    match queries.rows(BARE, WHO).await {
        Ok(table) => {
            let or = |name: &str| table.first(name).unwrap_or_else(|| "nobody named".to_owned());
            Finding::ok(format!("as {}, with the default role {}", or("USER"), or("ROLE")))
        }
        Err(error) => Finding::failed(kind_of(&error), error.message.clone(), sign_in_mend(&error)),
    }
}

/// Snowflake's codes where they say more than the class.
fn kind_of(error: &ErrorInfo) -> &'static str {
    match error.code {
        Some(390_420..=390_422) => "network_policy",
        Some(390_144 | 394_300..=394_307) => "credentials_refused",
        Some(390_303 | 390_318) => "token_refused",
        _ => error.kind.as_str(),
    }
}

fn sign_in_mend(error: &ErrorInfo) -> &'static str {
    match (kind_of(error), error.kind) {
        ("network_policy", _) => {
            "Connect from an allowed network, or have the administrator add this machine's address to the network \
             policy of the user or the account."
        }
        ("token_refused", _) => {
            "Get a new access token and put it where the settings say; this one has expired or \
                                 was revoked."
        }
        ("credentials_refused", _) => {
            "Compare the public key with DESCRIBE USER, and set it with ALTER USER ... SET RSA_PUBLIC_KEY; or make a new \
             token. Check account and user, too."
        }
        (_, ErrorKind::Authentication) => {
            "Check user, secret and account. Do not try often: Snowflake locks a user after several refusals."
        }
        (_, ErrorKind::Permission) => {
            "Ask the administrator whether the network policy, or the user's rights, keep this machine out."
        }
        (_, ErrorKind::Unavailable) => "Try again, and look at status.snowflake.com if it stays so.",
        (_, ErrorKind::Throttled) => "Wait a minute, then try again; others may use the account heavily.",
        (_, ErrorKind::Protocol) => {
            "Something else than Snowflake answers: check account and host, and whether a proxy asks for a sign-in."
        }
        _ => "Check account, host and user of the connection.",
    }
}

async fn role(queries: &Queries, wanted: Option<&str>) -> Finding {
    let Some(wanted) = wanted else { return Finding::ok("none is named; the user's default role is used") };
    let mend = format!(
        "Correct the name, or have the administrator run: GRANT ROLE {wanted} TO USER ...; names in quotes keep their \
         upper and lower case."
    );
    match queries.rows(AS_ROLE, ROLE).await {
        Ok(table) => match table.first("ROLE") {
            Some(found) if found.eq_ignore_ascii_case(wanted.trim_matches('"')) => Finding::ok(found),
            found => {
                let found = found.unwrap_or_else(|| "none".to_owned());
                Finding::failed("role", format!("asked for {wanted}, and got {found}"), mend)
            }
        },
        Err(error) => Finding::failed("role", error.message, mend),
    }
}

/// Where writes are meant to be possible, a role that can write is no fault.
async fn fence(queries: &Queries, mode: Mode) -> Finding {
    let fence = queries.fence(AS_ROLE).await;
    match mode {
        Mode::ReadWrite if fence.kind == FenceKind::ParserOnly => {
            Finding::ok(format!("{}: {}", fence.kind, fence.detail))
        }
        Mode::ReadOnly | Mode::ReadWrite => safety::found(fence),
    }
}

/// Looks at the warehouse without starting it.
async fn warehouse(queries: &Queries, wanted: Option<&str>) -> Finding {
    let Some(wanted) = wanted else {
        let mend = "Name one with warehouse = \"...\", unless the user has a default one.";
        return Finding::warning("no_warehouse", "none is named; the user's default one is used", mend);
    };
    let name = wanted.trim_matches('"').replace('\'', "''");
    let table = match queries.rows(AS_ROLE, &format!("show warehouses like '{name}'")).await {
        Ok(table) => table,
        Err(error) => {
            return Finding::failed("warehouse", error.message, "Check the rights of the role.");
        }
    };
    if table.is_empty() {
        let text = format!("there is no warehouse {wanted} that this role may see");
        let mend = format!(
            "Correct the name, or have the administrator run: GRANT USAGE ON WAREHOUSE {wanted} TO ROLE ..."
        );
        return Finding::failed("warehouse", text, mend);
    }
    let state = table.first("state").unwrap_or_default().to_uppercase();
    let resumes = table.first("auto_resume").is_some_and(|word| word.eq_ignore_ascii_case("true"));
    match (state.as_str(), resumes) {
        ("SUSPENDED" | "SUSPENDING", false) => Finding::failed(
            "suspended",
            format!("{wanted} is suspended and does not resume by itself"),
            format!("Have it started (ALTER WAREHOUSE {wanted} RESUME) or set AUTO_RESUME = TRUE for it."),
        ),
        ("SUSPENDED" | "SUSPENDING", true) => {
            Finding::ok(format!("{wanted} is suspended and resumes with the first statement that needs it"))
        }
        (state, _) => Finding::ok(format!("{wanted} is {}", state.to_lowercase())),
    }
}

async fn statement(queries: &Queries) -> Finding {
    match queries.rows(AS_ROLE, STATEMENT).await {
        Ok(_) => Finding::ok("a statement ran, and its row came back"),
        Err(error) => Finding::failed(error.kind.as_str(), error.message.clone(), sign_in_mend(&error)),
    }
}

async fn cancel(queries: &Queries) -> Finding {
    let canceled = match queries.stop(AS_ROLE, LONG).await {
        Ok(canceled) => canceled,
        Err(error) => {
            let mend =
                "Agents can work; whether their statements can be stopped is not known. Run doctor again.";
            return Finding::warning("not_tried", error.message, mend);
        }
    };
    match canceled.reason {
        CancelReason::Canceled | CancelReason::AlreadyCanceled => {
            Finding::ok("a statement was stopped, and Snowflake confirmed it")
        }
        CancelReason::Refused => {
            let words = canceled.snapshot.cancel_refused.map(|error| error.message).unwrap_or_default();
            Finding::failed(
                "cancel_refused",
                format!("Snowflake refuses to stop the user's own statements: {words}"),
                "Statements end only by their time limit then: ask the administrator why, and set a short --max-timeout.",
            )
        }
        CancelReason::AlreadyCompleted if canceled.snapshot.status == QueryStatus::Succeeded => {
            Finding::warning(
                "not_tried",
                "the statement ended before it could be stopped",
                "Run doctor again.",
            )
        }
        CancelReason::AlreadyCompleted
        | CancelReason::NeverSent
        | CancelReason::Requested
        | CancelReason::Unconfirmed => Finding::warning(
            "not_confirmed",
            format!("the stop was asked for; the statement is {}", canceled.snapshot.status),
            "Run doctor again with a longer --patience.",
        ),
    }
}
