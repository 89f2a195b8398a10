//! A stored row read in pieces, so that a cell of any size takes no more memory than is shown of it.

/// A cell of which only the beginning is in the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutCell {
    /// The place of its row in the result.
    pub row: u64,
    /// The place of its column, counted from 0.
    pub column: usize,
    /// The characters of the whole cell.
    pub characters: u64,
}

/// The line of one row in which each text keeps its first characters and loses the others.
///
/// A stored row is flat: what stands between its brackets are words, numbers and texts. So a comma outside of a text
/// ends a cell, and a quotation mark that no backslash escapes ends a text.
#[derive(Debug)]
pub(super) struct Abridged {
    line: Vec<u8>,
    most: u64,
    column: usize,
    /// Characters of the text so far, kept or not.
    characters: u64,
    place: Place,
    cuts: Vec<(usize, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    BetweenTexts,
    InText,
    /// Within an escape that still takes so many bytes.
    Escape(u8),
    AfterBackslash,
}

impl Abridged {
    /// Texts keep their first `most` characters.
    pub(super) fn new(most: u64) -> Self {
        let (line, cuts) = (Vec::new(), Vec::new());
        Self { line, most, column: 0, characters: 0, place: Place::BetweenTexts, cuts }
    }

    /// Begins a new row.
    pub(super) fn clear(&mut self) {
        self.line.clear();
        self.cuts.clear();
        (self.column, self.characters, self.place) = (0, 0, Place::BetweenTexts);
    }

    /// The row as it was kept.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// Columns whose text was cut, and how many characters it has.
    pub(super) fn cuts(&self) -> &[(usize, u64)] {
        &self.cuts
    }

    /// Takes the next piece of the row's line.
    pub(super) fn feed(&mut self, mut piece: &[u8]) {
        while let Some((&byte, rest)) = piece.split_first() {
            piece = match self.place {
                Place::BetweenTexts => self.between_texts(byte, rest),
                Place::InText => self.in_text(piece),
                Place::AfterBackslash => {
                    self.keep(&[byte]);
                    self.place = if byte == b'u' { Place::Escape(4) } else { Place::InText };
                    rest
                }
                Place::Escape(left) => {
                    self.keep(&[byte]);
                    self.place = if left > 1 { Place::Escape(left - 1) } else { Place::InText };
                    rest
                }
            };
        }
    }

    fn between_texts<'a>(&mut self, byte: u8, rest: &'a [u8]) -> &'a [u8] {
        self.line.push(byte);
        match byte {
            b'"' => (self.place, self.characters) = (Place::InText, 0),
            b',' => self.column += 1,
            _ => {}
        }
        rest
    }

    fn in_text<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let plain = piece.iter().position(|&byte| byte == b'"' || byte == b'\\').unwrap_or(piece.len());
        let (text, rest) = piece.split_at(plain);
        self.take(text);
        match rest.split_first() {
            Some((b'"', rest)) => {
                self.line.push(b'"');
                self.place = Place::BetweenTexts;
                if self.characters > self.most {
                    self.cuts.push((self.column, self.characters));
                }
                rest
            }
            Some((_, rest)) => {
                self.characters += 1;
                self.keep(b"\\");
                self.place = Place::AfterBackslash;
                rest
            }
            None => rest,
        }
    }

    /// Keeps what still fits of `text`. Bytes that go on with the character before share its fate.
    fn take(&mut self, text: &[u8]) {
        let is_first = |byte: &u8| *byte & 0xc0 != 0x80;
        let before = self.characters;
        self.characters += text.iter().filter(|byte| is_first(byte)).count() as u64;
        if before > self.most {
            return;
        }
        if self.characters <= self.most {
            return self.line.extend_from_slice(text);
        }
        let room = usize::try_from(self.most - before).unwrap_or(usize::MAX);
        let firsts = text.iter().enumerate().filter(|(_, byte)| is_first(byte));
        let end = firsts.map(|(place, _)| place).nth(room).unwrap_or(text.len());
        self.line.extend(text.iter().take(end));
    }

    /// Keeps a part of an escape if the character that it stands for is kept.
    fn keep(&mut self, bytes: &[u8]) {
        if self.characters <= self.most {
            self.line.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn abridged(line: &str, most: u64, piece: usize) -> (String, Vec<(usize, u64)>) {
        let mut row = Abridged::new(most);
        line.as_bytes().chunks(piece).for_each(|piece| row.feed(piece));
        (String::from_utf8(row.line().to_vec()).unwrap(), row.cuts().to_vec())
    }

    #[test]
    fn a_row_whose_texts_fit_stays_as_it_is_whatever_the_pieces() {
        let line = r#"[1,"é\"\\\u0001,]",null,"",-2.5,"日本語"]"#;
        for piece in 1..line.len() {
            assert_eq!(abridged(line, 6, piece), (line.to_owned(), vec![]), "pieces of {piece}");
        }
    }

    #[test]
    fn each_long_text_keeps_its_beginning_and_its_number_of_characters() {
        let line = r#"["éééé",7,"\u0001\n\"\\x","abc"]"#;
        for piece in 1..line.len() {
            let expected = (r#"["ééé",7,"\u0001\n\"","abc"]"#.to_owned(), vec![(0, 4), (2, 5)]);
            assert_eq!(abridged(line, 3, piece), expected, "pieces of {piece}");
        }
        assert_eq!(abridged(line, 0, 5), (r#"["",7,"",""]"#.to_owned(), vec![(0, 4), (2, 5), (3, 3)]));
    }

    #[test]
    fn a_huge_text_takes_no_memory() {
        let mut row = Abridged::new(10);
        row.feed(b"[\"");
        let piece = [b'x'; 1 << 16];
        (0..1 << 10).for_each(|_| row.feed(&piece));
        row.feed(b"\"]");
        assert_eq!((row.line(), row.cuts()), (&b"[\"xxxxxxxxxx\"]"[..], &[(0, 1 << 26)][..]));
        assert!(row.line.capacity() < 1000);
    }
}
