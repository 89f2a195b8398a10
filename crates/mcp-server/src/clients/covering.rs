//! A client's file with its secrets covered, so that a person can be shown what changes in it.

use super::secrets::{is_reference, is_secret_name, is_secret_value};

/// What stands in place of a secret.
const HIDDEN: &str = "\"(hidden)\"";

/// The text of a JSON file, comments and all, with every secret hidden and no line more or fewer. Whether a value is a
/// secret may be told by what stands before it: the name of a member, or a flag, on this line or an earlier one.
pub fn covered(text: &str) -> String {
    let mut cover = Cover::default();
    let pieces = pieces(text, true);
    for (place, piece) in pieces.iter().enumerate() {
        let names =
            matches!(pieces.get(place + 1), Some(Piece::Other(next)) if next.trim_start().starts_with(':'));
        match piece {
            Piece::Quoted(quoted) if names => cover.name(quoted),
            Piece::Quoted(quoted) => cover.value(quoted),
            Piece::Other(text) => cover.other(text),
            Piece::Comment(text) => cover.out.push_str(&covered_comment(text)),
        }
    }
    cover.out
}

fn covered_comment(text: &str) -> String {
    let mut cover = Cover::default();
    for piece in pieces(text, false) {
        match piece {
            Piece::Quoted(quoted) => cover.value(quoted),
            Piece::Other(text) | Piece::Comment(text) => cover.prose(text),
        }
    }
    cover.out
}

/// A part of a JSON file.
enum Piece<'a> {
    /// A text with its quotes.
    Quoted(&'a str),
    Comment(&'a str),
    /// What is between them.
    Other(&'a str),
}

fn pieces<'a>(text: &'a str, comments: bool) -> Vec<Piece<'a>> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (length, piece): (usize, fn(&'a str) -> Piece<'a>) = match rest {
            _ if rest.starts_with('"') => (quoted_length(rest), Piece::Quoted),
            _ if comments && rest.starts_with("//") => (end_of(rest, "\n", 0), Piece::Comment),
            _ if comments && rest.starts_with("/*") => (end_of(rest, "*/", 2), Piece::Comment),
            _ => (other_length(rest, comments), Piece::Other),
        };
        let (one, after) = rest.split_at(length);
        pieces.push(piece(one));
        rest = after;
    }
    pieces
}

/// A text ends with its line even where its quote is missing, so that no line is lost.
fn quoted_length(text: &str) -> usize {
    let mut escaped = false;
    for (place, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return place,
            '"' if !escaped => return place + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

fn end_of(text: &str, mark: &str, from: usize) -> usize {
    let found = text.get(from..).and_then(|rest| rest.find(mark));
    found.map_or(text.len(), |place| from + place + if mark == "\n" { 0 } else { mark.len() })
}

fn other_length(text: &str, comments: bool) -> usize {
    let comment =
        |place: usize| text.get(place..).is_some_and(|rest| rest.starts_with("//") || rest.starts_with("/*"));
    let ends = |&(place, c): &(usize, char)| c == '"' || (comments && c == '/' && comment(place));
    text.char_indices().skip(1).find(ends).map_or(text.len(), |(place, _)| place)
}

#[derive(Debug, Default)]
struct Cover {
    out: String,
    /// What comes next belongs to the name of a secret.
    follows: bool,
    depth: usize,
    /// Everything from this depth on is a secret's.
    hides_from: Option<usize>,
}

impl Cover {
    fn name(&mut self, quoted: &str) {
        self.follows = is_secret_name(&inner(quoted));
        self.out.push_str(quoted);
    }

    fn value(&mut self, quoted: &str) {
        let value = inner(quoted);
        let named = self.hides_from.is_some() || (self.follows && !value.starts_with("--"));
        let bare =
            ["Bearer ", "Basic "].iter().find_map(|scheme| value.strip_prefix(scheme)).unwrap_or(&value);
        let secret = !is_reference(bare) && (named || is_secret_value(&value) || has_flag_with_value(&value));
        self.follows = is_secret_flag(&value);
        self.out.push_str(if secret { HIDDEN } else { quoted });
    }

    /// Brackets, commas, numbers.
    fn other(&mut self, text: &str) {
        for c in text.chars() {
            let secret = self.follows || self.hides_from.is_some();
            match c {
                '{' | '[' => self.opens(),
                '}' | ']' => self.closes(),
                _ => {}
            }
            self.out.push(if secret && c.is_ascii_digit() { '*' } else { c });
        }
    }

    fn opens(&mut self) {
        self.depth += 1;
        if std::mem::take(&mut self.follows) {
            self.hides_from.get_or_insert(self.depth);
        }
    }

    fn closes(&mut self) {
        if self.hides_from == Some(self.depth) {
            self.hides_from = None;
        }
        self.depth = self.depth.saturating_sub(1);
        self.follows = false;
    }

    fn prose(&mut self, text: &str) {
        for line in text.split_inclusive('\n') {
            let secret = is_secret_value(line) || has_flag_with_value(line);
            let end = if line.ends_with('\n') { "\n" } else { "" };
            self.out.extend(if secret { [HIDDEN, end] } else { [line, ""] });
        }
    }
}

fn inner(quoted: &str) -> String {
    serde_json::from_str(quoted).unwrap_or_else(|_| quoted.trim_matches('"').to_owned())
}

/// Whether the next argument is a secret, as after `--token` and after `-p`, which often is a password.
fn is_secret_flag(text: &str) -> bool {
    let name = text.trim_start_matches('-');
    text == "-p" || (name.len() < text.len() && !text.contains(['=', ' ']) && is_secret_name(name))
}

/// A whole command line in one text.
fn has_flag_with_value(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let gives = |pair: &[&str]| match pair {
        [flag, value] => is_secret_flag(flag) && !value.starts_with("--") && !is_reference(value),
        _ => false,
    };
    words.windows(2).any(gives)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_hides(text: &str, shown: &[&str]) {
        let covered = covered(text);
        assert!(!covered.contains("hunter2"), "{text} is shown as {covered}");
        assert!(shown.iter().all(|word| covered.contains(word)), "{text} is shown as {covered}");
        assert_eq!(covered.lines().count(), text.lines().count(), "{covered}");
    }

    #[test]
    fn an_argument_after_the_name_of_a_secret_is_hidden_in_every_layout() {
        for args in [
            &["--token", "hunter2", "--port", "80"][..],
            &["--password", "hunter2", "--port", "80"],
            &["--token=hunter2", "--port", "80"],
            &["-p", "hunter2", "--port", "80"],
            &["--api-key", "hunter2", "--port", "80"],
            &["--header", "Authorization: Bearer hunter2", "--port", "80"],
            &["--header", "X-API-Key: hunter2", "--port", "80"],
            &["-c", "serve --token hunter2", "--port", "80"],
        ] {
            let lines: Vec<String> = args.iter().map(|arg| format!("      {arg:?}")).collect();
            let shown = ["(hidden)", "--port", "\"80\""];
            assert_hides(&format!("    \"args\": [\n{}\n    ]", lines.join(",\n")), &shown);
            assert_hides(&format!("    \"args\": [\n{}\n    ]", lines.join(", // a \"b\"\n")), &shown);
            assert_hides(&format!("{{\"args\": {args:?}, \"cwd\": \"/w\"}}"), &shown);
        }
    }

    #[test]
    fn a_member_with_the_name_of_a_secret_is_hidden_with_all_that_it_holds() {
        for text in [
            r#"{"env": {"TOKEN": "hunter2", "PORT": "80"}, "cwd": "/w"}"#,
            r#"{"env": {"DB_PASS": "hunter2"}, "cwd": "/w"}"#,
            r#"{"headers": {"Authorization": "Bearer hunter2"}, "cwd": "/w"}"#,
            r#"{"TOKEN": {"value": "hunter2", "other": ["hunter2"]}, "cwd": "/w"}"#,
            r#"{"a": "\"", "TOKEN": "hunter2\"hunter2", "cwd": "/w"}"#,
            "\"TOKEN\":\n  \"hunter2\",\n\"cwd\": \"/w\"",
            "// \"--token\", \"hunter2\"\n\"cwd\": \"/w\"",
            "/* token=hunter2\n */ \"cwd\": \"/w\"",
        ] {
            assert_hides(text, &["(hidden)", "\"/w\""]);
        }
        assert_eq!(covered(r#"{"password": 1234, "port": 80}"#), r#"{"password": ****, "port": 80}"#);
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        for text in [
            r#""args": ["--port", "80", "--token-file", "/t", "--password", "${env:PW}"]"#,
            r#""args": ["--no-password", "--port", "80"], // it takes "--token""#,
            r#""TOKEN": "${env:TOKEN}", "x": {"y": ["-p"]}, "port": 80"#,
            "{\"headers\": {\"Authorization\": \"Bearer ${input:key}\"}}",
            "\"no end\n \"x\": 1 /* no end",
            "",
        ] {
            assert_eq!(covered(text), text);
        }
    }
}
