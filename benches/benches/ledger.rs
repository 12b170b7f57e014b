//! Reserving before a call and settling after it.
#![expect(clippy::unwrap_used, reason = "a bench may fail as a test may")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion};
use doorward_benches::cx;
use doorward_core::{Ask, Ledger, Spent, SystemClock, Usage};
use doorward_ledger::{Amount, Limits, Memory, Per, Price, Prices, Rule, Unit, Unpriced, Window};
use futures_util::FutureExt;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let all = [
        Rule { per: Per::Principal, ..rule("calls", Unit::Requests, Window::Minute) },
        rule("tokens", Unit::Tokens, Window::Hour),
        Rule { per: Per::Team, ..rule("money", Unit::Usd, Window::Day) },
    ];
    let cx = cx("alice@example.com");
    let ask = Ask::Model { model: "openai/gpt-5", input: 1000, output: Some(400) };
    let usage = Usage { input: 300, output: 200, ..Usage::default() };
    let spent = Spent { usage: Some(usage), target: Some("openai/gpt-5".into()), reached: true };

    let mut group = criterion.benchmark_group("ledger/reserve and settle, rules");
    for rules in [0, 1, 3] {
        let price = Price::new(Amount::whole(2), Amount::whole(10));
        let prices = Prices::new(Unpriced::Deny).with("openai/gpt-5", price);
        let counters = Arc::new(Memory::default());
        let limits =
            Limits::new(all[..rules].to_vec(), prices, counters, Arc::new(SystemClock)).unwrap();
        group.bench_function(BenchmarkId::from_parameter(rules), |bench| {
            bench.iter(|| {
                let held = limits.reserve(black_box(&cx), ask.clone());
                held.now_or_never().unwrap().unwrap().settle(&spent);
            });
        });
    }
    group.finish();
    criterion.final_summary();
}

/// A limit that no bench reaches.
fn rule(name: &str, what: Unit, window: Window) -> Rule {
    Rule::new(name, what, Amount::whole(1_000_000_000_000), window)
}
