//! The index file: where every [`STRIDE`]th row begins and, at its end, the proof that the result is complete.
//!
//! It begins with the token of its writer. The offsets follow, eight little-endian bytes each, and last the summary:
//! rows, bytes and columns of the result and a mark. The summary is written after everything else, so a file without
//! it belongs to a writer that is still busy or died.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{ResultStoreError, STRIDE, files};

/// Tells one writer's files from another's.
pub(super) type Token = [u8; 16];

const TOKEN_BYTES: u64 = 16;
const OFFSET_BYTES: u64 = 8;
const SUMMARY_BYTES: u64 = 32;
const MARK: [u8; 8] = *b"rows-v1\n";
/// Holds the offsets that a large page needs; a small one should not read more.
const READ_BUFFER: usize = 1024;

/// What a complete result consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) columns: u64,
}

impl Summary {
    fn to_bytes(self) -> [u8; SUMMARY_BYTES as usize] {
        let numbers = [self.rows, self.bytes, self.columns].map(u64::to_le_bytes);
        let mut bytes = [0; SUMMARY_BYTES as usize];
        for (field, value) in bytes.chunks_exact_mut(8).zip(numbers.iter().chain([&MARK])) {
            field.copy_from_slice(value);
        }
        bytes
    }

    fn blocks(self) -> u64 {
        self.rows.div_ceil(STRIDE)
    }
}

/// The token in the index at `path`.
pub(super) fn token(path: &Path) -> io::Result<Token> {
    let mut token = Token::default();
    File::open(path)?.read_exact(&mut token)?;
    Ok(token)
}

/// An index on its way to disk.
#[derive(Debug)]
pub(super) struct IndexWriter {
    path: PathBuf,
    out: BufWriter<File>,
}

impl IndexWriter {
    /// Makes the file; its token is in it when this returns.
    pub(super) fn create(path: &Path, token: &Token) -> Result<Self, ResultStoreError> {
        let mut file = files::create(path)?;
        file.write_all(token).map_err(|error| files::failed(path, &error))?;
        Ok(Self { path: path.to_owned(), out: BufWriter::new(file) })
    }

    /// Notes that the next block of rows begins at byte `offset` of the rows file.
    pub(super) fn add(&mut self, offset: u64) -> Result<(), ResultStoreError> {
        self.out.write_all(&offset.to_le_bytes()).map_err(|error| files::failed(&self.path, &error))
    }

    /// Declares the result complete.
    pub(super) fn finish(&mut self, summary: Summary, sync: bool) -> Result<(), ResultStoreError> {
        self.try_finish(summary, sync).map_err(|error| files::failed(&self.path, &error))
    }

    fn try_finish(&mut self, summary: Summary, sync: bool) -> io::Result<()> {
        self.out.write_all(&summary.to_bytes())?;
        self.out.flush()?;
        if sync {
            self.out.get_ref().sync_all()?;
        }
        Ok(())
    }
}

/// A complete index, read from some block on.
#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    offsets: BufReader<File>,
    next_block: u64,
    last: u64,
    summary: Summary,
}

impl Index {
    /// Opens the index at `path`; one without a summary, or with one that cannot be true, is damaged.
    pub(super) fn open(path: &Path) -> Result<Self, ResultStoreError> {
        let read = |error| files::unreadable(path, &error);
        let mut file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        let blocks = length.checked_sub(TOKEN_BYTES + SUMMARY_BYTES).ok_or_else(unfinished)?;
        file.seek(SeekFrom::Start(length - SUMMARY_BYTES)).map_err(read)?;
        let mut numbers = [0; 3];
        for number in &mut numbers {
            *number = read_number(&mut file).map_err(read)?;
        }
        if read_number(&mut file).map_err(read)?.to_le_bytes() != MARK {
            return Err(unfinished());
        }
        let [rows, bytes, columns] = numbers;
        let summary = Summary { rows, bytes, columns };
        if blocks != summary.blocks() * OFFSET_BYTES {
            return Err(damaged("the index has not as many entries as its result needs"));
        }
        let offsets = BufReader::with_capacity(READ_BUFFER, file);
        Ok(Self { path: path.to_owned(), offsets, next_block: 0, last: 0, summary })
    }

    pub(super) fn summary(&self) -> Summary {
        self.summary
    }

    /// Moves to the block that holds row `row` and tells where it begins.
    pub(super) fn seek(&mut self, row: u64) -> Result<u64, ResultStoreError> {
        self.next_block = row / STRIDE;
        let place = TOKEN_BYTES + self.next_block * OFFSET_BYTES;
        self.offsets.seek(SeekFrom::Start(place)).map_err(|error| files::unreadable(&self.path, &error))?;
        self.last = 0;
        if self.next_block > 0 {
            return self.next();
        }
        match self.read()? {
            0 => Ok(0),
            _ => Err(damaged("the first row does not begin at the beginning")),
        }
    }

    /// Where the block after the last one told begins, which is where that one ends.
    pub(super) fn next(&mut self) -> Result<u64, ResultStoreError> {
        let offset = if self.next_block < self.summary.blocks() { self.read()? } else { self.summary.bytes };
        if offset <= self.last || offset > self.summary.bytes {
            return Err(damaged("the index does not ascend"));
        }
        self.last = offset;
        Ok(offset)
    }

    fn read(&mut self) -> Result<u64, ResultStoreError> {
        self.next_block += 1;
        read_number(&mut self.offsets).map_err(|error| files::unreadable(&self.path, &error))
    }
}

fn read_number(from: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn unfinished() -> ResultStoreError {
    damaged("they were not written to their end")
}

pub(super) fn damaged(how: &str) -> ResultStoreError {
    ResultStoreError::Damaged(how.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SUMMARY: Summary = Summary { rows: 2 * STRIDE + 1, bytes: 900, columns: 3 };

    fn index(offsets: &[u64], summary: Summary) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("i");
        let mut writer = IndexWriter::create(&path, &[7; 16]).unwrap();
        offsets.iter().for_each(|&offset| writer.add(offset).unwrap());
        writer.finish(summary, true).unwrap();
        (directory, path)
    }

    fn is_damaged<T>(result: Result<T, ResultStoreError>) -> bool {
        matches!(result, Err(ResultStoreError::Damaged(_)))
    }

    #[test]
    fn an_index_tells_begin_and_end_of_every_block() {
        let (_directory, path) = index(&[0, 300, 600], SUMMARY);
        let mut index = Index::open(&path).unwrap();
        assert_eq!(index.summary(), SUMMARY);
        assert_eq!(index.seek(0), Ok(0));
        assert_eq!([index.next(), index.next(), index.next()], [Ok(300), Ok(600), Ok(900)]);
        assert_eq!(index.seek(STRIDE), Ok(300));
        assert_eq!(index.next(), Ok(600));
        assert_eq!(index.seek(2 * STRIDE), Ok(600));
        assert_eq!(index.next(), Ok(900));
        assert_eq!(token(&path).unwrap(), [7; 16]);
    }

    #[test]
    fn an_index_cut_anywhere_is_damaged() {
        let (_directory, path) = index(&[0, 300, 600], SUMMARY);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(is_damaged(Index::open(&path)), "{length} bytes");
        }
    }

    #[test]
    fn an_index_without_its_mark_is_damaged() {
        let (_directory, path) = index(&[0, 300, 600], SUMMARY);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() = 0;
        fs::write(&path, &bytes).unwrap();
        assert!(is_damaged(Index::open(&path)));
    }

    #[test]
    fn an_index_with_too_few_or_too_many_entries_is_damaged() {
        for offsets in [&[0, 300][..], &[0, 300, 600, 700]] {
            assert!(is_damaged(Index::open(&index(offsets, SUMMARY).1)));
        }
        let endless = Summary { rows: u64::MAX, bytes: u64::MAX, columns: u64::MAX };
        assert!(is_damaged(Index::open(&index(&[0], endless).1)));
    }

    #[test]
    fn offsets_that_do_not_ascend_are_damaged() {
        for offsets in [[1, 300, 600], [0, 0, 0], [0, 901, 902]] {
            let (_directory, path) = index(&offsets, SUMMARY);
            let mut index = Index::open(&path).unwrap();
            assert!(is_damaged(index.seek(0).and_then(|_| index.next())), "{offsets:?}");
        }
        let (_directory, path) = index(&[0, 600, 300], SUMMARY);
        let mut index = Index::open(&path).unwrap();
        assert_eq!(index.seek(STRIDE), Ok(600));
        assert!(is_damaged(index.next()));
    }
}
