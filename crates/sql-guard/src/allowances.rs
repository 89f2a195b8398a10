//! What the operator allows beyond the rules.

use serde::{Deserialize, Serialize};

/// What statements may use although no rule knows it to be harmless; by default nothing.
///
/// Names are compared as the engine does: without regard to case unless in double quotes. A name ending in `.*` allows
/// every function of that schema.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allowances {
    functions: Vec<String>,
    stage_reads: bool,
    cortex: bool,
}

impl Allowances {
    /// Lets statements call the function `name`, written as in a statement: `NAME`, `DB.SCHEMA.NAME` or `DB.SCHEMA.*`.
    #[must_use]
    pub fn function(mut self, name: &str) -> Self {
        self.functions.push(canonical(name.trim()));
        self
    }

    /// Lets queries read files from stages.
    #[must_use]
    pub fn stage_reads(mut self, allowed: bool) -> Self {
        self.stage_reads = allowed;
        self
    }

    /// Lets queries call Snowflake's language models (`SNOWFLAKE.CORTEX.*`, `AI_*`), which cost money for every row.
    #[must_use]
    pub fn cortex(mut self, allowed: bool) -> Self {
        self.cortex = allowed;
        self
    }

    pub(crate) fn reads_stages(&self) -> bool {
        self.stage_reads
    }

    pub(crate) fn pays_for_models(&self) -> bool {
        self.cortex
    }

    /// Whether the operator listed the function `name`, written in its canonical form.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.functions.iter().any(|allowed| match allowed.strip_suffix(".*") {
            Some(schema) => name.rsplit_once('.').is_some_and(|(prefix, _)| prefix == schema),
            None => allowed == name,
        })
    }
}

/// `name` with everything outside double quotes in capitals.
fn canonical(name: &str) -> String {
    let mut in_quotes = false;
    name.chars()
        .map(|c| {
            in_quotes ^= c == '"';
            if in_quotes { c } else { c.to_ascii_uppercase() }
        })
        .collect()
}
