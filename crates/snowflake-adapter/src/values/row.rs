//! One row on its way from an engine's bytes to the result store.

use std::ops::Range;

use registry_core::results::Cell;

/// The cells of one row, and the text they are made of. It is used again for the next row.
#[derive(Debug, Default)]
pub(crate) struct RowBuffer {
    text: String,
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

/// A cell without its text, which may still move.
#[derive(Debug, Clone)]
enum Slot {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Decimal(Range<usize>),
    Text(Range<usize>),
    Bytes(Range<usize>),
}

impl RowBuffer {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.bytes.clear();
        self.slots.clear();
        // One huge value shall not cost its memory for the rest of the result.
        self.text.shrink_to(1 << 20);
        self.bytes.shrink_to(1 << 20);
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn null(&mut self) {
        self.slots.push(Slot::Null);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.slots.push(Slot::Bool(value));
    }

    pub(crate) fn int(&mut self, value: i64) {
        self.slots.push(Slot::Int(value));
    }

    pub(crate) fn float(&mut self, value: f64) {
        self.slots.push(Slot::Float(value));
    }

    pub(crate) fn decimal(&mut self, text: &str) {
        let range = self.append(text);
        self.slots.push(Slot::Decimal(range));
    }

    pub(crate) fn text(&mut self, text: &str) {
        let range = self.append(text);
        self.slots.push(Slot::Text(range));
    }

    /// Text that `write` composes; when it cannot, `otherwise`.
    pub(crate) fn composed(&mut self, otherwise: &str, write: impl FnOnce(&mut String) -> Option<()>) {
        let start = self.text.len();
        if write(&mut self.text).is_none() {
            self.text.truncate(start);
            self.text.push_str(otherwise);
        }
        self.slots.push(Slot::Text(start..self.text.len()));
    }

    /// Bytes that `write` appends; when it cannot, `otherwise` as text.
    pub(crate) fn binary(&mut self, otherwise: &str, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) {
        let start = self.bytes.len();
        match write(&mut self.bytes) {
            Some(()) => self.slots.push(Slot::Bytes(start..self.bytes.len())),
            None => {
                self.bytes.truncate(start);
                self.text(otherwise);
            }
        }
    }

    /// The row as the result store takes it.
    pub(crate) fn cells(&self) -> Vec<Cell<'_>> {
        self.slots.iter().map(|slot| self.cell(slot)).collect()
    }

    fn cell(&self, slot: &Slot) -> Cell<'_> {
        match slot {
            Slot::Null => Cell::Null,
            Slot::Bool(value) => Cell::Bool(*value),
            Slot::Int(value) => Cell::Int(*value),
            Slot::Float(value) => Cell::Float(*value),
            Slot::Decimal(range) => Cell::Decimal(&self.text[range.clone()]),
            Slot::Text(range) => Cell::Text(&self.text[range.clone()]),
            Slot::Bytes(range) => Cell::Bytes(&self.bytes[range.clone()]),
        }
    }

    fn append(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }
}
