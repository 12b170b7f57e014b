use super::*;
use crate::Amount;

fn micros(text: &str) -> Timestamp {
    let time: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_micros(time.as_microsecond())
}

fn rule(window: Window) -> Rule {
    Rule::new("r", Unit::Requests, Amount::whole(1), window)
}

/// A window, where, when, and when it begins and ends there.
type Case = (Window, Option<&'static str>, [&'static str; 3]);

const CASES: &[Case] = &[
    (
        Window::Minute,
        None,
        ["2026-03-29T00:59:59.999999Z", "2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z"],
    ),
    (Window::Hour, None, ["2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]),
    (Window::Day, None, ["2026-03-29T12:00:00Z", "2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z"]),
    (Window::Week, None, ["2026-11-29T23:59:59Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"]),
    (Window::Month, None, ["2024-02-29T12:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"]),
    // The clocks go forward: a day of 23 hours, and a week of 167.
    (
        Window::Day,
        Some("Europe/Berlin"),
        ["2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"],
    ),
    (
        Window::Week,
        Some("Europe/Berlin"),
        ["2026-03-29T12:00:00Z", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"],
    ),
    // They go back: a day of 25 hours, in both of its hours between two and three.
    (
        Window::Day,
        Some("Europe/Berlin"),
        ["2026-10-25T00:30:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"],
    ),
    (
        Window::Day,
        Some("Europe/Berlin"),
        ["2026-10-25T01:30:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"],
    ),
    (
        Window::Month,
        Some("America/New_York"),
        ["2026-03-31T23:00:00Z", "2026-03-01T05:00:00Z", "2026-04-01T04:00:00Z"],
    ),
    (
        Window::Month,
        Some("America/New_York"),
        ["2026-04-01T03:59:59Z", "2026-03-01T05:00:00Z", "2026-04-01T04:00:00Z"],
    ),
    // No midnight: the day begins at one.
    (
        Window::Day,
        Some("America/Santiago"),
        ["2026-09-06T12:00:00Z", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"],
    ),
    // Midnight twice: the day begins at the first.
    (
        Window::Day,
        Some("America/Havana"),
        ["2025-11-02T12:00:00Z", "2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z"],
    ),
    // A day that was left out altogether.
    (
        Window::Day,
        Some("Pacific/Apia"),
        ["2011-12-30T09:00:00Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"],
    ),
    (
        Window::Day,
        Some("Asia/Kolkata"),
        ["2026-01-01T00:00:00Z", "2025-12-31T18:30:00Z", "2026-01-01T18:30:00Z"],
    ),
];

#[test]
fn calendar_windows_begin_at_midnight_where_they_are() {
    for (window, zone, [now, starts, ends]) in CASES.iter().copied() {
        let rule = Rule { time_zone: zone.map(str::to_owned), ..rule(window) };
        let schedule = Schedule::new(&rule).unwrap();
        // The second time it is remembered.
        for _ in 0..2 {
            let expected = Span::Window { starts: micros(starts), ends: micros(ends) };
            assert_eq!(schedule.span(micros(now)), expected, "{window:?} in {zone:?} at {now}");
        }
    }
}

#[test]
fn windows_follow_one_another_across_a_year_of_clock_changes() {
    for zone in ["Europe/Berlin", "America/Havana", "America/Santiago", "Australia/Lord_Howe"] {
        for window in [Window::Day, Window::Week, Window::Month] {
            let rule = Rule { time_zone: Some(zone.into()), ..rule(window) };
            let schedule = Schedule::new(&rule).unwrap();
            let mut now = micros("2025-01-01T00:00:00Z");
            while now < micros("2026-01-02T00:00:00Z") {
                let Span::Window { starts, ends } = schedule.span(now) else { panic!("{zone}") };
                assert!(starts <= now && now < ends, "{zone} {window:?}");
                let last = Timestamp::from_micros(ends.as_micros() - 1);
                assert_eq!(schedule.span(last), Span::Window { starts, ends }, "{zone} {window:?}");
                let Span::Window { starts: next, .. } = schedule.span(ends) else { panic!() };
                assert_eq!(next, ends, "{zone} {window:?}: no gap and no overlap");
                now = ends;
            }
        }
    }
}

#[test]
fn far_ends_of_time_have_windows_too() {
    for micros in [i64::MIN, -1, 0, i64::MAX] {
        for window in [Window::Minute, Window::Day, Window::Month] {
            let schedule = Schedule::new(&rule(window)).unwrap();
            let Span::Window { starts, ends } = schedule.span(Timestamp::from_micros(micros))
            else {
                panic!("{window:?}")
            };
            assert!(starts.as_micros() <= micros && ends >= starts, "{window:?} at {micros}");
        }
    }
}
