//! Reserving before a call and settling after it.
#![expect(clippy::unwrap_used, reason = "a bench may fail as a test may")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion};
use doorward_benches::cx;
use doorward_core::{Ask, Estimate, Ledger, Spent, SystemClock, Usage};
use doorward_ledger::{
    Amount, Catalogue, Limits, Memory, Per, Prices, Rule, Unit, Unpriced, Window,
};
use futures_util::FutureExt;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let cx = cx("alice@example.com");
    let estimate = Estimate {
        model: "fast",
        target: "openai/gpt-5",
        input: 1000,
        output: Some(400),
        tier: None,
        cache_1h: false,
    };
    let usage = Usage { input: 300, output: 200, ..Usage::default() };
    let spent = Spent { usage: Some(usage), reached: true, ..Spent::default() };

    let mut group = criterion.benchmark_group("ledger/reserve and settle, rules");
    for rules in [0, 1, 5, 20] {
        let prices = Prices::new(Unpriced::Deny).with_catalogue(Catalogue::shipped());
        let rules: Vec<Rule> = (0..rules).map(rule).collect();
        let counters = Arc::new(Memory::default());
        let limits = Limits::new(rules.clone(), prices, counters, Arc::new(SystemClock)).unwrap();
        // A whole call: itself, and one attempt.
        group.bench_function(BenchmarkId::from_parameter(rules.len()), |bench| {
            bench.iter(|| {
                let call = Ask::Model { model: "fast" };
                let call = limits.reserve(black_box(&cx), call).now_or_never().unwrap().unwrap();
                let attempt = limits.reserve(black_box(&cx), Ask::Attempt(estimate));
                attempt.now_or_never().unwrap().unwrap().settle(&spent);
                call.settle(&spent);
            });
        });
    }
    group.finish();
    criterion.bench_function("ledger/shipped prices, read", |bench| bench.iter(Catalogue::shipped));
    criterion.final_summary();
}

/// A limit that no bench reaches; five of them are of five kinds.
fn rule(number: usize) -> Rule {
    let kinds = [
        (Unit::Usd, Some(Window::Month), Per::Team),
        (Unit::Requests, Some(Window::Minute), Per::Key),
        (Unit::Tokens, Some(Window::Hour), Per::Principal),
        (Unit::Concurrency, None, Per::All),
        (Unit::Tokens, Some(Window::Day), Per::Agent),
    ];
    let (what, window, per) = kinds[number % kinds.len()];
    let amount = Amount::whole(1_000_000_000_000);
    let rolling = window == Some(Window::Hour);
    let time_zone = (window == Some(Window::Month)).then(|| "Europe/Berlin".to_owned());
    Rule { per, rolling, time_zone, ..Rule::new(format!("rule-{number}"), what, amount, window) }
}
