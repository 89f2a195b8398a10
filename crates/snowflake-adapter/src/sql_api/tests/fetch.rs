//! Rows.

use super::*;

#[tokio::test]
async fn all_parts_arrive_in_order() {
    let mut bench = Bench::new([result(&[2, 3, 1]), later_part(2, 3), later_part(5, 1)]).await;
    bench.check().await.unwrap();
    let stored = bench.fetch().await.unwrap();
    assert_eq!((stored.rows, stored.total_rows, stored.truncated), (6, Some(6), None));
    let numbers: Vec<Value> = bench.rows().into_iter().flatten().collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6].map(|number| json!(number)));
    let parts: Vec<_> = bench.seen().iter().map(|seen| seen.query("partition").map(str::to_owned)).collect();
    assert_eq!(parts, [None, Some("1".to_owned()), Some("2".to_owned())]);
}

#[tokio::test]
async fn a_second_fetch_asks_for_the_first_part_again() {
    let mut bench = Bench::new([result(&[2]), result(&[2])]).await;
    bench.check().await.unwrap();
    assert_eq!(bench.fetch().await.unwrap().rows, 2);
    assert_eq!(bench.fetch().await.unwrap().rows, 2);
    assert_eq!(bench.seen().len(), 2);
}

#[tokio::test]
async fn a_fetch_without_a_check_before_it_works() {
    let mut bench = Bench::new([result(&[1, 1]), later_part(1, 1)]).await;
    assert_eq!(bench.fetch().await.unwrap().rows, 2);
}

#[tokio::test]
async fn a_part_that_breaks_off_is_asked_for_again() {
    for broken in [Step::DropAfter, Step::status(503), Step::status(429), later_part(1, 500).cut(8)] {
        let mut bench = Bench::new([result(&[1, 500]), broken, later_part(1, 500)]).await;
        assert_eq!(bench.fetch().await.unwrap().rows, 501);
    }
}

#[tokio::test]
async fn a_part_with_too_few_rows_is_no_part() {
    let mut bench = Bench::new([result(&[1, 3]), later_part(1, 2)]).await;
    let Err(FetchError::Retry(error)) = bench.fetch().await else { panic!() };
    assert!(error.0.message.contains("2 rows where 3 were announced"), "{error}");
}

#[tokio::test]
async fn a_part_that_is_larger_than_announced_is_refused() {
    let large = Step::gzip(200, &format!("{{\"data\":[[\"{}\"]]}}", "1".repeat(3 << 20)));
    let mut bench = Bench::new([result(&[1, 1]), large]).await;
    assert_eq!(lost(bench.fetch().await).kind, ErrorKind::Protocol);
}

#[tokio::test]
async fn rows_that_are_gone_are_told_for_good() {
    for step in [coded(404, "000709"), coded(422, "000709")] {
        let mut bench = Bench::new([step]).await;
        let error = lost(bench.fetch().await);
        assert_eq!(error.kind, ErrorKind::ResultFetch);
        assert!(error.message.contains("submit the statement again"), "{}", error.message);
    }
}

#[tokio::test]
async fn a_full_result_store_ends_the_fetch_early() {
    let limits = ResultLimits { max_rows: 2, ..ResultLimits::default() };
    // The second part never comes: nobody waits for it.
    let mut bench = Bench::with([result(&[3, 3, 3]), Step::Hang], limits, |_| {}).await;
    let stored = bench.fetch().await.unwrap();
    assert_eq!((stored.rows, stored.total_rows), (2, Some(9)));
    assert_eq!(stored.truncated, Some(Truncation::RowCeiling));
}

#[tokio::test]
async fn a_full_result_does_not_fail_for_a_part_that_nobody_needs() {
    let limits = ResultLimits { max_rows: 2, ..ResultLimits::default() };
    let mut bench = Bench::with([result(&[3, 3]), coded(404, "000709")], limits, |_| {}).await;
    assert_eq!(bench.fetch().await.unwrap().rows, 2);
}

#[tokio::test]
async fn a_result_that_snowflake_cut_short_says_so() {
    let mut bench = Bench::new([result_with_code(&[2], "391908")]).await;
    assert_eq!(bench.check().await, Ok(Progress::Succeeded(Rows::AtEngine)));
    let stored = bench.fetch().await.unwrap();
    assert_eq!((stored.rows, stored.total_rows, stored.truncated), (2, None, Some(Truncation::ByteCeiling)));
}

#[tokio::test]
async fn a_dropped_fetch_can_be_made_again() {
    let mut bench = Bench::new([result(&[1, 1]), Step::Hang, result(&[1, 1]), later_part(1, 1)]).await;
    bench.check().await.unwrap();
    let arrived = Arc::clone(&bench.server.arrived);
    arrived.notified().await;
    tokio::select! {
        _ = bench.fetch() => panic!("the second part never came"),
        () = arrived.notified() => {}
    }
    assert_eq!(bench.fetch().await.unwrap().rows, 2);
}

/// The peak of this process's memory, in MB.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "measures the whole process: run it alone"]
async fn a_million_rows_need_less_than_150_mb() {
    const PART: u64 = 50_000;
    let row = |number: u64| json!([number.to_string(), "x".repeat(150), "1616173619.123456789", null]);
    let data = |after: u64| (after + 1..=after + PART).map(row).collect::<Vec<_>>();
    let sizes = vec![json!({"rowCount": PART, "uncompressedSize": PART * 190}); 20];
    let columns = [("A", "fixed", 0), ("B", "text", 0), ("C", "timestamp_ntz", 9), ("D", "boolean", 0)];
    let types: Vec<Value> = columns
        .iter()
        .map(|(name, kind, scale)| json!({"name": name, "type": kind, "scale": scale}))
        .collect();
    let first = json!({"resultSetMetaData": {"numRows": 20 * PART, "rowType": types, "partitionInfo": sizes},
        "data": data(0), "code": "090001", "statementHandle": HANDLE});
    let mut steps = vec![Step::json(200, first.to_string())];
    drop(first);
    let later = |part: u64| Step::gzip(200, &json!({"data": data(part * PART)}).to_string());
    steps.extend((1..20).map(later));
    let limits = ResultLimits { max_rows: u64::MAX, max_bytes: u64::MAX };
    let mut bench = Bench::with(steps, limits, |_| {}).await;
    // The script was made in this process; what it took is forgotten before the measuring begins.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let (before, started) = (peak(), std::time::Instant::now());
    assert_eq!(bench.fetch().await.unwrap().rows, 20 * PART);
    println!("before {before} MB, peak {} MB, {:?}", peak(), started.elapsed());
    assert!(peak() < 150, "{} MB", peak());
}
