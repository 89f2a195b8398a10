//! Parts of documents that are made by a test: compared with what stands there, or written anew.

use std::fs;
use std::sync::{Mutex, PoisonError};

use crate::pages;

/// Two tests may make parts of one page.
static WRITING: Mutex<()> = Mutex::new(());

/// The part called `name` of `page` is `made`, as far as `same` tells; with `UPDATE_DOCUMENTS` set, it becomes so.
pub(crate) fn part(page: &str, name: &str, made: &str, same: impl Fn(&str, &str) -> bool) {
    let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let text = pages::one(page).text;
    let (open, close) = (format!("<!-- made: {name} -->\n"), "<!-- end -->");
    let (before, rest) = text.split_once(&open).unwrap_or_else(|| panic!("{page} has no {open}"));
    let (found, after) = rest.split_once(close).unwrap_or_else(|| panic!("{page} has no {close} for {name}"));
    if same(found, made) {
        return;
    }
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        fs::write(pages::root().join(page), format!("{before}{open}{made}{close}{after}")).unwrap();
        return;
    }
    let first = found.lines().zip(made.lines()).find(|(found, made)| found != made);
    panic!(
        "the part {name} of {page} is not what the program says now; write it anew with\n  UPDATE_DOCUMENTS=1 cargo \
         test -p mcp-server --test documents\nfirst difference: {first:#?}"
    );
}

pub(crate) fn exactly(found: &str, made: &str) -> bool {
    found == made
}
