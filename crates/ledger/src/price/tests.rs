use super::*;
use crate::Catalogue;

fn usd(text: &str) -> Option<Amount> {
    text.parse().ok()
}

/// `$0.045` in nano-dollars.
fn nanos(usd: &str) -> u64 {
    usd.parse::<Amount>().unwrap().billionths()
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input, output, ..Usage::default() }
}

#[test]
fn trap_50_cached_tokens_are_part_of_the_prompt_and_charged_once() {
    let shipped = Catalogue::shipped();
    // OpenAI: prompt_tokens 100,000, of which cached 80,000.
    let gpt = shipped.of("openai", "gpt-5").unwrap();
    let told = Usage { cache_read: 80_000, ..usage(100_000, 1_000) };
    // 20,000 × $1.25 + 80,000 × $0.125 + 1,000 × $10, a million.
    assert_eq!(gpt.cost(&told, None), nanos("0.045"));
    // Anthropic: input_tokens 20,000, read 80,000, written 10,000.
    let claude = shipped.of("anthropic", "claude-sonnet-4-5").unwrap();
    let told = Usage { cache_read: 80_000, cache_write: 10_000, ..usage(110_000, 1_000) };
    // 20,000 × $3 + 80,000 × $0.30 + 10,000 × $3.75 + 1,000 × $15.
    assert_eq!(claude.cost(&told, None), nanos("0.1365"));
    // A usage that was left as Anthropic writes it is charged for all that it tells.
    let raw = Usage { input: 20_000, ..told };
    assert_eq!(claude.cost(&raw, None), nanos("0.0765"), "all of the cache, none of the rest");
}

#[test]
fn trap_51_cache_writes_for_an_hour_cost_their_own_price() {
    let shipped = Catalogue::shipped();
    let claude = shipped.of("anthropic", "claude-sonnet-4-5").unwrap();
    let told = Usage { cache_write: 10_000, cache_write_1h: 4_000, ..usage(12_000, 100) };
    // 2,000 × $3 + 6,000 × $3.75 + 4,000 × $6 + 100 × $15.
    assert_eq!(claude.cost(&told, None), nanos("0.054"));
    let bound = Bound { input: 12_000, output: 100, ..Bound::default() };
    // 12,000 × $3.75 + 100 × $15; for an hour 12,000 × $6 + 100 × $15.
    assert_eq!(claude.worst(&bound), nanos("0.0465"));
    assert_eq!(claude.worst(&Bound { cache_1h: true, ..bound }), nanos("0.0735"));
}

#[test]
fn trap_51_long_prompts_cost_their_own_price_from_the_next_token_on() {
    let shipped = Catalogue::shipped();
    let gemini = shipped.of("gemini", "gemini-2.5-pro").unwrap();
    // 200,000 × $1.25 + 1,000 × $10; one more: 200,001 × $2.50 + 1,000 × $15.
    assert_eq!(gemini.cost(&usage(200_000, 1_000), None), nanos("0.26"));
    assert_eq!(gemini.cost(&usage(200_001, 1_000), None), 515_002_500);
    let gpt = shipped.of("openai", "gpt-5.4").unwrap();
    // 272,001 × $5 + 1,000 × $22.50; flex: 272,001 × $2.50 + 1,000 × $11.25.
    assert_eq!(gpt.cost(&usage(272_001, 1_000), None), 1_382_505_000);
    assert_eq!(gpt.cost(&usage(272_001, 1_000), Some("flex")), 691_252_500);
    let bound = Bound { input: 300_000, output: 1_000, ..Bound::default() };
    // 300,000 × $5 + 1,000 × $22.50.
    assert_eq!(gpt.worst(&bound), nanos("1.5225"));
    // The cache counts towards the length, and what is not told for it stays.
    let cached = Usage { cache_read: 250_000, ..usage(300_000, 0) };
    // 50,000 × $5 + 250,000 × $0.50.
    assert_eq!(gpt.cost(&cached, None), nanos("0.375"));
}

#[test]
fn trap_51_tiers_of_service_cost_their_own_price() {
    let shipped = Catalogue::shipped();
    let gpt = shipped.of("openai", "gpt-5").unwrap();
    for (tier, cost) in [
        (None, "0.01125"),
        (Some("default"), "0.01125"),
        (Some("flex"), "0.005625"),
        (Some("FLEX"), "0.005625"),
        (Some("batch"), "0.005625"),
        // 1,000 × $2.50 + 1,000 × $20.
        (Some("priority"), "0.0225"),
        (Some("unheard-of"), "0.01125"),
    ] {
        assert_eq!(gpt.cost(&usage(1_000, 1_000), tier), nanos(cost), "{tier:?}");
    }
    assert!(gpt.knows_tier(Some("priority")) && gpt.knows_tier(Some("auto")));
    assert!(!gpt.knows_tier(Some("unheard-of")));
    let bound = |tier| Bound { input: 1_000, output: 1_000, tier, cache_1h: false };
    assert_eq!(gpt.worst(&bound(Some("priority"))), nanos("0.0225"));
    assert_eq!(gpt.worst(&bound(Some("flex"))), nanos("0.01125"), "it may be served as standard");
    let claude = shipped.of("anthropic", "claude-sonnet-4-5").unwrap();
    let told = Usage { cache_read: 80_000, cache_write: 10_000, ..usage(110_000, 1_000) };
    assert_eq!(claude.cost(&told, Some("batch")), nanos("0.06825"), "half of 0.1365");
}

#[test]
fn trap_52_reasoning_is_part_of_the_answer_and_charged_once() {
    let shipped = Catalogue::shipped();
    let told = Usage { reasoning: 1_000, ..usage(0, 1_500) };
    for (provider, model, cost) in
        [("openai", "gpt-5", "0.015"), ("gemini", "gemini-2.5-pro", "0.015")]
    {
        let price = shipped.of(provider, model).unwrap();
        assert_eq!(price.cost(&told, None), nanos(cost), "{model}");
        let words = Usage { reasoning: 0, ..told };
        assert_eq!(price.cost(&words, None), nanos(cost), "{model}");
    }
}

#[test]
fn sound_searches_and_calls_have_their_own_price() {
    let price = Price {
        audio_input: usd("40"),
        audio_output: usd("80"),
        search: usd("10"),
        request: usd("5"),
        ..Price::new(Amount::whole(2), Amount::whole(10))
    };
    let told = Usage { audio_input: 600, audio_output: 50, searches: 3, ..usage(1_000, 100) };
    // 400 × $2 + 600 × $40 + 50 × $10 + 50 × $80, a million; 3 × $10 + 1 × $5, a thousand.
    assert_eq!(price.cost(&told, None), nanos("0.0643"));
    let bound = Bound { input: 1_000, output: 100, ..Bound::default() };
    assert_eq!(price.worst(&bound), nanos("0.053"), "all of it sound, and no search");
}

#[test]
fn what_a_tier_does_not_tell_of_long_prompts_costs_what_is_dearer() {
    let above = vec![Above { tokens: 100, input: usd("4"), output: usd("20"), ..Above::default() }];
    let own = Tier { input: usd("1"), cache_read: usd("0.5"), ..Tier::default() };
    let times = Tier { times: usd("0.5"), ..Tier::default() };
    let price = Price {
        above,
        tiers: [("own".into(), own), ("half".into(), times)].into(),
        ..Price::new(Amount::whole(2), Amount::whole(10))
    };
    assert_eq!(price.cost(&usage(100, 0), Some("own")), 100_000);
    assert_eq!(price.cost(&usage(101, 0), Some("own")), 404_000);
    assert_eq!(price.cost(&usage(101, 0), Some("half")), 202_000);
}

#[test]
fn costs_are_rounded_up_once_and_never_wrap() {
    // A millionth of a dollar a million: a thousandth of a nano-dollar for each token.
    let least = Price::new(Amount::from_millionths(1), Amount::from_millionths(1));
    assert_eq!(least.cost(&usage(0, 0), None), 0);
    assert_eq!(least.cost(&usage(1, 0), None), 1);
    assert_eq!(least.cost(&usage(1_000, 0), None), 1);
    assert_eq!(least.cost(&usage(1_000, 1), None), 2);
    let dear = Amount::from_millionths(u64::MAX);
    let price = Price { search: Some(dear), ..Price::new(dear, dear) };
    let most = Usage {
        input: u64::MAX,
        output: u64::MAX,
        cache_read: u64::MAX,
        cache_write: u64::MAX,
        audio_input: u64::MAX,
        searches: u64::MAX,
        ..Usage::default()
    };
    assert_eq!(price.cost(&most, None), u64::MAX);
    let bound = Bound { input: u64::MAX, output: u64::MAX, ..Bound::default() };
    assert_eq!(price.worst(&bound), u64::MAX);
    let tier = Tier { times: Some(dear), ..Tier::default() };
    let price = Price { tiers: [("t".into(), tier)].into(), ..price };
    assert_eq!(price.cost(&most, Some("t")), u64::MAX);
}
