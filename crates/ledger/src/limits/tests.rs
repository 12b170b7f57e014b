use std::sync::Mutex;
use std::time::{Duration, Instant};

use doorward_core::{
    KeyId, Pattern, RequestId, SystemClock, SystemEntropy, ToolName, TurnId, Usage,
};
use futures_util::FutureExt as _;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_oneof, proptest};

use super::*;
use crate::{Amount, Memory, Price, Window};

/// A clock that stands until it is set.
#[derive(Debug)]
struct Standing(Mutex<Timestamp>);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    fn instant(&self) -> Instant {
        SystemClock.instant()
    }
}

struct Bench {
    limits: Limits,
    counters: Arc<Memory>,
    clock: Arc<Standing>,
}

fn bench(rules: Vec<Rule>, prices: Prices) -> Bench {
    let counters = Arc::new(Memory::default());
    let clock = Arc::new(Standing(Mutex::new(Timestamp::from_micros(30_000_000))));
    let limits = Limits::new(rules, prices, counters.clone(), clock.clone()).unwrap();
    Bench { limits, counters, clock }
}

fn cx(principal: Principal) -> Cx {
    Cx {
        turn: TurnId::random(&SystemEntropy),
        request: RequestId::random(&SystemEntropy),
        principal: Arc::new(principal),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
    }
}

fn ask(input: u64, output: Option<u64>) -> Ask<'static> {
    Ask::Model { model: "openai/gpt-5", input, output }
}

impl Bench {
    fn reserve(&self, cx: &Cx, ask: Ask<'_>) -> Result<Box<dyn Reservation>, Box<CallError>> {
        self.limits.reserve(cx, ask).now_or_never().unwrap().map_err(Box::new)
    }

    fn used(&self, rule: &str, subject: &str) -> u64 {
        let limit = self.limits.book.limits.iter().find(|limit| &*limit.name == rule).unwrap();
        let key = CounterKey { rule: rule.into(), subject: subject.into() };
        self.counters.used(&key, limit.rule.window.number(self.clock.now()))
    }
}

fn spent(input: u64, output: u64) -> Spent {
    Spent {
        usage: Some(Usage { input, output, ..Usage::default() }),
        target: Some("openai/gpt-5".into()),
        reached: true,
    }
}

#[test]
fn without_rules_nothing_is_counted() {
    let bench = bench(vec![], Prices::default());
    let held = bench.reserve(&cx(Principal::service("ci")), ask(u64::MAX, None)).unwrap();
    assert!(!held.counts_tokens());
    assert_eq!(size_of_val(&*held), 0, "a box of nothing allocates nothing");
}

#[test]
fn rates_are_refused_until_the_next_window() {
    let rule = Rule::new("slow", Unit::Requests, Amount::whole(1), Window::Minute);
    let bench = bench(vec![rule], Prices::default());
    let cx = cx(Principal::service("ci"));
    bench.reserve(&cx, ask(1, None)).unwrap().settle(&Spent::default());
    let refused = bench.reserve(&cx, ask(1, None)).unwrap_err();
    assert_eq!((refused.code, refused.rule.as_deref()), (Code::RateLimited, Some("slow")));
    assert_eq!(refused.retry_after, Some(Duration::from_secs(30)));
    assert_eq!(refused.to_string(), "limit `slow` is used up: 1 requests a minute");
    *bench.clock.0.lock().unwrap() = Timestamp::from_micros(60_000_000);
    assert!(bench.reserve(&cx, ask(1, None)).is_ok());
}

#[test]
fn settling_gives_back_what_was_not_spent() {
    let rule = Rule::new("tokens", Unit::Tokens, Amount::whole(10_000), Window::Day);
    let bench = bench(vec![rule], Prices::default());
    let cx = cx(Principal::service("ci"));
    for (output, told, used) in [
        (Some(900), spent(100, 50), 150),
        (None, spent(100, 50), 150),
        (Some(900), Spent { reached: true, ..Spent::default() }, 1_000),
        (Some(900), Spent::default(), 0),
    ] {
        let before = bench.used("tokens", "");
        let held = bench.reserve(&cx, ask(100, output)).unwrap();
        assert!(held.counts_tokens());
        assert_eq!(bench.used("tokens", ""), before + 100 + output.unwrap_or(OUTPUT));
        held.settle(&told);
        assert_eq!(bench.used("tokens", ""), before + used, "{told:?}");
    }
    let before = bench.used("tokens", "");
    drop(bench.reserve(&cx, ask(100, Some(900))).unwrap());
    assert_eq!(bench.used("tokens", ""), before + 1_000, "unsettled: the worst case stands");
}

#[test]
fn money_is_reserved_at_its_worst_and_settled_by_the_target() {
    let prices = Prices::default()
        .with("openai/gpt-5", Price::new(Amount::whole(2), Amount::whole(10)))
        .with("openai/gpt-5-mini", Price::new(Amount::whole(1), Amount::whole(1)));
    let rule = Rule::new("budget", Unit::Usd, "0.02".parse().unwrap(), Window::Day);
    let bench = bench(vec![rule], prices);
    let cx = cx(Principal::service("ci"));
    let held = bench.reserve(&cx, ask(1_000, Some(1_000))).unwrap();
    assert_eq!(bench.used("budget", ""), 12_000);
    let refused = bench.reserve(&cx, ask(1_000, Some(1_000))).unwrap_err();
    assert_eq!(refused.code, Code::BudgetExhausted);
    assert!(refused.retry_after.is_some());
    let target = Some("openai/gpt-5-mini".into());
    held.settle(&Spent { target, ..spent(1_000, 100) });
    assert_eq!(bench.used("budget", ""), 1_100);
    let never = bench.reserve(&cx, ask(1_000_000, None)).unwrap_err();
    assert_eq!(never.retry_after, None, "waiting does not help");
}

#[test]
fn a_model_without_price_is_refused_under_a_limit_on_money_unless_allowed() {
    let rule = Rule::new("budget", Unit::Usd, Amount::whole(1), Window::Day);
    let cx = cx(Principal::service("ci"));
    let strict = bench(vec![rule.clone()], Prices::default());
    let refused = strict.reserve(&cx, ask(1, None)).unwrap_err();
    assert_eq!((refused.code, refused.rule.as_deref()), (Code::BudgetExhausted, Some("budget")));
    let lenient = bench(vec![rule], Prices::new(Unpriced::Allow));
    lenient.reserve(&cx, ask(1, None)).unwrap().settle(&spent(1, 1));
    assert_eq!(lenient.used("budget", ""), 0);
}

#[test]
fn rules_concern_whom_and_what_they_list() {
    let one = |text: &str| Some(vec![Pattern::new(text)]);
    let base = || Rule::new("r", Unit::Requests, Amount::whole(1), Window::Day);
    let tool = ToolName::new("tracker__get_issue");
    let mut caller = Principal::person("alice@example.com");
    caller.team = Some("search".into());
    caller.key_name = Some("laptop".into());
    let cx = cx(caller);
    for (rule, model, called) in [
        (base(), true, true),
        (Rule { keys: one("lap*"), ..base() }, true, true),
        (Rule { keys: one("ci"), ..base() }, false, false),
        (Rule { principals: one("*@example.com"), teams: one("search"), ..base() }, true, true),
        (Rule { principals: one("*@example.com"), teams: one("other"), ..base() }, false, false),
        (Rule { teams: Some(vec![]), ..base() }, false, false),
        (Rule { models: one("openai/*"), ..base() }, true, false),
        (Rule { models: one("anthropic/*"), ..base() }, false, false),
        (Rule { tools: one("tracker__*"), ..base() }, false, true),
        (Rule { what: Unit::Tokens, amount: Amount::whole(99_999), ..base() }, true, false),
    ] {
        let shown = format!("{rule:?}");
        let bench = bench(vec![rule], Prices::default());
        let counted = |ask: Ask<'_>| {
            let before = bench.used("r", "");
            drop(bench.reserve(&cx, ask).unwrap());
            bench.used("r", "") > before
        };
        assert_eq!(counted(Ask::Tool(&tool)), called, "tool: {shown}");
        let bench = self::bench(
            bench.limits.book.limits.iter().map(|limit| limit.rule.clone()).collect(),
            Prices::default(),
        );
        let before = bench.used("r", "");
        drop(bench.reserve(&cx, ask(1, None)).unwrap());
        assert_eq!(bench.used("r", "") > before, model, "model: {shown}");
    }
}

#[test]
fn counts_are_shared_as_the_rule_says() {
    let mut caller = Principal::service("ci");
    caller.key = Some(KeyId::from_bytes([1; 16]));
    caller.team = Some("search".into());
    let key = KeyId::from_bytes([1; 16]).to_string();
    let cx = cx(caller);
    for (per, subject) in
        [(Per::All, ""), (Per::Key, key.as_str()), (Per::Principal, "ci"), (Per::Team, "search")]
    {
        let rule = Rule::new("r", Unit::Requests, Amount::whole(5), Window::Day);
        let bench = bench(vec![Rule { per, ..rule }], Prices::default());
        drop(bench.reserve(&cx, ask(1, None)).unwrap());
        assert_eq!(bench.used("r", subject), 1, "{per:?}");
    }
}

#[test]
fn rules_that_cannot_be_kept_are_errors() {
    let rule = |amount: &str| Rule::new("r", Unit::Tokens, amount.parse().unwrap(), Window::Day);
    let made = |rules| {
        Limits::new(rules, Prices::default(), Arc::new(Memory::default()), Arc::new(SystemClock))
            .map(|_| ())
    };
    assert_eq!(made(vec![rule("0.5")]), Err(LimitsError::Fraction("r".into())));
    assert_eq!(made(vec![rule("1"), rule("2")]), Err(LimitsError::Name("r".into())));
}

#[derive(Debug, Clone)]
enum Move {
    Reserve(u64),
    Settle(u64),
    Drop,
}

fn moves() -> impl Strategy<Value = Vec<(usize, Move)>> {
    let step = prop_oneof![
        (0..200_u64).prop_map(Move::Reserve),
        any::<u64>().prop_map(Move::Settle),
        Just(Move::Drop),
    ];
    proptest::collection::vec((0..64_usize, step), 1..400)
}

proptest! {
    /// 64 callers, in any order of reserving, settling and giving up.
    #[test]
    fn interleaved_callers_never_overspend(moves in moves()) {
        let limit = |name, amount, window| Rule::new(name, Unit::Tokens, Amount::whole(amount), window);
        let bench =
            bench(vec![limit("a", 1_000, Window::Minute), limit("b", 700, Window::Day)], Prices::default());
        let cx = cx(Principal::service("ci"));
        let mut held: Vec<Option<(u64, Box<dyn Reservation>)>> = (0..64).map(|_| None).collect();
        let mut taken = 0;
        for (caller, step) in moves {
            let slot = &mut held[caller];
            match (step, slot.take()) {
                (Move::Reserve(tokens), None) => {
                    if let Ok(reservation) = bench.reserve(&cx, ask(tokens, Some(0))) {
                        taken += tokens;
                        *slot = Some((tokens, reservation));
                    }
                }
                (Move::Settle(seed), Some((tokens, reservation))) => {
                    let actual = seed % (tokens + 1);
                    taken -= tokens - actual;
                    reservation.settle(&spent(actual, 0));
                }
                (Move::Drop, Some(dropped)) => drop(dropped),
                (_, other) => *slot = other,
            }
            prop_assert!(taken <= 700);
            prop_assert!(bench.used("a", "") == taken && bench.used("b", "") == taken);
        }
    }
}

#[test]
fn parallel_callers_never_overspend() {
    let rule = Rule::new("r", Unit::Tokens, Amount::whole(1_000), Window::Day);
    let bench = bench(vec![rule], Prices::default());
    let admitted: u64 = std::thread::scope(|scope| {
        let call = || {
            let cx = cx(Principal::service("ci"));
            (0..50).filter(|_| bench.reserve(&cx, ask(3, Some(4))).map(drop).is_ok()).count() as u64
        };
        let callers: Vec<_> = (0..64).map(|_| scope.spawn(call)).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    assert_eq!(admitted, 1_000 / 7);
    assert_eq!(bench.used("r", ""), admitted * 7);
}
