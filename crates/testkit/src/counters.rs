//! What every store of counts must do.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a suite fails by panicking, as a test does"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use doorward_core::{RequestId, Timestamp};
use doorward_ledger::{
    Claim, Count, CounterKey, Counters, Full, Hold, HoldId, ROLLING_PARTS, ReserveError, Span,
    Subject, Used,
};

/// Puts counters through everything that [`Counters`] promises. `make` gives fresh, empty ones.
/// Wants a Tokio runtime; one with several threads tries harder.
///
/// # Panics
///
/// Where they break a promise.
pub async fn counters_conform(make: impl Fn() -> Arc<dyn Counters>) {
    what_is_reserved_is_used(&Suite::new(make())).await;
    the_limit_is_reached_and_not_passed(&Suite::new(make())).await;
    all_claims_are_added_or_none(&Suite::new(make())).await;
    subjects_and_rules_count_apart(&Suite::new(make())).await;
    settling_puts_what_was_spent_in_place(&Suite::new(make())).await;
    settling_twice_or_what_never_was_changes_nothing(&Suite::new(make())).await;
    a_new_window_begins_at_nothing(&Suite::new(make())).await;
    a_window_that_is_over_is_left_alone(&Suite::new(make())).await;
    a_rolling_window_forgets_late_and_never_early(&Suite::new(make())).await;
    what_is_held_is_let_go_by_settling(&Suite::new(make())).await;
    what_is_held_is_let_go_when_its_lease_runs_out(&Suite::new(make())).await;
    huge_amounts_do_not_wrap(&Suite::new(make())).await;
    concurrent_callers_never_pass_the_limit(&make()).await;
}

const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

const MINUTE: Duration = Duration::from_mins(1);

const LEASE: Duration = Duration::from_hours(1);

/// The window of a minute that begins so many minutes after the first.
fn minute(number: u32) -> Span {
    Span::Window { starts: NOW.after(MINUTE * number), ends: NOW.after(MINUTE * (number + 1)) }
}

/// A claim on the first minute.
fn claim(rule: &str, most: u64, amount: u64) -> Claim {
    claim_of(rule, Subject::All, minute(0), most, amount)
}

fn claim_of(rule: &str, subject: Subject, span: Span, most: u64, amount: u64) -> Claim {
    let key = CounterKey { rule: rule.into(), subject };
    Claim { count: Count { key, span }, most, amount }
}

/// Counters, and the number of the next hold.
struct Suite {
    counters: Arc<dyn Counters>,
    next: AtomicU64,
}

impl Suite {
    fn new(counters: Arc<dyn Counters>) -> Self {
        Self { counters, next: AtomicU64::new(0) }
    }

    fn hold(&self, claims: &[Claim], at: Timestamp) -> Hold {
        let serial = self.next.fetch_add(1, Ordering::Relaxed);
        let id = HoldId { request: RequestId::from_bytes([9; 16]), serial };
        Hold { id, at, until: at.after(LEASE), claims: claims.to_vec() }
    }

    async fn reserve_at(&self, claims: &[Claim], at: Timestamp) -> Result<Hold, Full> {
        let hold = self.hold(claims, at);
        match self.counters.reserve(&hold).await {
            Ok(()) => Ok(hold),
            Err(ReserveError::Full(full)) => Err(full),
            Err(ReserveError::Unavailable(error)) => panic!("the counts cannot be had: {error}"),
        }
    }

    async fn reserve(&self, claims: &[Claim]) -> Result<Hold, Full> {
        self.reserve_at(claims, NOW).await
    }

    /// Reserves what must fit.
    async fn take(&self, claims: &[Claim]) -> Hold {
        self.reserve(claims).await.expect("there is room")
    }

    /// Which claim is full, and how much is used there.
    async fn full(&self, claims: &[Claim]) -> (usize, u64) {
        let full = self.reserve(claims).await.expect_err("there is no room");
        (full.claim, full.used)
    }

    async fn look(&self, claim: &Claim, at: Timestamp) -> Used {
        let counts = [claim.count.clone()];
        let used = self.counters.used(&counts, at).await.expect("the counts");
        assert_eq!(used.len(), 1, "one answer for each count");
        used[0]
    }

    async fn used(&self, claim: &Claim) -> u64 {
        self.look(claim, NOW).await.amount
    }
}

async fn what_is_reserved_is_used(suite: &Suite) {
    let wanted = [claim("calls", 10, 3)];
    assert_eq!(suite.look(&wanted[0], NOW).await, Used::default(), "nothing yet");
    suite.take(&[]).await;
    for times in 1..=3 {
        suite.take(&wanted).await;
        let until = Some(NOW.after(MINUTE));
        assert_eq!(suite.look(&wanted[0], NOW).await, Used { amount: 3 * times, until });
    }
    let both = [claim("none", 1, 1).count, wanted[0].count.clone()];
    let used = suite.counters.used(&both, NOW).await.expect("the counts");
    assert_eq!([used[0].amount, used[1].amount], [0, 9], "in the order asked for");
}

async fn the_limit_is_reached_and_not_passed(suite: &Suite) {
    let [two, one] = [2, 1].map(|amount| [claim("calls", 3, amount)]);
    suite.take(&two).await;
    let room_at = Some(NOW.after(MINUTE));
    assert_eq!(suite.reserve(&two).await, Err(Full { claim: 0, used: 2, room_at }));
    suite.take(&one).await;
    assert_eq!(suite.full(&one).await, (0, 3));
    suite.take(&[claim("calls", 3, 0)]).await;
    let never = suite.reserve(&[claim("none", 0, 1)]).await;
    assert_eq!(never, Err(Full { claim: 0, used: 0, room_at: None }), "waiting does not help");
}

async fn all_claims_are_added_or_none(suite: &Suite) {
    let wide = claim("wide", 10, 3);
    for narrow_at in 0..3 {
        let narrow = claim(&format!("narrow-{narrow_at}"), 4, 3);
        let mut claims = vec![claim("other", 100, 1), wide.clone()];
        claims.insert(narrow_at, narrow.clone());
        let before = suite.used(&wide).await;
        suite.take(&[Claim { amount: 2, ..narrow.clone() }]).await;
        assert_eq!(suite.full(&claims).await, (narrow_at, 2), "the first that is full");
        assert_eq!(suite.used(&wide).await, before, "nothing of it was added");
        assert_eq!(suite.used(&narrow).await, 2);
    }
    let both = [wide.clone(), claim("other", 100, 7)];
    suite.take(&both).await;
    assert_eq!([suite.used(&both[0]).await, suite.used(&both[1]).await], [3, 7]);
}

async fn subjects_and_rules_count_apart(suite: &Suite) {
    let name = |text: &str| Subject::Name(text.into());
    let agent = |principal: &str, agent: &str| Subject::Agent {
        principal: principal.into(),
        agent: agent.into(),
    };
    for (rule, subject) in [
        ("a", name("x")),
        ("a", name("y")),
        ("b", name("x")),
        ("ax", Subject::All),
        ("", name("ax")),
        ("a", Subject::All),
        ("a", agent("x", "y")),
        ("a", agent("xy", "")),
        ("a", agent("", "xy")),
        ("a", name("y of x")),
    ] {
        let one = [claim_of(rule, subject.clone(), minute(0), 1, 1)];
        suite.take(&one).await;
        assert_eq!(suite.full(&one).await, (0, 1), "{rule:?} of {subject:?}");
    }
}

async fn settling_puts_what_was_spent_in_place(suite: &Suite) {
    let claims = [claim("tokens", 100, 80), claim("calls", 10, 1)];
    let hold = suite.take(&claims).await;
    suite.counters.settle(&hold, &[25, 1]);
    assert_eq!([suite.used(&claims[0]).await, suite.used(&claims[1]).await], [25, 1]);

    // Others' reservations stay.
    assert_eq!(suite.full(&claims[..1]).await, (0, 25));
    let other = suite.take(&[claim("tokens", 100, 50)]).await;
    let mine = [claim("tokens", 100, 10)];
    let hold = suite.take(&mine).await;
    suite.counters.settle(&hold, &[0]);
    assert_eq!(suite.used(&mine[0]).await, 75);

    // More than was reserved is spent all the same, and shuts the others out.
    suite.counters.settle(&other, &[500]);
    assert_eq!(suite.used(&mine[0]).await, 525);
    assert_eq!(suite.full(&mine).await, (0, 525));
}

async fn settling_twice_or_what_never_was_changes_nothing(suite: &Suite) {
    let wanted = [claim("tokens", 100, 40)];
    let hold = suite.take(&wanted).await;
    suite.take(&wanted).await;
    suite.counters.settle(&hold, &[10]);
    suite.counters.settle(&hold, &[0]);
    assert_eq!(suite.used(&wanted[0]).await, 50, "settled once");
    suite.counters.settle(&suite.hold(&wanted, NOW), &[0]);
    assert_eq!(suite.used(&wanted[0]).await, 50, "never reserved");
    let refused = suite.hold(&[claim("tokens", 100, 90)], NOW);
    assert!(suite.counters.reserve(&refused).await.is_err());
    suite.counters.settle(&refused, &[0]);
    assert_eq!(suite.used(&wanted[0]).await, 50, "refused");
}

async fn a_new_window_begins_at_nothing(suite: &Suite) {
    for number in [0, 1, 7] {
        let at = |number| claim_of("calls", Subject::All, minute(number), 5, 5);
        let now = NOW.after(MINUTE * number);
        let wanted = [at(number)];
        suite.reserve_at(&wanted, now).await.expect("a new window");
        assert!(suite.reserve_at(&wanted, now).await.is_err(), "window {number}");
        assert_eq!(suite.look(&wanted[0], now).await.amount, 5);
        let later = suite.look(&at(number + 1), now).await;
        assert_eq!(later, Used::default(), "of the next nothing is used");
    }
}

async fn a_window_that_is_over_is_left_alone(suite: &Suite) {
    let old = [claim_of("tokens", Subject::All, minute(0), 50, 40)];
    let new = [claim_of("tokens", Subject::All, minute(1), 50, 30)];
    let later = NOW.after(MINUTE);
    let old_hold = suite.take(&old).await;
    let new_hold = suite.reserve_at(&new, later).await.expect("a new window");
    suite.counters.settle(&old_hold, &[0]);
    assert_eq!(suite.look(&new[0], later).await.amount, 30, "nothing was given back to the new");
    suite.counters.settle(&new_hold, &[10]);
    assert_eq!(suite.look(&new[0], later).await.amount, 10);
}

async fn a_rolling_window_forgets_late_and_never_early(suite: &Suite) {
    let rolling =
        |amount| [claim_of("r", Subject::All, Span::Rolling { length: MINUTE }, 10, amount)];
    let part = MINUTE / ROLLING_PARTS;
    let step = Duration::from_micros(1);
    let hold = suite.reserve_at(&rolling(6), NOW.after(part / 2)).await.expect("room");
    let second = NOW.after(MINUTE / 2);
    suite.reserve_at(&rolling(4), second).await.expect("room");
    suite.counters.settle(&hold, &[5]);
    let used = |at| async move { suite.look(&rolling(0)[0], at).await.amount };
    assert_eq!(used(second).await, 9, "settled where it was reserved");

    let full = suite.reserve_at(&rolling(3), second).await.expect_err("full");
    let room_at = full.room_at.expect("it is foreseeable");
    let exact = NOW.after(part / 2 + MINUTE);
    assert!(room_at >= exact && room_at <= exact.after(part), "late by a part at most");
    assert_eq!(used(exact.after(step).min(room_at)).await >= 5, room_at > exact, "never early");
    assert_eq!(used(room_at).await, 4, "over at the moment that was told");
    suite.reserve_at(&rolling(3), room_at).await.expect("room at the moment that was told");
    assert_eq!(used(room_at.after(MINUTE + part)).await, 0, "all over");
}

async fn what_is_held_is_let_go_by_settling(suite: &Suite) {
    let one = [claim_of("at-once", Subject::All, Span::Held, 2, 1)];
    let first = suite.take(&one).await;
    suite.take(&one).await;
    let full = suite.reserve(&one).await;
    assert_eq!(full, Err(Full { claim: 0, used: 2, room_at: None }), "nobody knows when");
    // Whatever is put down for it: it is over.
    suite.counters.settle(&first, &[1]);
    assert_eq!(suite.look(&one[0], NOW).await, Used { amount: 1, until: None });
    suite.counters.settle(&first, &[1]);
    assert_eq!(suite.used(&one[0]).await, 1, "once");
    suite.take(&one).await;
}

async fn what_is_held_is_let_go_when_its_lease_runs_out(suite: &Suite) {
    let day = Span::Window { starts: NOW, ends: NOW.after(LEASE * 24) };
    let claims = [
        claim_of("at-once", Subject::All, Span::Held, 2, 1),
        claim_of("tokens", Subject::All, day, 100, 40),
    ];
    suite.take(&claims).await;
    let later = suite.reserve_at(&claims, NOW.after(MINUTE)).await.expect("room");
    let over = NOW.after(LEASE);
    assert_eq!(suite.look(&claims[0], over).await.amount, 1, "the first one is left behind");
    assert_eq!(suite.look(&claims[1], over).await.amount, 80, "what may be spent stands");
    suite.reserve_at(&claims[..1], over).await.expect("its place is free");
    suite.counters.settle(&later, &[1, 5]);
    assert_eq!(suite.look(&claims[1], over).await.amount, 45);
}

async fn huge_amounts_do_not_wrap(suite: &Suite) {
    let huge = [claim("tokens", u64::MAX, u64::MAX - 1)];
    let hold = suite.take(&huge).await;
    suite.counters.settle(&hold, &[u64::MAX]);
    assert_eq!(suite.used(&huge[0]).await, u64::MAX);
    assert_eq!(suite.full(&[claim("tokens", 10, u64::MAX)]).await, (0, u64::MAX));
}

async fn concurrent_callers_never_pass_the_limit(counters: &Arc<dyn Counters>) {
    const MOST: u64 = 100;
    let claims = [claim("wide", 10 * MOST, 1), claim("narrow", MOST, 1)];
    let suite = Arc::new(Suite::new(Arc::clone(counters)));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (suite, claims) = (Arc::clone(&suite), claims.clone());
        callers.spawn(async move {
            let mut admitted = 0;
            for turn in 0..MOST {
                let Ok(hold) = suite.reserve(&claims).await else { continue };
                // Every third one turns out to have taken nothing.
                let spent = u64::from(turn % 3 != 0);
                suite.counters.settle(&hold, &[spent, spent]);
                admitted += spent;
                tokio::task::yield_now().await;
            }
            admitted
        });
    }
    let mut admitted = 0;
    while let Some(caller) = callers.join_next().await {
        admitted += caller.expect("a caller that ends");
    }
    assert_eq!(admitted, MOST, "all of it, and no more");
    assert_eq!([suite.used(&claims[0]).await, suite.used(&claims[1]).await], [MOST, MOST]);
}
