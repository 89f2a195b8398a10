//! Steps and what was found in them.

use std::future::Future;
use std::time::Instant;

use serde::Serialize;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work.
    Failed,
    /// Not looked at.
    Skipped,
}

/// What was found in a step.
#[derive(Debug)]
pub(super) struct Finding {
    mark: Mark,
    kind: Option<&'static str>,
    message: String,
    mend: Option<String>,
    details: Vec<String>,
}

impl Finding {
    pub(super) fn ok(message: impl Into<String>) -> Self {
        Self { mark: Mark::Ok, kind: None, message: message.into(), mend: None, details: Vec::new() }
    }

    pub(super) fn skipped(reason: impl Into<String>) -> Self {
        Self { mark: Mark::Skipped, ..Self::ok(reason) }
    }

    pub(super) fn warning(kind: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { mark: Mark::Warning, kind: Some(kind), mend: Some(mend.into()), ..Self::ok(message) }
    }

    pub(super) fn failed(kind: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { mark: Mark::Failed, ..Self::warning(kind, message, mend) }
    }

    pub(super) fn with_details(self, details: Vec<String>) -> Self {
        Self { details, ..self }
    }

    pub(super) fn is_failed(&self) -> bool {
        self.mark == Mark::Failed
    }
}

/// One step and what was found in it.
#[derive(Debug, Serialize)]
pub struct Step {
    /// What it is part of: `state`, or the name of a connection.
    pub scope: String,
    /// Its name.
    pub step: &'static str,
    /// How it ended.
    pub status: Mark,
    /// The class of what is wrong.
    pub kind: Option<&'static str>,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub mend: Option<String>,
    /// What else there is to know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// How long it took.
    pub millis: u64,
}

/// All steps so far.
#[derive(Debug, Default)]
pub struct Report {
    steps: Vec<Step>,
}

impl Report {
    /// The steps, in the order in which they were taken.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether nothing failed.
    pub fn is_good(&self) -> bool {
        self.steps.iter().all(|step| step.status != Mark::Failed)
    }

    /// Takes a step; says whether those that depend on it can be taken.
    pub(super) async fn take(
        &mut self,
        scope: &str,
        step: &'static str,
        work: impl Future<Output = Finding>,
    ) -> bool {
        let start = Instant::now();
        let finding = work.await;
        let good = !finding.is_failed();
        self.add(scope, step, finding, start);
        good
    }

    /// Notes the steps of `scope` among `all` that were not taken, and why.
    pub(super) fn skip_rest(&mut self, scope: &str, all: &[&'static str], reason: &str) {
        for step in all {
            if !self.steps.iter().any(|taken| taken.scope == scope && taken.step == *step) {
                self.add(scope, step, Finding::skipped(reason), Instant::now());
            }
        }
    }

    fn add(&mut self, scope: &str, step: &'static str, finding: Finding, start: Instant) {
        let Finding { mark, kind, message, mend, details } = finding;
        let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.steps.push(Step {
            scope: scope.to_owned(),
            step,
            status: mark,
            kind,
            message,
            mend,
            details,
            millis,
        });
    }
}
