//! What is put down.

use super::*;

fn two_and_ten() -> Price {
    Price::new(Amount::whole(2), Amount::whole(10))
}

#[expect(clippy::unnecessary_wraps, reason = "as the fields take it")]
fn billed(tier: Option<&str>, cost_usd: Option<f64>) -> Option<Billed> {
    Some(Billed { tier: tier.map(str::to_owned), cost_usd, ..Billed::default() })
}

#[test]
fn money_is_reserved_at_its_worst_and_settled_at_what_it_was() {
    let prices = Prices::default().with("openai/gpt-5", two_and_ten());
    let bench = bench(vec![rule(Unit::Usd, "0.02", Window::Day)], prices);
    let cx = ci();
    let held = bench.reserve(&cx, attempt(1_000, Some(1_000))).unwrap();
    assert_eq!(bench.used(&cx, "r"), 12_000_000);
    let refused = bench.reserve(&cx, attempt(1_000, Some(1_000))).unwrap_err();
    assert_eq!(refused.code, Code::BudgetExhausted);
    assert!(refused.to_string().contains("0.02 US dollars a day"), "{refused}");
    let settled = held.settle(&spent(1_000, 100));
    assert_eq!((settled.cost_nanos, settled.estimated), (Some(3_000_000), false));
    assert_eq!(settled.prices, Some(bench.limits.prices_id()));
    assert_eq!(bench.used(&cx, "r"), 3_000_000);
    let never = bench.reserve(&cx, attempt(1_000_000, None)).unwrap_err();
    assert_eq!(never.retry_after, None, "waiting does not help");
    assert!(never.to_string().contains("may take more than"), "{never}");
}

#[test]
fn trap_51_reservations_count_the_cache_the_length_and_the_tier() {
    let prices = Prices::default().with_catalogue(Catalogue::shipped());
    let estimate = |target, input, tier, cache_1h| {
        Ask::Attempt(Estimate { model: "fast", target, input, output: Some(1_000), tier, cache_1h })
    };
    for (ask, nanos) in [
        // 1,000 × $3.75 + 1,000 × $15, for an hour 1,000 × $6 + 1,000 × $15.
        (estimate("anthropic/claude-sonnet-4-5", 1_000, None, false), 18_750_000),
        (estimate("anthropic/claude-sonnet-4-5", 1_000, None, true), 21_000_000),
        // 1,000 × $1.25 + 1,000 × $10, priority the double.
        (estimate("openai/gpt-5", 1_000, None, false), 11_250_000),
        (estimate("openai/gpt-5", 1_000, Some("priority"), false), 22_500_000),
        // 300,000 × $5 + 1,000 × $22.50.
        (estimate("openai/gpt-5.4", 300_000, None, false), 1_522_500_000),
    ] {
        let bench = bench(vec![rule(Unit::Usd, "100", Window::Day)], prices.clone());
        let held = bench.reserve(&ci(), ask).unwrap();
        assert_eq!(bench.used(&ci(), "r"), nanos, "{ask:?}");
        drop(held);
        assert_eq!(bench.used(&ci(), "r"), nanos, "{ask:?}: it may have been spent");
    }
}

#[test]
fn an_answer_of_unknown_length_is_reserved_at_the_models_longest() {
    let long = Price { max_output: Some(100_000), ..two_and_ten() };
    for (price, default, nanos) in [
        (long.clone(), None, 1_000_000_000),
        (long, Some(500), 5_000_000),
        (two_and_ten(), None, 40_960_000),
    ] {
        let rules = vec![rule(Unit::Usd, "100", Window::Day)];
        let mut bench = bench(rules, Prices::default().with("openai/*", price));
        if let Some(tokens) = default {
            bench.limits = bench.limits.with_default_output(tokens);
        }
        let _held = bench.reserve(&ci(), attempt(0, None)).unwrap();
        assert_eq!(bench.used(&ci(), "r"), nanos, "{default:?}");
    }
}

#[test]
fn what_is_settled_follows_what_the_provider_told() {
    let flex = Tier { times: "0.5".parse().ok(), ..Tier::default() };
    let price = Price { tiers: [("flex".into(), flex)].into(), ..two_and_ten() };
    let bench = bench(vec![], Prices::default().with("openai/gpt-5", price));
    let usage = spent(1_000, 1_000);
    let asked = |tier| {
        let Ask::Attempt(estimate) = attempt(5_000, Some(5_000)) else { panic!() };
        Ask::Attempt(Estimate { tier, ..estimate })
    };
    let told = |tier, cost| Spent { billed: billed(tier, cost), ..usage.clone() };
    let ours = Some("ours");
    for (tier, spent, cost, estimated, prices) in [
        (None, told(None, None), 12_000_000, false, ours),
        (None, told(Some("flex"), None), 6_000_000, false, ours),
        // Asked for and not confirmed: the dearer. Confirmed otherwise: as confirmed.
        (Some("flex"), told(None, None), 12_000_000, false, ours),
        (Some("flex"), told(Some("flex"), None), 6_000_000, false, ours),
        (Some("flex"), told(Some("default"), None), 12_000_000, false, ours),
        (None, told(Some("turbo"), None), 12_000_000, true, ours),
        // The provider's own word goes before the list, if it is a sum of money.
        (None, told(None, Some(0.0105)), 10_500_000, false, Some("provider")),
        (None, told(None, Some(0.1 + 0.2)), 300_000_000, false, Some("provider")),
        (None, told(None, Some(1.5e-9)), 2, false, Some("provider")),
        (None, told(None, Some(0.0)), 0, false, Some("provider")),
        (None, told(None, Some(-1.0)), 12_000_000, false, ours),
        (None, told(None, Some(f64::NAN)), 12_000_000, false, ours),
        (None, told(None, Some(f64::INFINITY)), 12_000_000, false, ours),
        // Nobody told: 5,000 × $2 + 5,000 × $10.
        (None, Spent { reached: true, ..Spent::default() }, 60_000_000, true, ours),
        (None, Spent::default(), 0, false, None),
    ] {
        let held = bench.reserve(&ci(), asked(tier)).unwrap();
        let id = bench.limits.prices_id();
        let prices = prices.map(|name| if name == "ours" { Arc::clone(&id) } else { name.into() });
        let expected = Settled { cost_nanos: Some(cost), estimated, prices };
        assert_eq!(held.preview(&spent), expected, "{tier:?}, {spent:?}");
        assert_eq!(held.settle(&spent), expected, "{tier:?}, {spent:?}");
    }
}

#[test]
fn a_target_without_price_is_refused_estimated_or_let_through() {
    let money = || rule(Unit::Usd, "1", Window::Day);
    let cx = ci();
    for strict in [
        Prices::default(),
        Prices::new(Unpriced::Deny).with_fallback(two_and_ten()),
        Prices::new(Unpriced::Estimate),
    ] {
        let bench = bench(vec![money()], strict);
        let refused = bench.reserve(&cx, attempt(1, None)).unwrap_err();
        assert_eq!((refused.code, refused.rule.as_deref()), (Code::BudgetExhausted, Some("r")));
        assert!(bench.reserve(&cx, CALL).is_ok(), "its price is asked for at the attempt");
    }
    let lenient = bench(vec![money()], Prices::new(Unpriced::Allow));
    let settled = lenient.reserve(&cx, attempt(1, None)).unwrap().settle(&spent(1, 1));
    assert_eq!(settled, Settled::default(), "no cost is not a cost of nothing");
    assert_eq!(lenient.used(&cx, "r"), 0);
    let told = Spent { billed: billed(None, Some(0.5)), ..spent(1, 1) };
    lenient.reserve(&cx, attempt(1, None)).unwrap().settle(&told);
    assert_eq!(lenient.used(&cx, "r"), 500_000_000, "the provider knows");

    let guess = bench(vec![money()], Prices::new(Unpriced::Estimate).with_fallback(two_and_ten()));
    let held = guess.reserve(&cx, attempt(1_000, Some(1_000))).unwrap();
    assert_eq!(guess.used(&cx, "r"), 12_000_000);
    let settled = held.settle(&spent(1_000, 0));
    assert_eq!((settled.cost_nanos, settled.estimated), (Some(2_000_000), true));
    let unlimited = bench(vec![], Prices::default());
    assert!(unlimited.reserve(&cx, attempt(1, None)).is_ok(), "no limit on money, no question");
}

#[test]
fn new_prices_leave_what_is_reserved_alone() {
    let bench = bench(
        vec![rule(Unit::Usd, "1", Window::Day)],
        Prices::default().with("openai/gpt-5", two_and_ten()),
    );
    let cx = ci();
    let old_id = bench.limits.prices_id();
    let held = bench.reserve(&cx, attempt(1_000, Some(0))).unwrap();
    assert_eq!(bench.limits.price("openai/gpt-5"), Some((2_000, 10_000)));
    let dear = Price::new(Amount::whole(20), Amount::whole(100));
    bench.limits.set_prices(Prices::default().with("openai/gpt-5", dear));
    assert_eq!(bench.limits.price("openai/gpt-5"), Some((20_000, 100_000)));
    assert_eq!(bench.limits.price("openai/other"), None);
    let settled = held.settle(&spent(1_000, 0));
    assert_eq!((settled.cost_nanos, settled.prices), (Some(2_000_000), Some(old_id.clone())));
    let settled = bench.reserve(&cx, attempt(1_000, Some(0))).unwrap().settle(&spent(1_000, 0));
    assert_eq!(settled.cost_nanos, Some(20_000_000));
    assert_ne!(settled.prices, Some(old_id));
}
