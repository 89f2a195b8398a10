//! The corpus of judged statements.
#![allow(dead_code, clippy::unwrap_used)]

use serde::Deserialize;
use sql_guard::{Dialect, Kind, Rule};

/// A statement and the verdict it must get.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Case {
    pub(crate) dialect: Dialect,
    pub(crate) kind: Kind,
    pub(crate) rule: Rule,
    pub(crate) sql: String,
}

/// All cases, with the name of the file each stands in.
pub(crate) fn corpus() -> Vec<(&'static str, Case)> {
    let files = [
        ("reads", include_str!("../corpus/reads.jsonl")),
        ("metadata", include_str!("../corpus/metadata.jsonl")),
        ("writes", include_str!("../corpus/writes.jsonl")),
        ("effects", include_str!("../corpus/effects.jsonl")),
        ("concealment", include_str!("../corpus/concealment.jsonl")),
        ("several_statements", include_str!("../corpus/several_statements.jsonl")),
        ("not_understood", include_str!("../corpus/not_understood.jsonl")),
        ("engines_differ", include_str!("../corpus/engines_differ.jsonl")),
    ];
    let cases = |(name, text): (&'static str, &'static str)| {
        text.lines().map(move |line| (name, serde_json::from_str(line).unwrap()))
    };
    files.into_iter().flat_map(cases).collect()
}
