use std::sync::Mutex;
use std::time::{Duration, Instant};

use doorward_core::{
    Billed, KeyId, Pattern, Principal, RequestId, Settled, Spent, SystemClock, SystemEntropy,
    ToolName, TurnId, Usage,
};
use futures_util::FutureExt as _;

use super::*;
use crate::{
    Amount, Catalogue, Count, CounterKey, Memory, Per, Price, Subject, Tier, Unpriced, Used, Window,
};

mod interleaved;
mod levels;
mod money;

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
    clock: Arc<Standing>,
}

/// Half a minute into a minute.
const START: i64 = 1_767_225_630_000_000;

fn bench(rules: Vec<Rule>, prices: Prices) -> Bench {
    bench_with(rules, prices, Arc::new(Memory::default()))
}

fn bench_with(rules: Vec<Rule>, prices: Prices, counters: Arc<dyn Counters>) -> Bench {
    let clock = Arc::new(Standing(Mutex::new(Timestamp::from_micros(START))));
    let limits = Limits::new(rules, prices, counters, clock.clone()).unwrap();
    Bench { limits, clock }
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
        source: None,
    }
}

fn ci() -> Cx {
    cx(Principal::service("ci"))
}

const CALL: Ask<'static> = Ask::Model { model: "fast" };

fn attempt(input: u64, output: Option<u64>) -> Ask<'static> {
    let target = "openai/gpt-5";
    Ask::Attempt(Estimate { model: "fast", target, input, output, tier: None, cache_1h: false })
}

fn spent(input: u64, output: u64) -> Spent {
    let usage = Usage { input, output, ..Usage::default() };
    Spent { usage: Some(usage), reached: true, ..Spent::default() }
}

fn rule(what: Unit, amount: &str, window: impl Into<Option<Window>>) -> Rule {
    Rule::new("r", what, amount.parse().unwrap(), window)
}

impl Bench {
    fn reserve(&self, cx: &Cx, ask: Ask<'_>) -> Result<Box<dyn Reservation>, Box<CallError>> {
        self.limits.reserve(cx, ask).now_or_never().unwrap().map_err(Box::new)
    }

    fn state(&self, cx: &Cx, rule: &str) -> LimitState {
        let states = self.limits.usage(cx).now_or_never().unwrap().unwrap();
        states.into_iter().find(|state| &*state.rule == rule).unwrap()
    }

    fn used(&self, cx: &Cx, rule: &str) -> u64 {
        self.state(cx, rule).used
    }

    fn wait(&self, time: Duration) {
        let mut now = self.clock.0.lock().unwrap();
        *now = now.after(time);
    }
}

#[test]
fn without_rules_calls_are_free_and_attempts_are_still_priced() {
    let prices = Prices::default().with_catalogue(Catalogue::shipped());
    let bench = bench(vec![], prices);
    let held = bench.reserve(&ci(), CALL).unwrap();
    assert_eq!(size_of_val(&*held), 0, "a box of nothing allocates nothing");
    assert_eq!(held.settle(&Spent::default()), Settled::default());
    let held = bench.reserve(&ci(), attempt(u64::MAX, None)).unwrap();
    assert_eq!(held.settle(&spent(1_000, 100)).cost_nanos, Some(2_250_000));
}

#[test]
fn rates_are_refused_until_the_next_window() {
    let bench = bench(vec![rule(Unit::Requests, "1", Window::Minute)], Prices::default());
    let cx = ci();
    bench.reserve(&cx, CALL).unwrap().settle(&Spent::default());
    let refused = bench.reserve(&cx, CALL).unwrap_err();
    assert_eq!((refused.code, refused.rule.as_deref()), (Code::RateLimited, Some("r")));
    assert_eq!(refused.retry_after, Some(Duration::from_secs(30)));
    assert_eq!(
        refused.to_string(),
        "limit `r` is used up: 1 requests a minute; room again at 2026-01-01T00:01:00Z"
    );
    bench.wait(Duration::from_secs(30));
    assert!(bench.reserve(&cx, CALL).is_ok());
}

#[test]
fn a_rolling_limit_is_refused_until_enough_of_it_is_over() {
    let rolling = Rule { rolling: true, ..rule(Unit::Tokens, "100", Window::Hour) };
    let bench = bench(vec![rolling], Prices::default());
    let cx = ci();
    bench.reserve(&cx, attempt(30, Some(0))).unwrap().settle(&spent(30, 0));
    bench.wait(Duration::from_mins(10));
    bench.reserve(&cx, attempt(60, Some(0))).unwrap().settle(&spent(60, 0));
    let refused = bench.reserve(&cx, attempt(20, Some(0))).unwrap_err();
    // The first 30 count until their minute, of which half was gone, is out of the hour.
    assert_eq!(refused.retry_after, Some(Duration::from_secs(3_030)));
    assert!(refused.to_string().contains("100 tokens in any hour"), "{refused}");
    let refused = bench.reserve(&cx, attempt(90, Some(0))).unwrap_err();
    assert_eq!(refused.retry_after, Some(Duration::from_secs(3_630)), "the second must go too");
    bench.wait(Duration::from_secs(3_029));
    assert!(bench.reserve(&cx, attempt(20, Some(0))).is_err());
    bench.wait(Duration::from_secs(1));
    assert!(bench.reserve(&cx, attempt(20, Some(0))).is_ok());
    assert_eq!(bench.state(&cx, "r").left(), 20);
}

#[test]
fn what_runs_at_once_is_let_go_when_it_is_settled_or_dropped() {
    let bench = bench(vec![rule(Unit::Concurrency, "2", None)], Prices::default());
    let cx = ci();
    let first = bench.reserve(&cx, CALL).unwrap();
    let second = bench.reserve(&cx, CALL).unwrap();
    let refused = bench.reserve(&cx, CALL).unwrap_err();
    assert_eq!(
        (refused.code, refused.retry_after),
        (Code::RateLimited, Some(Duration::from_secs(1)))
    );
    assert_eq!(refused.to_string(), "limit `r` is used up: 2 calls at once");
    drop(first);
    let third = bench.reserve(&cx, CALL).unwrap();
    second.settle(&Spent::default());
    assert_eq!(bench.used(&cx, "r"), 1);
    drop(third);
    assert_eq!(bench.used(&cx, "r"), 0);
    // A process that ended settles nothing.
    std::mem::forget(bench.reserve(&cx, CALL).unwrap());
    assert_eq!(bench.used(&cx, "r"), 1);
    bench.wait(LEASE);
    assert_eq!(bench.used(&cx, "r"), 0, "its lease ran out");
}

#[test]
fn settling_gives_back_what_was_not_spent() {
    let bench = bench(vec![rule(Unit::Tokens, "20000", Window::Day)], Prices::default());
    let cx = ci();
    for (output, told, used) in [
        (Some(900), spent(100, 50), 150),
        (None, spent(100, 50), 150),
        (Some(900), Spent { reached: true, ..Spent::default() }, 1_000),
        (Some(900), Spent::default(), 0),
        (Some(900), spent(1_000, 5_000), 6_000),
    ] {
        let before = bench.used(&cx, "r");
        let held = bench.reserve(&cx, attempt(100, output)).unwrap();
        assert_eq!(bench.used(&cx, "r"), before + 100 + output.unwrap_or(OUTPUT));
        held.preview(&told);
        assert_eq!(bench.used(&cx, "r"), before + 100 + output.unwrap_or(OUTPUT), "only looked");
        held.settle(&told);
        assert_eq!(bench.used(&cx, "r"), before + used, "{told:?}");
    }
    let before = bench.used(&cx, "r");
    drop(bench.reserve(&cx, attempt(100, Some(900))).unwrap());
    assert_eq!(bench.used(&cx, "r"), before + 1_000, "unsettled: the worst case stands");
}

#[test]
fn the_refusals_code_tells_rates_from_budgets() {
    let tool = ToolName::new("tracker__get_issue");
    let priced = Prices::default().with("*", Price::new(Amount::whole(1), Amount::whole(1)));
    for (what, window, ask, code) in [
        (Unit::Requests, Some(Window::Month), CALL, Code::RateLimited),
        (Unit::Concurrency, None, CALL, Code::RateLimited),
        (Unit::Tokens, Some(Window::Minute), attempt(1, Some(0)), Code::RateLimited),
        (Unit::Tokens, Some(Window::Day), attempt(1, Some(0)), Code::RateLimited),
        (Unit::Tokens, Some(Window::Month), attempt(1, Some(0)), Code::BudgetExhausted),
        (Unit::Usd, Some(Window::Minute), attempt(1_000_000, Some(0)), Code::BudgetExhausted),
        (Unit::ToolCalls, Some(Window::Hour), Ask::Tool(&tool), Code::BudgetExhausted),
    ] {
        let bench = bench(vec![rule(what, "1", window)], priced.clone());
        let first = bench.reserve(&ci(), ask).unwrap();
        let refused = bench.reserve(&ci(), ask).unwrap_err();
        assert_eq!(refused.code, code, "{what:?} a {window:?}");
        assert!(refused.retry_after.is_some(), "{what:?} a {window:?}");
        drop(first);
    }
}

#[test]
fn rules_that_cannot_be_kept_are_errors() {
    let made = |rules| {
        Limits::new(rules, Prices::default(), Arc::new(Memory::default()), Arc::new(SystemClock))
            .map(|_| ())
    };
    let name = || "r".to_owned();
    let calls = || rule(Unit::Requests, "1", Window::Day);
    let at_once = || rule(Unit::Concurrency, "1", None);
    let some = || Some(vec![Pattern::new("x")]);
    let zone = |text: &str| Some(text.to_owned());
    let tool_calls = || Rule { what: Unit::ToolCalls, ..calls() };
    let idle = |why| LimitsError::Idle(name(), why);
    for (bad, error) in [
        (rule(Unit::Tokens, "0.5", Window::Day), LimitsError::Fraction(name())),
        (Rule { window: None, ..calls() }, LimitsError::Window(name())),
        (Rule { window: Some(Window::Day), ..at_once() }, LimitsError::NoWindow(name())),
        (Rule { rolling: true, ..at_once() }, LimitsError::NoWindow(name())),
        (Rule { time_zone: zone("Europe/Berlin"), ..at_once() }, LimitsError::NoWindow(name())),
        (
            Rule { time_zone: zone("Berlin"), ..calls() },
            LimitsError::TimeZone(name(), "Berlin".into()),
        ),
        (
            Rule { time_zone: zone("Europe/Berlin"), rolling: true, ..calls() },
            LimitsError::Nowhere(name()),
        ),
        (
            Rule { time_zone: zone("Europe/Berlin"), window: Some(Window::Hour), ..calls() },
            LimitsError::Nowhere(name()),
        ),
        (Rule { models: some(), ..tool_calls() }, idle("tool calls have no model")),
        (Rule { targets: some(), ..tool_calls() }, idle("tool calls have no model")),
        (
            Rule { tools: some(), what: Unit::Tokens, ..calls() },
            idle("tools take no tokens and no money"),
        ),
    ] {
        assert_eq!(made(vec![bad.clone()]), Err(error), "{bad:?}");
    }
    assert_eq!(made(vec![calls(), at_once()]), Err(LimitsError::Name(name())));
}

/// A store that cannot be asked, or that never answers.
#[derive(Debug, Default)]
struct Broken {
    silent: bool,
    settled: Mutex<Vec<Vec<u64>>>,
}

impl Counters for Broken {
    fn reserve<'a>(&'a self, _hold: &'a Hold) -> BoxFuture<'a, Result<(), ReserveError>> {
        if self.silent {
            return Box::pin(std::future::pending());
        }
        Box::pin(async { Err(ReserveError::Unavailable("the store is gone".into())) })
    }

    fn settle(&self, _hold: &Hold, amounts: &[u64]) {
        self.settled.lock().unwrap().push(amounts.to_vec());
    }

    fn used<'a>(
        &'a self,
        _counts: &'a [Count],
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Used>, Box<dyn std::error::Error + Send + Sync>>> {
        Box::pin(async { Err("the store is gone".into()) })
    }
}

#[test]
fn where_nothing_can_be_counted_nothing_goes_through() {
    let store = Arc::new(Broken::default());
    let bench =
        bench_with(vec![rule(Unit::Requests, "1", Window::Day)], Prices::default(), store.clone());
    let refused = bench.reserve(&ci(), CALL).unwrap_err();
    assert_eq!(refused.code, Code::Overloaded);
    assert_eq!(*store.settled.lock().unwrap(), [[0]], "what it may have taken is given back");
    assert!(bench.limits.usage(&ci()).now_or_never().unwrap().is_err());
}

#[test]
fn a_call_that_goes_away_while_it_waits_for_the_store_gives_back_what_that_may_have_taken() {
    let store = Arc::new(Broken { silent: true, ..Broken::default() });
    let bench =
        bench_with(vec![rule(Unit::Tokens, "1", Window::Day)], Prices::default(), store.clone());
    let cx = ci();
    let mut waiting = bench.limits.reserve(&cx, attempt(1, Some(0)));
    assert!((&mut waiting).now_or_never().is_none());
    assert!(store.settled.lock().unwrap().is_empty());
    drop(waiting);
    assert_eq!(*store.settled.lock().unwrap(), [[0]]);
}
