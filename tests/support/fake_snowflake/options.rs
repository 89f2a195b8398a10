//! How the service behaves. Every setting has a name, for the command line and for the control endpoint.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of the service.
#[derive(Debug, Clone)]
pub struct Options {
    /// The port on the loopback address; 0 takes a free one.
    pub port: u16,
    /// Keeps the history over restarts of the service.
    pub state: Option<PathBuf>,
    /// Gets the log, line by line.
    pub log: Option<PathBuf>,
    /// Faults to begin with, a JSON array.
    pub faults: Option<PathBuf>,
    /// Rows in a partition of the SQL API.
    pub partition_rows: usize,
    /// Rows in a driver's answer itself.
    pub inline_rows: usize,
    /// Rows in a chunk.
    pub chunk_rows: usize,
    /// Chunks say in a header that they are gzip; without it only their first bytes do.
    pub chunk_encoding_header: bool,
    /// What a chunk's request must carry.
    pub chunk_keys: ChunkKeys,
    /// How long a synchronous submission and a result request are held open.
    pub hold: Duration,
    /// The longest a statement runs when it does not say.
    pub statement_timeout: Duration,
    /// How long a session token is good.
    pub session_validity: Duration,
    /// How long a master token is good.
    pub master_validity: Duration,
    /// How long the statements of a session survive its logout.
    pub logout_cancel_delay: Duration,
    /// How long statements of a silent session go on under `ABORT_DETACHED_QUERY`.
    pub detach_grace: Duration,
    /// How long a result is kept.
    pub result_validity: Duration,
    /// How long a chunk's address is good.
    pub url_validity: Duration,
    /// What `show warehouses` tells: name, state, and whether it resumes by itself.
    pub warehouses: Vec<(String, String, bool)>,
    /// What `show grants to role` tells: role, privilege, kind of object, object. A role that stands nowhere is not known,
    /// apart from `PUBLIC`.
    pub grants: Vec<[String; 4]>,
    /// The user's other roles, which count unless a session switches them off.
    pub secondary_roles: Vec<String>,
    /// Whether sessions are an agent's; `None` is an account that does not know the question.
    pub agent: Option<bool>,
}

/// The headers a chunk's request must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkKeys {
    /// The key of `qrmk` in the two headers of the cloud store; the newest connectors cannot do this.
    Qrmk,
    /// What `chunkHeaders` says. `qrmk` is there too.
    Headers,
    /// `chunkHeaders` is there and empty, and wins over `qrmk`.
    EmptyHeaders,
    /// Nothing.
    None,
}

impl Default for Options {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Self {
            port: 0,
            state: None,
            log: None,
            faults: None,
            partition_rows: 10_000,
            inline_rows: 1_000,
            chunk_rows: 10_000,
            chunk_encoding_header: true,
            chunk_keys: ChunkKeys::Headers,
            hold: Duration::from_secs(45),
            statement_timeout: hours(48),
            session_validity: hours(1),
            master_validity: hours(4),
            logout_cancel_delay: Duration::from_secs(120),
            detach_grace: Duration::from_secs(300),
            result_validity: hours(24),
            url_validity: hours(6),
            warehouses: vec![("WH".to_owned(), "STARTED".to_owned(), true)],
            grants: [reader("FAKE_ROLE"), reader("ANALYST")].concat(),
            secondary_roles: vec![],
            agent: None,
        }
    }
}

/// What a role has that only reads.
pub fn reader(role: &str) -> Vec<[String; 4]> {
    [("USAGE", "WAREHOUSE", "WH"), ("USAGE", "DATABASE", "DB"), ("SELECT", "TABLE", "DB.PUBLIC.ORDERS")]
        .map(|(privilege, on, name)| grant(role, privilege, on, name))
        .to_vec()
}

/// One grant.
pub fn grant(role: &str, privilege: &str, on: &str, name: &str) -> [String; 4] {
    [role, privilege, on, name].map(str::to_owned)
}

impl Options {
    /// Changes one setting by its name; times are in seconds.
    ///
    /// # Errors
    ///
    /// When there is no such setting, or it does not take the value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if let Some(setting) = self.time(name) {
            let seconds = value.parse().map_err(|_| format!("{name} takes seconds, not {value:?}"))?;
            *setting = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
            return Ok(());
        }
        if let Some(setting) = self.count(name) {
            let rows: usize = value.parse().map_err(|_| format!("{name} takes a number, not {value:?}"))?;
            *setting = rows.max(usize::from(name != "inline_rows"));
            return Ok(());
        }
        match (name, value) {
            ("chunk_encoding_header", "true" | "false") => self.chunk_encoding_header = value == "true",
            ("chunk_keys", "qrmk") => self.chunk_keys = ChunkKeys::Qrmk,
            ("chunk_keys", "headers") => self.chunk_keys = ChunkKeys::Headers,
            ("chunk_keys", "empty_headers") => self.chunk_keys = ChunkKeys::EmptyHeaders,
            ("agent", "true" | "false") => self.agent = Some(value == "true"),
            ("secondary_roles", names) => {
                self.secondary_roles =
                    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
            }
            ("grant", grant) => match grant.splitn(4, '|').collect::<Vec<_>>()[..] {
                [role, privilege, on, name] => self.grants.push(self::grant(role, privilege, on, name)),
                _ => return Err(format!("a grant is ROLE|PRIVILEGE|KIND|OBJECT, not {grant:?}")),
            },
            ("chunk_keys", "none") => self.chunk_keys = ChunkKeys::None,
            _ => return Err(format!("no setting {name} = {value}")),
        }
        Ok(())
    }

    fn time(&mut self, name: &str) -> Option<&mut Duration> {
        Some(match name {
            "hold" => &mut self.hold,
            "statement_timeout" => &mut self.statement_timeout,
            "session_validity" => &mut self.session_validity,
            "master_validity" => &mut self.master_validity,
            "logout_cancel_delay" => &mut self.logout_cancel_delay,
            "detach_grace" => &mut self.detach_grace,
            "result_validity" => &mut self.result_validity,
            "url_validity" => &mut self.url_validity,
            _ => return None,
        })
    }

    fn count(&mut self, name: &str) -> Option<&mut usize> {
        Some(match name {
            "partition_rows" => &mut self.partition_rows,
            "inline_rows" => &mut self.inline_rows,
            "chunk_rows" => &mut self.chunk_rows,
            _ => return None,
        })
    }
}
