//! Any order of reserving, settling and giving up.

use std::thread;

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::Above;

/// Prices that differ in all there is: `x/0` to `x/3`.
fn prices() -> Prices {
    let amount = |text: &str| text.parse::<Amount>().ok();
    let plain = Price::new(Amount::whole(3), Amount::whole(15));
    let above =
        Above { tokens: 5_000, input: amount("6.5"), output: amount("20"), ..Above::default() };
    let flex = Tier { times: amount("0.5"), ..Tier::default() };
    let fast = Tier { input: amount("7"), output: amount("31"), ..Tier::default() };
    Prices::default()
        .with("x/0", plain.clone())
        .with(
            "x/1",
            Price { above: vec![above], tiers: [("flex".into(), flex)].into(), ..plain.clone() },
        )
        .with("x/2", Price { tiers: [("priority".into(), fast)].into(), ..plain.clone() })
        .with(
            "x/3",
            Price {
                cache_read: amount("0.3"),
                cache_write: amount("3.75"),
                cache_write_1h: amount("6"),
                audio_input: amount("5"),
                request: amount("0.5"),
                ..plain
            },
        )
}

const TARGETS: [&str; 4] = ["x/0", "x/1", "x/2", "x/3"];
const TIERS: [Option<&str>; 3] = [None, Some("flex"), Some("priority")];

#[derive(Debug, Clone, Copy)]
struct Try {
    target: usize,
    tier: usize,
    input: u64,
    output: u64,
}

#[derive(Debug, Clone, Copy)]
enum Move {
    /// Another attempt of the caller's call: the first one, a retry or a fallback.
    Attempt(Try),
    /// The attempt ends, with these parts of what it might have taken.
    Settle([u64; 4], bool),
    /// The upstream was reached, and did not say what it took.
    Silent,
    /// The upstream was not reached.
    Unreached,
    /// The caller goes away.
    Drop,
    /// The whole call ends.
    End,
}

fn moves() -> impl Strategy<Value = Vec<(usize, Move)>> {
    let attempt = (0..4_usize, 0..3_usize, 0..9_000_u64, 0..3_000_u64).prop_map(
        |(target, tier, input, output)| Move::Attempt(Try { target, tier, input, output }),
    );
    let step = prop_oneof![
        4 => attempt,
        3 => (any::<[u64; 4]>(), any::<bool>()).prop_map(|(parts, asked)| Move::Settle(parts, asked)),
        1 => Just(Move::Silent),
        1 => Just(Move::Unreached),
        1 => Just(Move::Drop),
        1 => Just(Move::End),
    ];
    proptest::collection::vec((0..64_usize, step), 1..300)
}

/// A usage within the bounds of the attempt.
fn usage(tried: Try, parts: [u64; 4]) -> Usage {
    let input = parts[0] % (tried.input + 1);
    let cache_read = parts[1] % (input + 1);
    let cache_write = parts[2] % (input - cache_read + 1);
    Usage {
        input,
        output: parts[3] % (tried.output + 1),
        cache_read,
        cache_write,
        cache_write_1h: parts[1] % (cache_write + 1),
        audio_input: parts[3] % (input - cache_read - cache_write + 1),
        ..Usage::default()
    }
}

struct Attempted {
    tried: Try,
    held: Box<dyn Reservation>,
    nanos: u64,
}

fn nested() -> Vec<Rule> {
    let of = |name: &str, what, amount: &str, window: Option<Window>, per| Rule {
        per,
        ..Rule::new(name, what, amount.parse().unwrap(), window)
    };
    vec![
        of("org", Unit::Usd, "1", Some(Window::Month), Per::All),
        of("team", Unit::Usd, "0.6", Some(Window::Day), Per::Team),
        Rule {
            rolling: true,
            ..of("person", Unit::Usd, "0.25", Some(Window::Hour), Per::Principal)
        },
        of("tokens", Unit::Tokens, "90000", Some(Window::Day), Per::Team),
        of("calls", Unit::Requests, "120", Some(Window::Day), Per::All),
        of("at-once", Unit::Concurrency, "20", None, Per::All),
    ]
}

/// The caller's place in the organisation: two teams, eight people.
fn place(caller: usize) -> Cx {
    let mut principal = Principal::service(format!("person-{}", caller % 8));
    principal.team = Some(["red", "blue"][caller % 2].into());
    cx(principal)
}

/// What the limits should have counted: reserved or spent.
#[derive(Default)]
struct Model {
    money: [u64; 8],
    tokens: [u64; 2],
    calls: u64,
    at_once: u64,
}

impl Model {
    fn put(&mut self, caller: usize, (nanos, tokens): (u64, u64)) {
        self.money[caller % 8] += nanos;
        self.tokens[caller % 2] += tokens;
    }

    fn take(&mut self, caller: usize, (nanos, tokens): (u64, u64)) {
        self.money[caller % 8] -= nanos;
        self.tokens[caller % 2] -= tokens;
    }

    /// As `nested` has them, for a caller.
    fn used(&self, caller: usize) -> [u64; 6] {
        let team = |team: usize| self.money.iter().skip(team).step_by(2).sum::<u64>();
        let (person, team_no) = (caller % 8, caller % 2);
        let all = self.money.iter().sum();
        [all, team(team_no), self.money[person], self.tokens[team_no], self.calls, self.at_once]
    }
}

proptest! {
    /// 64 callers on nested limits. No limit is passed at any moment, and what the limits count
    /// is at any moment what is spent and what is reserved, to the nano-dollar: no room is lost.
    #[test]
    fn interleaved_callers_never_pass_a_limit_and_lose_no_room(moves in moves()) {
        let bench = bench(nested(), prices());
        let most: Vec<u64> = bench.limits.book.limits.iter().map(|limit| limit.most).collect();
        let places: Vec<Cx> = (0..64).map(place).collect();
        let mut calls: Vec<Option<Box<dyn Reservation>>> = (0..64).map(|_| None).collect();
        let mut attempts: Vec<Option<Attempted>> = (0..64).map(|_| None).collect();
        let mut model = Model::default();
        for (caller, step) in moves {
            let cx = &places[caller];
            match (step, attempts[caller].take()) {
                (Move::Attempt(tried), None) => {
                    if calls[caller].is_none() {
                        let Ok(call) = bench.reserve(cx, CALL) else { continue };
                        (model.calls, model.at_once) = (model.calls + 1, model.at_once + 1);
                        calls[caller] = Some(call);
                    }
                    let Try { target, tier, input, output } = tried;
                    let estimate = Estimate {
                        model: "fast", target: TARGETS[target], input, output: Some(output),
                        tier: TIERS[tier], cache_1h: true,
                    };
                    if let Ok(held) = bench.reserve(cx, Ask::Attempt(estimate)) {
                        let silent = Spent { reached: true, ..Spent::default() };
                        let nanos = held.preview(&silent).cost_nanos.unwrap();
                        model.put(caller, (nanos, input + output));
                        attempts[caller] = Some(Attempted { tried, held, nanos });
                    }
                }
                (Move::Settle(parts, asked), Some(Attempted { tried, held, nanos })) => {
                    let usage = usage(tried, parts);
                    let tier = if asked { TIERS[tried.tier] } else { None };
                    let billed = tier.map(|tier| Billed { tier: Some(tier.into()), ..Billed::default() });
                    let spent = Spent { usage: Some(usage), billed, reached: true, ..Spent::default() };
                    let cost = held.settle(&spent).cost_nanos.unwrap();
                    prop_assert!(cost <= nanos, "{usage:?} of {tried:?} costs {cost}, reserved {nanos}");
                    model.take(caller, (nanos, tried.input + tried.output));
                    model.put(caller, (cost, usage.total()));
                }
                (Move::Silent, Some(Attempted { held, nanos, .. })) => {
                    let settled = held.settle(&Spent { reached: true, ..Spent::default() });
                    prop_assert_eq!((settled.cost_nanos, settled.estimated), (Some(nanos), true));
                }
                (Move::Unreached, Some(Attempted { tried, held, nanos })) => {
                    held.settle(&Spent::default());
                    model.take(caller, (nanos, tried.input + tried.output));
                }
                (Move::Drop, Some(dropped)) => drop(dropped.held),
                (Move::End, running) => {
                    drop(running);
                    if calls[caller].take().is_some() {
                        model.at_once -= 1;
                    }
                }
                (_, other) => attempts[caller] = other,
            }
            let states = bench.limits.usage(cx).now_or_never().unwrap().unwrap();
            let used: Vec<u64> = states.iter().map(|state| state.used).collect();
            prop_assert_eq!(&used[..], &model.used(caller)[..]);
            prop_assert!(used.iter().zip(&most).all(|(used, most)| used <= most), "{:?} of {:?}", used, most);
        }
        // All go away: only what runs at once comes back.
        drop((calls, attempts));
        model.at_once = 0;
        for (caller, cx) in places.iter().enumerate() {
            let states = bench.limits.usage(cx).now_or_never().unwrap().unwrap();
            let used: Vec<u64> = states.iter().map(|state| state.used).collect();
            prop_assert_eq!(&used[..], &model.used(caller)[..]);
        }
    }
}

/// Numbers that look random, the same in each run.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

#[test]
fn sixty_four_callers_at_once_never_pass_a_dollar() {
    let bench = bench(vec![rule(Unit::Usd, "1", Window::Month)], prices());
    let caller = |caller: u64| {
        let bench = &bench;
        move || {
            let (mut seed, cx, mut certain) = (caller, place(0), 0);
            for _ in 0..200 {
                let estimate = Estimate {
                    model: "fast",
                    target: TARGETS[(next(&mut seed) % 4) as usize],
                    input: next(&mut seed) % 9_000,
                    output: Some(next(&mut seed) % 3_000),
                    tier: TIERS[(next(&mut seed) % 3) as usize],
                    cache_1h: true,
                };
                // Retries: each pays for itself.
                for _ in 0..=next(&mut seed) % 3 {
                    let Ok(held) = bench.reserve(&cx, Ask::Attempt(estimate)) else { break };
                    assert!(bench.used(&cx, "r") <= 1_000_000_000);
                    let silent = Spent { reached: true, ..Spent::default() };
                    let input = next(&mut seed) % (estimate.input + 1);
                    let told = spent(input, estimate.output.unwrap_or(0) / 2);
                    match next(&mut seed) % 5 {
                        0 => {
                            certain += held.preview(&silent).cost_nanos.unwrap_or(0);
                            drop(held);
                        }
                        1 => certain += held.settle(&silent).cost_nanos.unwrap_or(0),
                        2 => drop(held.settle(&Spent::default())),
                        _ => certain += held.settle(&told).cost_nanos.unwrap_or(0),
                    }
                }
            }
            certain
        }
    };
    let spent: u64 = thread::scope(|scope| {
        let callers: Vec<_> = (0..64).map(|number| scope.spawn(caller(number))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    assert!(spent <= 1_000_000_000, "{spent}");
    assert!(spent > 900_000_000, "the dollar was there to be spent: {spent}");
    assert_eq!(bench.used(&place(0), "r"), spent, "no room is lost, and none is made");
}
