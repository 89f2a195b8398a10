//! Messages that a document quotes are messages of the program.

use crate::{pages, sources};

/// What varies in a message stands as `…` in the documents.
const VARIES: char = '…';
/// No message has more characters.
const LONGEST: usize = 400;

/// The messages that `docs/troubleshooting.md` explains, each on a line of its own: `> `message``.
fn quoted() -> Vec<String> {
    let page = pages::one("docs/troubleshooting.md");
    let lines = page.text.lines().filter_map(|line| line.strip_prefix("> `")?.strip_suffix('`'));
    lines.map(str::to_owned).collect()
}

/// Whether the pieces follow one another within one message of `text`.
fn says(text: &str, pieces: &[&str]) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return false };
    text.match_indices(first).any(|(at, _)| {
        let mut left: String = text[at + first.len()..].chars().take(LONGEST).collect();
        rest.iter().all(|piece| match left.split_once(piece) {
            Some((_, behind)) => {
                left = behind.to_owned();
                true
            }
            None => false,
        })
    })
}

#[test]
fn the_pieces_of_a_message_stand_together_and_in_their_order() {
    let text = format!("no query {{id}} here, {} far away", " ".repeat(LONGEST));
    assert!(says(&text, &["no query", "here"]));
    assert!(!says(&text, &["here", "no query"]));
    assert!(!says(&text, &["no query", "far away"]));
}

#[test]
fn every_quoted_message_is_in_the_sources() {
    let sources = sources::all();
    let messages = quoted();
    assert!(messages.len() >= 40, "{} messages", messages.len());
    for message in messages {
        let pieces: Vec<&str> =
            message.split(VARIES).map(str::trim).filter(|piece| !piece.is_empty()).collect();
        let known: usize = pieces.iter().map(|piece| piece.len()).sum();
        assert!(known >= 12, "too little to find it by: {message}");
        let home = sources.iter().find(|source| says(&source.text, &pieces));
        assert!(home.is_some(), "no source file says: {message}");
    }
}

#[test]
fn every_quoted_message_is_explained() {
    let page = pages::one("docs/troubleshooting.md");
    let mut lines = page.text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("> `") {
            let next = lines.by_ref().find(|line| !line.starts_with('>') && !line.is_empty());
            let explanation = next.unwrap_or_default();
            assert!(explanation.len() > 30 && !explanation.starts_with('#'), "{line} is not explained");
        }
    }
}
