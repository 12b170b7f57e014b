//! What every store of counts must do.
#![expect(clippy::expect_used, reason = "a suite fails by panicking, as a test does")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use doorward_core::Timestamp;
use doorward_ledger::{Claim, CounterKey, Counters, Full};

/// Puts counters through everything that [`Counters`] promises. `make` gives fresh, empty ones.
///
/// # Panics
///
/// Where they break a promise.
pub fn counters_conform(make: impl Fn() -> Arc<dyn Counters>) {
    what_is_reserved_is_used(&*make());
    the_limit_is_reached_and_not_passed(&*make());
    all_claims_are_added_or_none(&*make());
    subjects_and_rules_count_apart(&*make());
    settling_puts_what_was_spent_in_place(&*make());
    a_new_window_begins_at_nothing(&*make());
    a_window_that_is_over_is_left_alone(&*make());
    huge_amounts_do_not_wrap(&*make());
    concurrent_callers_never_pass_the_limit(&make());
}

const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// A claim on the current window.
fn claim(rule: &str, most: u64, amount: u64) -> Claim {
    claim_of(rule, "", 0, most, amount)
}

fn claim_of(rule: &str, subject: &str, window: i64, most: u64, amount: u64) -> Claim {
    let key = CounterKey { rule: rule.into(), subject: subject.into() };
    let ends = Timestamp::from_micros(NOW.as_micros() + (window + 1) * 60_000_000);
    Claim { key, window, ends, most, amount }
}

/// How much is used of the window that a claim is on.
fn used(counters: &dyn Counters, claim: &Claim) -> u64 {
    counters.used(&claim.key, claim.window)
}

fn what_is_reserved_is_used(counters: &dyn Counters) {
    let wanted = claim("calls", 10, 3);
    assert_eq!(used(counters, &wanted), 0, "nothing yet");
    assert_eq!(counters.reserve(&[], NOW), Ok(()), "nothing wanted");
    for times in 1..=3 {
        assert_eq!(counters.reserve(std::slice::from_ref(&wanted), NOW), Ok(()));
        assert_eq!(used(counters, &wanted), 3 * times);
    }
}

fn the_limit_is_reached_and_not_passed(counters: &dyn Counters) {
    let [two, one] = [2, 1].map(|amount| [claim("calls", 3, amount)]);
    assert_eq!(counters.reserve(&two, NOW), Ok(()));
    assert_eq!(counters.reserve(&two, NOW), Err(Full { claim: 0, used: 2 }));
    assert_eq!(counters.reserve(&one, NOW), Ok(()), "the last one fits");
    assert_eq!(counters.reserve(&one, NOW), Err(Full { claim: 0, used: 3 }));
    assert_eq!(counters.reserve(&[claim("calls", 3, 0)], NOW), Ok(()), "nothing always fits");
    assert_eq!(counters.reserve(&[claim("none", 0, 1)], NOW), Err(Full { claim: 0, used: 0 }));
}

fn all_claims_are_added_or_none(counters: &dyn Counters) {
    let wide = claim("wide", 10, 3);
    for narrow_at in 0..3 {
        let narrow = claim(&format!("narrow-{narrow_at}"), 4, 3);
        let mut claims = vec![claim("other", 100, 1), wide.clone()];
        claims.insert(narrow_at, narrow.clone());
        let before = used(counters, &wide);
        assert_eq!(counters.reserve(&[claim(&narrow.key.rule, 4, 2)], NOW), Ok(()));
        let refused = counters.reserve(&claims, NOW);
        assert_eq!(refused, Err(Full { claim: narrow_at, used: 2 }), "the first that is full");
        assert_eq!(used(counters, &wide), before, "nothing of it was added");
        assert_eq!(used(counters, &narrow), 2);
    }
    let both = [wide.clone(), claim("other", 100, 7)];
    assert_eq!(counters.reserve(&both, NOW), Ok(()));
    assert_eq!([&both[0], &both[1]].map(|claim| used(counters, claim)), [3, 7]);
}

fn subjects_and_rules_count_apart(counters: &dyn Counters) {
    let apart = [("a", "x"), ("a", "y"), ("b", "x"), ("ax", ""), ("", "ax")];
    for (rule, subject) in apart {
        let one = [claim_of(rule, subject, 0, 1, 1)];
        assert_eq!(counters.reserve(&one, NOW), Ok(()), "{rule:?} of {subject:?}");
        assert!(counters.reserve(&one, NOW).is_err(), "{rule:?} of {subject:?}");
    }
}

fn settling_puts_what_was_spent_in_place(counters: &dyn Counters) {
    let claims = [claim("tokens", 100, 80), claim("calls", 10, 1)];
    assert_eq!(counters.reserve(&claims, NOW), Ok(()));
    counters.settle(&claims, &[25, 1]);
    assert_eq!([&claims[0], &claims[1]].map(|claim| used(counters, claim)), [25, 1]);

    // Others' reservations stay.
    assert_eq!(counters.reserve(&claims[..1], NOW), Err(Full { claim: 0, used: 25 }));
    let other = [claim("tokens", 100, 50)];
    assert_eq!(counters.reserve(&other, NOW), Ok(()));
    let mine = [claim("tokens", 100, 10)];
    assert_eq!(counters.reserve(&mine, NOW), Ok(()));
    counters.settle(&mine, &[0]);
    assert_eq!(used(counters, &other[0]), 75);

    // More than was reserved is spent all the same, and shuts the others out.
    counters.settle(&other, &[500]);
    assert_eq!(used(counters, &other[0]), 525);
    assert_eq!(counters.reserve(&mine, NOW), Err(Full { claim: 0, used: 525 }));
}

fn a_new_window_begins_at_nothing(counters: &dyn Counters) {
    let at = |window| [claim_of("calls", "", window, 5, 5)];
    for window in [0, 1, 7] {
        assert_eq!(counters.reserve(&at(window), NOW), Ok(()), "window {window}");
        assert!(counters.reserve(&at(window), NOW).is_err(), "window {window}");
        assert_eq!(used(counters, &at(window)[0]), 5);
        assert_eq!(used(counters, &at(window + 1)[0]), 0, "of the next nothing is used");
    }
}

fn a_window_that_is_over_is_left_alone(counters: &dyn Counters) {
    let old = [claim_of("tokens", "", 0, 50, 40)];
    let new = [claim_of("tokens", "", 1, 50, 30)];
    assert_eq!(counters.reserve(&old, NOW), Ok(()));
    assert_eq!(counters.reserve(&new, NOW), Ok(()));
    counters.settle(&old, &[0]);
    assert_eq!(used(counters, &new[0]), 30, "nothing was given back to the new window");
    counters.settle(&new, &[10]);
    assert_eq!(used(counters, &new[0]), 10);
}

fn huge_amounts_do_not_wrap(counters: &dyn Counters) {
    let huge = [claim("tokens", u64::MAX, u64::MAX - 1)];
    assert_eq!(counters.reserve(&huge, NOW), Ok(()));
    counters.settle(&huge, &[u64::MAX]);
    assert_eq!(used(counters, &huge[0]), u64::MAX);
    let more = [claim("tokens", 10, u64::MAX)];
    assert_eq!(counters.reserve(&more, NOW), Err(Full { claim: 0, used: u64::MAX }));
}

fn concurrent_callers_never_pass_the_limit(counters: &Arc<dyn Counters>) {
    const MOST: u64 = 100;
    let claims = Arc::new([claim("wide", 10 * MOST, 1), claim("narrow", MOST, 1)]);
    let admitted = Arc::new(AtomicU64::new(0));
    let caller = || {
        let (counters, claims) = (Arc::clone(counters), Arc::clone(&claims));
        let admitted = Arc::clone(&admitted);
        std::thread::spawn(move || {
            for _ in 0..MOST {
                if counters.reserve(&*claims, NOW).is_ok() {
                    admitted.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    let callers: Vec<_> = (0..4).map(|_| caller()).collect();
    for caller in callers {
        caller.join().expect("a caller that ends");
    }
    assert_eq!(admitted.load(Ordering::Relaxed), MOST);
    assert_eq!(claims.each_ref().map(|claim| used(&**counters, claim)), [MOST, MOST]);
}
