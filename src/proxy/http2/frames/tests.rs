use proptest::prelude::*;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

fn greeted(now: Instant) -> Frames {
    let mut frames = Frames::new(now);
    frames.feed(PREFACE, now).unwrap();
    frames.feed(&frame(0x4, 0, 0, &[]), now).unwrap();
    frames
}

/// How many of these pass at one moment.
fn passing(one: &[u8]) -> (u32, Excess) {
    let now = Instant::now();
    let mut frames = greeted(now);
    let mut passed = 0;
    loop {
        match frames.feed(one, now) {
            Ok(()) => passed += 1,
            Err(excess) => return (passed, excess),
        }
        assert!(passed < 100_000);
    }
}

#[test]
fn what_costs_a_client_nothing_is_bounded_by_kind() {
    // The settings of the greeting are one of the thousand.
    for (what, one, passes, excess) in [
        ("reset", frame(0x3, 0, 1, &[0; 4]), 200, Excess::Resets),
        ("ping", frame(0x6, 0, 0, &[0; 8]), 999, Excess::IdleTalk),
        ("settings", frame(0x4, 0, 0, &[]), 999, Excess::IdleTalk),
        ("priority", frame(0x2, 0, 1, &[0; 5]), 999, Excess::IdleTalk),
        ("push", frame(0x5, 4, 1, &[0; 5]), 999, Excess::IdleTalk),
        ("goaway", frame(0x7, 0, 0, &[0; 8]), 999, Excess::IdleTalk),
        ("unknown", frame(0xfe, 0, 1, b"x"), 999, Excess::IdleTalk),
        ("no data", frame(0x0, 0, 1, &[]), 999, Excess::IdleTalk),
        ("going on", frame(0x9, 0, 1, b"x"), 999, Excess::IdleTalk),
        (
            "window",
            frame(0x8, 0, 1, &[0; 4]),
            20_000,
            Excess::IdleTalk,
        ),
    ] {
        assert_eq!(passing(&one), (passes, excess), "{what}");
    }
}

#[test]
fn requests_and_their_data_are_not_counted_here() {
    let now = Instant::now();
    let mut frames = greeted(now);
    for stream in 0..50_000 {
        let request = frame(HEADERS, END_HEADERS, 2 * stream + 1, b"\x82");
        frames.feed(&request, now).unwrap();
        frames.feed(&frame(DATA, 0, 1, b"x"), now).unwrap();
    }
}

#[test]
fn what_was_used_up_comes_back_with_time_and_no_more_than_there_was() {
    let now = Instant::now();
    let mut budget = Budget::new(200, 20);
    let mut many = |count, at| (0..count).find(|_| budget.take(at).is_none());
    assert_eq!(many(201, now), Some(200));
    assert_eq!(many(21, now + Duration::from_secs(1)), Some(20));
    assert_eq!(many(301, now + Duration::from_hours(1)), Some(200));
}

#[test]
fn what_has_begun_must_end_and_data_may_take_its_time() {
    let start = Instant::now();
    let mut frames = Frames::new(start);
    let mut at = start;
    let mut after = |bytes: &[u8]| {
        at += Duration::from_secs(1);
        frames.feed(bytes, at).unwrap();
        frames.deadline(PATIENCE).map(|end| (end - start).as_secs())
    };
    assert_eq!(after(&PREFACE[..10]), Some(10), "the preface");
    assert_eq!(after(&PREFACE[10..]), Some(10), "and the settings");
    assert_eq!(after(&frame(0x4, 0, 0, &[0; 6])), None);
    let fields = frame(HEADERS, 0, 1, b"abc");
    assert_eq!(after(&fields[..1]), Some(14), "the first byte of a frame");
    assert_eq!(after(&fields[1..9]), Some(14));
    assert_eq!(after(&fields[9..10]), Some(14));
    assert_eq!(after(&fields[10..]), Some(14), "the list goes on");
    assert_eq!(after(&frame(CONTINUATION, 0, 1, b"")), Some(14));
    assert_eq!(after(&frame(CONTINUATION, END_HEADERS, 1, b"x")), None);
    let data = frame(DATA, 0, 1, b"abc");
    assert_eq!(after(&data[..8]), Some(20), "it could be anything");
    assert_eq!(after(&data[8..10]), None);
    assert_eq!(after(&data[10..]), None);
    assert_eq!(after(&frame(0x6, 0, 0, &[0; 8])[..9]), Some(23));
}

#[test]
fn the_farewell_names_the_last_stream() {
    let now = Instant::now();
    let mut frames = greeted(now);
    for stream in [1, 7, 5] {
        let request = frame(HEADERS, END_HEADERS, stream, b"\x82");
        frames.feed(&request, now).unwrap();
    }
    let said = frame(0x7, 0, 0, &[0, 0, 0, 7, 0, 0, 0, 0xb]);
    assert_eq!(frames.farewell().as_slice(), said);
}

proptest! {
    /// No bytes panic, and how they are cut changes nothing.
    #[test]
    fn how_frames_are_cut_changes_nothing(
        kinds in proptest::collection::vec((0_u8..12, 0_u8..8, 0_usize..20), 0..20),
        cut in 0_usize..400,
    ) {
        let now = Instant::now();
        let mut bytes = PREFACE.to_vec();
        for (kind, flags, length) in kinds {
            bytes.extend(frame(kind, flags, 1, &vec![0; length]));
        }
        let mut whole = Frames::new(now);
        let once = whole.feed(&bytes, now);
        let mut parts = Frames::new(now);
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        let twice = parts.feed(first, now).and_then(|()| parts.feed(second, now));
        prop_assert_eq!(once, twice);
        prop_assert_eq!(format!("{whole:?}"), format!("{parts:?}"));
    }
}
