//! What statements may do.

use std::sync::Arc;

use clap::Args;
use clap::builder::BoolishValueParser;
use sql_guard::Allowances;

use crate::policy::{Mode, Policy};

/// What statements may do. No tool call can change any of it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Safety")]
pub struct PolicyArgs {
    /// What statements may do.
    #[arg(
        long,
        global = true,
        env = "ASYNC_QUERY_MCP_MODE",
        value_name = "MODE",
        default_value = "read-only"
    )]
    pub mode: Mode,

    /// A function that a read-only statement may call, as NAME, DB.SCHEMA.NAME or DB.SCHEMA.*; repeat it for several.
    #[arg(
        long = "allow-function",
        global = true,
        env = "ASYNC_QUERY_MCP_ALLOW_FUNCTIONS",
        value_name = "NAME",
        value_delimiter = ';'
    )]
    pub functions: Vec<String>,

    /// A role that an agent may choose for a statement on Snowflake, besides the connection's own; repeat it for several.
    #[arg(
        long = "allow-role",
        global = true,
        env = "ASYNC_QUERY_MCP_ALLOW_ROLES",
        value_name = "NAME",
        value_delimiter = ';'
    )]
    pub roles: Vec<String>,

    /// A warehouse that an agent may choose for a statement on Snowflake, besides the connection's own; repeat it for
    /// several.
    #[arg(
        long = "allow-warehouse",
        global = true,
        env = "ASYNC_QUERY_MCP_ALLOW_WAREHOUSES",
        value_name = "NAME",
        value_delimiter = ';'
    )]
    pub warehouses: Vec<String>,

    /// Let queries read files from Snowflake stages.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_ALLOW_STAGE_READS", value_parser = BoolishValueParser::new())]
    pub allow_stage_reads: bool,

    /// Let queries call Snowflake's language models, which cost money for every row.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_ALLOW_CORTEX", value_parser = BoolishValueParser::new())]
    pub allow_cortex: bool,
}

impl PolicyArgs {
    /// The policy that these flags describe.
    pub fn policy(&self) -> Policy {
        let allowances = Allowances::default().stage_reads(self.allow_stage_reads).cortex(self.allow_cortex);
        let allowances = self.functions.iter().fold(allowances, |all, name| all.function(name));
        Policy {
            mode: self.mode,
            allowances: Arc::new(allowances),
            roles: self.roles.clone(),
            warehouses: self.warehouses.clone(),
        }
    }
}
