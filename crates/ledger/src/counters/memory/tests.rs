use std::sync::Arc;
use std::time::Duration;

use doorward_core::RequestId;
use futures_util::FutureExt as _;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::counters::{Claim, ROLLING_PARTS, Span, Subject};

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn window(number: i64) -> Span {
    Span::Window { starts: at(number * 100), ends: at(number * 100 + 100) }
}

fn hold(serial: u64, rule: &str, span: Span, now: i64, most: u64, amount: u64) -> Hold {
    let key = CounterKey { rule: Arc::from(rule), subject: Subject::All };
    Hold {
        id: HoldId { request: RequestId::from_bytes([0; 16]), serial },
        at: at(now),
        until: at(now + 10_000),
        claims: vec![Claim { count: Count { key, span }, most, amount }],
    }
}

fn reserve(counts: &Memory, hold: &Hold) -> Result<(), Option<Full>> {
    match counts.reserve(hold).now_or_never().unwrap() {
        Ok(()) => Ok(()),
        Err(ReserveError::Full(full)) => Err(Some(full)),
        Err(ReserveError::Unavailable(_)) => Err(None),
    }
}

fn used(counts: &Memory, hold: &Hold, now: i64) -> u64 {
    let asked = [hold.claims[0].count.clone()];
    counts.used(&asked, at(now)).now_or_never().unwrap().unwrap()[0].amount
}

#[test]
fn a_caller_that_looked_at_the_clock_before_the_edge_counts_in_the_old_window() {
    let counts = Memory::default();
    let old = hold(1, "r", window(0), 99, 5, 3);
    let new = hold(2, "r", window(1), 100, 5, 4);
    let late = hold(3, "r", window(0), 99, 5, 2);
    for hold in [&old, &new, &late] {
        assert_eq!(reserve(&counts, hold), Ok(()));
    }
    assert!(reserve(&counts, &hold(4, "r", window(0), 99, 5, 1)).is_err(), "the old one is full");
    assert_eq!((used(&counts, &old, 100), used(&counts, &new, 100)), (5, 4));
    counts.settle(&late, &[0]);
    assert_eq!((used(&counts, &old, 100), used(&counts, &new, 100)), (3, 4));
}

#[test]
fn what_is_over_is_cleared_a_few_at_a_time() {
    let counts = Memory::default();
    let most = 50_000;
    for n in 0..most {
        // Each window is over a hundred calls later.
        let span = Span::Window { starts: at(n), ends: at(n + 100) };
        let one = hold(n.unsigned_abs(), &n.to_string(), span, n, 1, 1);
        assert_eq!(reserve(&counts, &one), Ok(()));
        counts.settle(&one, &[1]);
    }
    let kept = counts.lock();
    assert!(kept.places.len() <= 256, "{} places", kept.places.len());
    assert!(kept.tallies.len() <= 256, "{} tallies", kept.tallies.len());
    assert!(kept.open.is_empty());
}

#[test]
fn nothing_goes_uncounted_where_there_is_no_room_for_its_count() {
    let counts = Memory::with_most(10);
    for n in 0..10 {
        assert_eq!(reserve(&counts, &hold(n, &n.to_string(), window(0), 0, 1, 1)), Ok(()));
    }
    assert_eq!(reserve(&counts, &hold(11, "more", window(0), 0, 1, 1)), Err(None));
    let known = hold(12, "0", window(1), 100, 1, 1);
    assert_eq!(reserve(&counts, &known), Ok(()), "one that has its place");
    assert_eq!(
        reserve(&counts, &hold(13, "more", window(1), 100, 1, 1)),
        Ok(()),
        "the old are over"
    );
}

#[test]
fn new_counts_of_one_hold_do_not_sweep_each_other_away() {
    let counts = Memory::default();
    for n in 0..20_u64 {
        let mut all = hold(n, "a", Span::Held, 0, 100, 1);
        for rule in ["b", "c", "d"] {
            let span = Span::Rolling { length: Duration::from_mins(1) };
            all.claims.extend(hold(0, &format!("{rule}{n}"), span, 0, 100, 1).claims);
        }
        assert_eq!(reserve(&counts, &all), Ok(()));
        for claim in &all.claims[1..] {
            let one = Hold { claims: vec![claim.clone()], ..all.clone() };
            assert_eq!(used(&counts, &one, 0), 1, "{claim:?}");
        }
    }
}

#[test]
fn holds_that_were_forgotten_do_not_pile_up() {
    let counts = Memory::default();
    for n in 0..30_000_u64 {
        let now = i64::try_from(n).unwrap();
        let forgotten =
            hold(n, "r", Span::Rolling { length: Duration::from_micros(60) }, now, u64::MAX, 1);
        assert_eq!(reserve(&counts, &forgotten), Ok(()));
    }
    assert!(counts.lock().open.len() <= 20_001);
}

proptest! {
    /// A rolling window against every single amount: never less than the window holds, and never
    /// more than a window holds that is a sixtieth longer.
    #[test]
    fn a_rolling_window_never_counts_too_little_nor_more_than_a_part_too_much(
        steps in proptest::collection::vec((0..50_000_i64, 0..100_u64, any::<bool>()), 1..200)
    ) {
        let length = 60_000;
        let part = length / i64::from(ROLLING_PARTS);
        let span = Span::Rolling { length: Duration::from_millis(60) };
        let counts = Memory::default();
        let (mut now, mut taken) = (0, Vec::new());
        for (serial, (wait, amount, settled)) in steps.into_iter().enumerate() {
            now += wait;
            let one = hold(serial as u64, "r", span, now, 300, amount);
            let within = |reach: i64, taken: &[(i64, u64)]| -> u64 {
                taken.iter().filter(|(at, _)| *at > now - reach).map(|(_, amount)| amount).sum()
            };
            match reserve(&counts, &one) {
                Ok(()) => taken.push((now, amount)),
                Err(full) => {
                    let full = full.unwrap();
                    prop_assert!(within(length + part, &taken) + amount > 300, "refused in vain");
                    // Not before, and at that moment.
                    let room_at = full.room_at.unwrap();
                    let early = Hold { at: at(room_at.as_micros() - 1), ..one.clone() };
                    prop_assert!(room_at.as_micros() > now);
                    prop_assert!(reserve(&counts, &early).is_err());
                    prop_assert_eq!(reserve(&counts, &Hold { at: room_at, ..one }), Ok(()));
                    return Ok(());
                }
            }
            if settled {
                counts.settle(&one, &[amount / 2]);
                if let Some((_, kept)) = taken.last_mut() {
                    *kept = amount / 2;
                }
            }
            let counted = used(&counts, &one, now);
            prop_assert!(counted >= within(length, &taken));
            prop_assert!(counted <= within(length + part, &taken));
        }
    }
}
