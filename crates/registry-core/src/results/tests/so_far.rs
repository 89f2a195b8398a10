//! A result while it is written.

use super::*;

/// The numbers of the rows that are there for a reader who has got `start` bytes, and where the next one begins.
fn arrived(
    fixture: &Fixture,
    so_far: &RowsSoFar,
    start: u64,
    limit: u64,
    max_bytes: u64,
) -> (Vec<u64>, u64, bool) {
    match fixture.store.arrived(fixture.id, so_far, start, limit, max_bytes).unwrap() {
        Some(RowsArrived { rows, end, is_full, columns }) => {
            assert_eq!(columns.len(), 1);
            (rows.iter().map(|row| row[0].as_u64().unwrap()).collect(), end, is_full)
        }
        None => (vec![], start, false),
    }
}

#[test]
fn rows_are_there_before_the_end_for_one_who_asks() {
    let fixture = Fixture::new();
    let mut writer = fixture.store.writer(fixture.id);
    let so_far = writer.so_far();
    let push = |writer: &mut ResultWriter, number| {
        assert_eq!(writer.push(&[Cell::Int(number)]), Ok(Flow::More));
        writer.show_if_awaited().unwrap();
    };
    let now = |start| arrived(&fixture, &so_far, start, UNLIMITED, UNLIMITED);
    writer.columns(vec![ColumnMeta::new("n", "ANY")]).unwrap();
    push(&mut writer, 0);
    assert_eq!(now(0), (vec![], 0, false), "nobody had asked");
    push(&mut writer, 1);
    assert_eq!(now(0), (vec![0, 1], 8, false), "somebody waited for it");
    push(&mut writer, 2);
    push(&mut writer, 3);
    assert_eq!(now(8), (vec![2], 12, false), "one wish is one look");
    writer.show().unwrap();
    assert_eq!(now(12), (vec![3], 16, false));
    assert_eq!(now(16), (vec![], 16, false));
    writer.finish(None).unwrap();
    assert_eq!(fixture.page(0, 10), Ok(counted(0..4)));
}

#[test]
fn rows_that_nobody_vouches_for_are_not_shown() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer(1);
    let so_far = writer.so_far();
    let text = "x".repeat(1 << 20);
    assert_eq!(writer.push(&[Cell::Text(&text)]), Ok(Flow::More));
    assert!(fs::metadata(fixture.path(".rows")).unwrap().len() > 1 << 20, "it is on disk");
    assert_eq!(arrived(&fixture, &so_far, 0, UNLIMITED, UNLIMITED), (vec![], 0, false));
}

#[test]
fn rows_so_far_come_in_pieces_of_the_size_that_is_wanted() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer(1);
    let so_far = writer.so_far();
    for number in 0..5 {
        assert_eq!(writer.push(&[Cell::Int(number)]), Ok(Flow::More));
    }
    writer.show().unwrap();
    assert_eq!(arrived(&fixture, &so_far, 0, 2, UNLIMITED), (vec![0, 1], 8, true));
    assert_eq!(arrived(&fixture, &so_far, 8, UNLIMITED, 9), (vec![2, 3], 16, true));
    assert_eq!(arrived(&fixture, &so_far, 8, UNLIMITED, 1), (vec![2], 12, true), "one at least");
    assert_eq!(arrived(&fixture, &so_far, 16, 1, UNLIMITED), (vec![4], 20, true));
    assert_eq!(arrived(&fixture, &so_far, 16, UNLIMITED, UNLIMITED), (vec![4], 20, false));
}

#[test]
fn a_new_attempt_shows_nothing_that_was_read_before() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer(1);
    for number in 0..2 {
        assert_eq!(writer.push(&[Cell::Int(number)]), Ok(Flow::More));
    }
    drop(writer);
    let mut again = fixture.writer(1);
    let so_far = again.so_far();
    for (number, seen) in [(0, vec![]), (1, vec![]), (2, vec![2])] {
        assert_eq!(again.push(&[Cell::Int(number)]), Ok(Flow::More));
        again.show().unwrap();
        assert_eq!(arrived(&fixture, &so_far, 8, UNLIMITED, UNLIMITED).0, seen);
    }
}
