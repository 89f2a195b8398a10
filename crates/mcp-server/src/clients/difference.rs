//! What changes in a text, as a person reads it.

use super::covering::covered;
use crate::visible::visible;

const CONTEXT: usize = 3;
/// Longer lines are shown around their first difference.
const WIDTH: usize = 160;
const LEAD: usize = 60;

/// The one stretch in which two texts differ, with a few lines around it; empty when they are the same.
pub fn unified(path: &str, before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(a, b)| a == b).count();
    let head = same(&mut old.iter().zip(&new));
    let shorter = old.len().min(new.len());
    let tail = same(&mut old.iter().rev().zip(new.iter().rev())).min(shorter - head);
    let first = head.saturating_sub(CONTEXT);
    let (old_end, new_end) = (old.len() - tail, new.len() - tail);
    let shown_tail = tail.min(CONTEXT);
    let (old_count, new_count) = (old_end + shown_tail - first, new_end + shown_tail - first);
    let mut out = format!("--- {path}\n+++ {path}\n");
    out.push_str(&format!("@@ -{} +{} @@\n", span(first, old_count), span(first, new_count)));
    // Only from here on, so that a change of a secret is a change.
    let (old_text, new_text) = (covered(before), covered(after));
    let (old, new): (Vec<&str>, Vec<&str>) = (old_text.lines().collect(), new_text.lines().collect());
    let place = first_difference(old.get(head), new.get(head));
    let mut push = |sign: char, lines: Option<&[&str]>| {
        for line in lines.unwrap_or_default() {
            out.push_str(&format!("{sign}{}\n", shown(line, place)));
        }
    };
    push(' ', old.get(first..head));
    push('-', old.get(head..old_end));
    push('+', new.get(head..new_end));
    push(' ', new.get(new_end..new_end + shown_tail));
    out
}

fn span(first: usize, count: usize) -> String {
    let start = if count == 0 { first } else { first + 1 };
    format!("{start},{count}")
}

fn first_difference(old: Option<&&str>, new: Option<&&str>) -> usize {
    let (Some(old), Some(new)) = (old, new) else { return 0 };
    old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count()
}

fn shown(line: &str, place: usize) -> String {
    let length = line.chars().count();
    let line = if length <= WIDTH {
        line.to_owned()
    } else {
        let start = place.saturating_sub(LEAD).min(length - WIDTH);
        let window: String = line.chars().skip(start).take(WIDTH).collect();
        let (left, right) = (if start > 0 { "…" } else { "" }, if start + WIDTH < length { "…" } else { "" });
        format!("{left}{window}{right}")
    };
    line.split('\t').map(visible).collect::<Vec<_>>().join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_shown_with_three_lines_around_it() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n";
        let after = "1\n2\n3\n4\nfive\nmore\n6\n7\n8\n";
        let expected = "--- f\n+++ f\n@@ -2,7 +2,8 @@\n 2\n 3\n 4\n-5\n+five\n+more\n 6\n 7\n 8\n";
        assert_eq!(unified("f", before, after), expected);
    }

    #[test]
    fn the_whole_of_a_new_file_is_shown_and_nothing_of_an_equal_one() {
        assert_eq!(unified("f", "", "a\nb\n"), "--- f\n+++ f\n@@ -0,0 +1,2 @@\n+a\n+b\n");
        assert_eq!(unified("f", "a\n", "a\n"), "");
    }

    #[test]
    fn a_line_that_repeats_is_not_counted_twice() {
        assert_eq!(unified("f", "a\na\n", "a\na\na\n"), "--- f\n+++ f\n@@ -1,2 +1,3 @@\n a\n a\n+a\n");
    }

    #[test]
    fn a_long_line_is_shown_where_it_differs() {
        let before = format!("{{{}}}", "\"k\":1,".repeat(500));
        let after = format!("{before}NEW");
        let shown = unified("f", &before, &after);
        assert!(shown.contains("NEW") && shown.lines().all(|line| line.chars().count() < 170), "{shown}");
    }

    #[test]
    fn no_secret_and_no_escape_reaches_the_terminal() {
        let shown = unified(
            "f",
            "{\n \"API_KEY\": \"abc\"\n}\n",
            "{\n \"API_KEY\": \"abc\",\n \"x\": \"\u{1b}[2J\"\n}\n",
        );
        assert!(!shown.contains("abc") && !shown.contains('\u{1b}'), "{shown}");
    }
}
