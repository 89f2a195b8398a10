//! The question before a change.

use crate::stdio;

/// What was said to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// There is no terminal to ask at.
    Nobody,
}

/// Asks at the terminal; anything but a yes is a no.
pub(super) async fn ask(question: &str) -> Answer {
    if !stdio::stdin_is_terminal() || !stdio::stderr_is_terminal() {
        return Answer::Nobody;
    }
    stdio::tell(&format!("{question} [y/N] ")).await;
    meant(&stdio::read_line().await.unwrap_or_default())
}

fn meant(line: &str) -> Answer {
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Answer::Yes,
        _ => Answer::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for yes in ["y\n", "Yes\r\n", " YES"] {
            assert_eq!(meant(yes), Answer::Yes, "{yes:?}");
        }
        for no in ["", "\n", "n\n", "yep\n", "yy"] {
            assert_eq!(meant(no), Answer::No, "{no:?}");
        }
    }
}
