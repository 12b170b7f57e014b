use super::*;
use crate::Amount;

fn price(input: u64) -> Price {
    Price::new(Amount::whole(input), Amount::whole(1))
}

fn list(name: &str, model: &str, input: u64) -> Catalogue {
    let text = format!(
        r#"{{ "name": "{name}", "date": "2026-01-01", "prices": [
             {{ "provider": "openai", "models": ["{model}"], "price": {{ "input": {input}, "output": 1 }} }} ] }}"#
    );
    Catalogue::parse(&text).unwrap()
}

#[test]
fn what_is_nearer_to_the_target_goes_before() {
    let prices = Prices::default()
        .with_catalogue(list("old", "m-*", 1))
        .with_catalogue(list("new", "m-1", 2))
        .with_upstream("main", "openai")
        .with("main/own-*", price(3))
        .with("main/own-exact", price(4))
        .with("main/own-ex*", price(5));
    for (target, input) in [
        ("main/m-1", Some(2)),
        ("main/m-2", Some(1)),
        ("openai/m-1", Some(2)),
        ("main/own-exact", Some(4)),
        ("main/own-example", Some(5)),
        ("main/own-other", Some(3)),
        ("main/none", None),
        ("azure/m-1", None),
        ("m-1", None),
    ] {
        let found = prices.of(target).map(|price| price.input);
        assert_eq!(found, input.map(Amount::whole), "{target}");
    }
}

#[test]
fn the_fallback_is_only_for_estimates() {
    for (unpriced, quoted) in
        [(Unpriced::Deny, false), (Unpriced::Allow, false), (Unpriced::Estimate, true)]
    {
        let prices = Prices::new(unpriced).with_fallback(price(9)).with("a/b", price(1));
        assert_eq!(prices.quote("x/y").is_some_and(|quote| quote.is_fallback), quoted);
        assert!(!prices.quote("a/b").unwrap().is_fallback);
        assert!(prices.of("x/y").is_none(), "nobody knows it all the same");
    }
}

#[test]
fn an_id_tells_prices_apart_and_nothing_else() {
    let base = || Prices::new(Unpriced::Deny).with("a/b", price(1)).with("c/*", price(2));
    let turned = Prices::new(Unpriced::Deny).with("c/*", price(2)).with("a/b", price(1));
    assert_eq!(base().id(), turned.id());
    assert!(base().with_catalogue(list("acme", "m", 1)).id().starts_with("acme-2026-01-01-"));
    let mut seen = std::collections::BTreeSet::from([base().id()]);
    for other in [
        base().with("a/b", price(3)),
        base().with_fallback(price(1)),
        base().with_upstream("a", "openai"),
        base().with_catalogue(list("acme", "m", 1)),
        base().with_catalogue(list("acme", "m", 2)),
    ] {
        assert!(seen.insert(other.id()), "{}", other.id());
    }
}

#[test]
fn a_rule_sets_every_part_of_a_price() {
    let price = r#""input": 1, "output": 2, "cache_read": 3, "cache_write": 4, "cache_write_1h": 5,
        "audio_input": 6, "audio_output": 7, "search": 8, "request": 9, "max_output": 10,
        "above": [{ "tokens": 11, "input": 12 }], "tiers": { "flex": { "times": 13 } }"#;
    let rule: PriceRule =
        serde_json::from_str(&format!(r#"{{ "model": "a/*", {price} }}"#)).unwrap();
    let prices = Prices::default().with_rule(rule);
    let whole: Price = serde_json::from_str(&format!("{{ {price} }}")).unwrap();
    assert_eq!(prices.of("a/b"), Some(&whole));
    assert!(serde_json::from_str::<PriceRule>(&format!("{{ {price} }}")).is_err(), "no model");
    let typo = r#"{ "model": "a/b", "input": 1, "output": 2, "cached": 3 }"#;
    assert!(serde_json::from_str::<PriceRule>(typo).is_err());
}
