//! The id of a request that cannot be read as a whole, found byte by byte so that nothing of it has to be kept.

use rmcp::model::RequestId;

/// No key or id that matters is longer.
const LONGEST: usize = 256;

/// What is known of the id of a message.
#[derive(Debug, Default)]
pub(super) struct CallId {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The key or the value that is being read in the message itself.
    word: Vec<u8>,
    key: Key,
    has_method: bool,
    has_id: bool,
    id: Option<RequestId>,
    /// How the value of `params` begins.
    params: Option<u8>,
}

/// Whose value is being read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Key {
    Id,
    Params,
    #[default]
    Other,
}

impl CallId {
    /// The id in the beginning of a message.
    pub(super) fn of(text: &[u8]) -> Self {
        let mut id = Self::default();
        id.read(text);
        id
    }

    /// Reads on.
    pub(super) fn read(&mut self, text: &[u8]) {
        text.iter().for_each(|byte| self.take(*byte));
    }

    /// The id of the request, if it is one: beside no method, an id would be one of ours.
    pub(super) fn found(self) -> Option<RequestId> {
        self.id.filter(|_| self.has_method)
    }

    /// Nobody waits for an answer.
    pub(super) fn is_of_a_notification(&self) -> bool {
        self.has_method && !self.has_id
    }

    /// It is a request whose parameters are no object, which no method takes.
    pub(super) fn has_odd_params(&self) -> bool {
        self.has_method && self.params.is_some_and(|first| first != b'{')
    }

    fn take(&mut self, byte: u8) {
        if self.in_string {
            self.keep(byte);
            self.in_string = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return;
        }
        match byte {
            b'{' | b'[' => {
                self.keep(byte);
                self.depth += 1;
            }
            b'}' | b']' => {
                self.end_member();
                self.depth = self.depth.saturating_sub(1);
            }
            b',' => self.end_member(),
            b':' if self.depth == 1 => self.end_key(),
            b' ' | b'\t' | b'\r' => {}
            _ => {
                self.in_string = byte == b'"';
                self.keep(byte);
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.depth == 1 && self.word.len() < LONGEST {
            self.word.push(byte);
        }
    }

    fn end_key(&mut self) {
        self.key = match self.word.as_slice() {
            b"\"id\"" => Key::Id,
            b"\"params\"" => Key::Params,
            _ => Key::Other,
        };
        self.has_id |= self.key == Key::Id;
        self.has_method |= self.word == b"\"method\"";
        self.word.clear();
    }

    fn end_member(&mut self) {
        if self.depth != 1 {
            return;
        }
        match std::mem::take(&mut self.key) {
            Key::Id => self.id = serde_json::from_slice(&self.word).ok(),
            Key::Params => self.params = self.word.first().copied(),
            Key::Other => {}
        }
        self.word.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<RequestId> {
        let whole = CallId::of(text.as_bytes()).found();
        let mut in_pieces = CallId::default();
        text.as_bytes().chunks(1).for_each(|piece| in_pieces.read(piece));
        assert_eq!(in_pieces.found(), whole);
        whole
    }

    #[test]
    fn the_id_is_found_wherever_the_message_has_it() {
        for (text, id) in [
            (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"#, RequestId::Number(7)),
            (
                r#"{"method":"x","params":{"id":1,"a":["id",{"id":2}]},"jsonrpc":"2.0","id":7}"#,
                RequestId::Number(7),
            ),
            (r#" { "method" : "x\"}" , "id" : "a\\\"b" , "#, RequestId::String(r#"a\"b"#.into())),
        ] {
            assert_eq!(found(text), Some(id), "{text}");
        }
    }

    #[test]
    fn what_is_no_id_of_a_request_is_not_taken_for_one() {
        for text in [
            "",
            "no json",
            r#"{"id":7}"#,
            r#"{"id":7,"result":{"method":"x"}}"#,
            r#"{"method":"x","params":{"id":7}}"#,
            r#"{"method":"x","id":7"#,
            r#"{"method":"x","id":{"a":7},"#,
            r#"{"method":"x","id":1.5,"#,
            r#"[{"method":"x","id":7}]"#,
            r#""id":7,"method":"x","#,
        ] {
            assert_eq!(found(text), None, "{text}");
        }
        let long = format!(r#"{{"method":"x","id":"{}","#, "7".repeat(LONGEST));
        assert_eq!(found(&long), None);
    }

    #[test]
    fn parameters_that_are_no_object_are_noticed() {
        for (params, odd) in
            [("[]", true), ("5", true), ("\"x\"", true), ("{}", false), ("{\"params\":5}", false)]
        {
            let message = format!(r#"{{"method":"x","params":{params},"id":1}}"#);
            assert_eq!(CallId::of(message.as_bytes()).has_odd_params(), odd, "{params}");
        }
    }

    #[test]
    fn a_notification_is_told_from_a_request() {
        assert!(CallId::of(br#"{"method":"x","params":{"id":1}"#).is_of_a_notification());
        assert!(!CallId::of(br#"{"id":null,"method":"x","params":{"#).is_of_a_notification());
        assert!(!CallId::of(br#"{"result":{}"#).is_of_a_notification());
    }
}
