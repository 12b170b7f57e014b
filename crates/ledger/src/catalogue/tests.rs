use super::*;
use crate::{Amount, Bound};

#[test]
fn the_shipped_list_is_whole_and_has_no_silent_zero() {
    let shipped = Catalogue::shipped();
    assert!(shipped.len() > 500 && shipped.left_out() == 0);
    assert!(shipped.id().starts_with("doorward-2026-"));
    for (provider, table) in &shipped.providers {
        assert_eq!(canonical(provider), provider, "filed under our own name");
        let patterns = table.patterns.iter().map(|(pattern, price)| (pattern.as_str(), price));
        let exact = table.exact.iter().map(|(name, price)| (name.as_str(), price));
        for (model, price) in exact.chain(patterns) {
            let shown = format!("{provider}/{model}");
            assert!(price.input > Amount::default(), "{shown}");
            assert!(
                price.input < Amount::whole(1_000) && price.output < Amount::whole(2_000),
                "{shown}"
            );
            assert!(price.cache_read.is_none_or(|read| read <= price.input), "{shown}");
            for cache in [price.cache_read, price.cache_write, price.cache_write_1h] {
                assert_ne!(cache, Some(Amount::default()), "{shown}");
            }
            let bound = |tier| Bound { input: 1_000_000, output: 1_000, tier, cache_1h: true };
            for tier in price.tiers.keys() {
                assert!(price.worst(&bound(Some(tier))) >= price.worst(&bound(None)), "{shown}");
            }
        }
    }
}

#[test]
fn well_known_models_have_their_list_price() {
    let shipped = Catalogue::shipped();
    for (provider, model, input, output) in [
        ("openai", "gpt-5", "1.25", "10"),
        ("openai", "gpt-5-mini-2025-08-07", "0.25", "2"),
        ("openai", "gpt-4o-mini", "0.15", "0.6"),
        ("openai", "o3", "2", "8"),
        ("openai", "text-embedding-3-small", "0.02", "0"),
        ("anthropic", "claude-opus-4-5", "5", "25"),
        ("anthropic", "claude-haiku-4-5", "1", "5"),
        ("gemini", "gemini-2.5-flash", "0.3", "2.5"),
        ("google", "gemini-2.5-flash", "0.3", "2.5"),
        ("vertex", "claude-sonnet-4-5@20250929", "3", "15"),
        ("bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "3", "15"),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.3", "16.5"),
        ("groq", "openai/gpt-oss-120b", "0.15", "0.6"),
        ("x-ai", "grok-4.5", "2", "6"),
        ("perplexity", "sonar-pro", "3", "15"),
    ] {
        let price = shipped.of(provider, model);
        let read = price.map(|price| (price.input.to_string(), price.output.to_string()));
        assert_eq!(read, Some((input.into(), output.into())), "{provider}/{model}");
    }
    for unknown in ["gpt-5-nonsense", "", "*"] {
        assert!(shipped.of("openai", unknown).is_none(), "{unknown}");
    }
}

const LITELLM: &str = r#"{
  "sample_spec": { "litellm_provider": "one of …", "input_cost_per_token": 0 },
  "gpt-x": {
    "litellm_provider": "openai", "mode": "responses", "max_output_tokens": 128000,
    "input_cost_per_token": 1.25e-06, "output_cost_per_token": "1e-05",
    "cache_read_input_token_cost": 1.25e-07,
    "input_cost_per_token_above_272k_tokens": 2.5e-06,
    "input_cost_per_token_flex": 6.25e-07, "output_cost_per_token_flex": 5e-06,
    "input_cost_per_token_above_272k_tokens_flex": 1.25e-06,
    "input_cost_per_token_batches": 6.25e-07,
    "search_context_cost_per_query": { "search_context_size_low": 0.01, "search_context_size_high": 0.025 }
  },
  "vertex_ai/claude-y@1": {
    "litellm_provider": "vertex_ai-anthropic_models", "mode": "chat",
    "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
    "cache_creation_input_token_cost": 3.75e-06,
    "cache_creation_input_token_cost_above_1hr": 6e-06,
    "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 1.2e-05
  },
  "gemini/embed": { "litellm_provider": "gemini", "mode": "embedding", "input_cost_per_token": 1.5e-07, "output_cost_per_token": 0 },
  "perplexity/sonar": { "litellm_provider": "perplexity", "mode": "chat", "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06, "input_cost_per_request": 0.005 },
  "reasons": { "litellm_provider": "xai", "mode": "chat", "input_cost_per_token": 1e-06, "cache_creation_input_token_cost": 0, "output_cost_per_token": 1e-06, "output_cost_per_reasoning_token": 3e-06 },
  "free": { "litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0 },
  "picture": { "litellm_provider": "openai", "mode": "image_generation", "input_cost_per_token": 1e-06 },
  "unpriced": { "litellm_provider": "openai", "mode": "chat" },
  "odd": { "litellm_provider": "openai", "mode": "chat", "input_cost_per_token": -1e-06 },
  "odder": 7
}"#;

#[test]
fn a_list_in_the_other_shape_is_read_by_the_table() {
    let list = Catalogue::parse(LITELLM).unwrap();
    assert_eq!((list.len(), list.left_out()), (5, 5));
    assert!(list.id().starts_with("litellm-"));
    let shown = |provider, model| {
        let price: &Price = list.of(provider, model).unwrap();
        serde_json::to_value(price).unwrap()
    };
    assert_eq!(
        shown("openai", "gpt-x"),
        serde_json::json!({
            "input": "1.25", "output": 10, "cache_read": "0.125", "search": 25, "max_output": 128_000,
            "above": [{ "tokens": 272_000, "input": "2.5" }],
            "tiers": {
                "batch": { "input": "0.625" },
                "flex": { "input": "0.625", "output": 5, "above": [{ "tokens": 272_000, "input": "1.25" }] },
            },
        })
    );
    assert_eq!(
        shown("vertex", "claude-y@1"),
        serde_json::json!({
            "input": 3, "output": 15, "cache_write": "3.75", "cache_write_1h": 6,
            "above": [{ "tokens": 200_000, "cache_write_1h": 12 }],
        })
    );
    assert_eq!(shown("gemini", "embed"), serde_json::json!({ "input": "0.15", "output": 0 }));
    // $0.005 a call is $5 a thousand.
    assert_eq!(shown("perplexity", "sonar")["request"], 5);
    assert!(shown("xai", "reasons").get("cache_write").is_none(), "a zero is none");
    assert_eq!(shown("xai", "reasons")["output"], 3, "the dearer: they are not told apart");
}

#[test]
fn what_is_no_list_is_an_error() {
    for text in [
        "",
        "[]",
        "null",
        "{}",
        r#"{ "name": "x", "date": "", "prices": [] }"#,
        r#"{ "name": "x", "date": "", "prices": [{ "provider": "p", "models": ["m"], "price": { "input": 1 } }] }"#,
        r#"{ "name": "x", "date": "", "prices": [{ "provider": "p", "models": ["m"], "price": { "input": -1, "output": 1 } }] }"#,
        r#"{ "m": { "litellm_provider": "openai" } }"#,
    ] {
        assert!(Catalogue::parse(text).is_err(), "{text}");
    }
}

#[test]
fn the_id_tells_what_is_in_it() {
    let one = Catalogue::parse(LITELLM).unwrap();
    let other = Catalogue::parse(&LITELLM.replace("1.25e-06", "1.26e-06")).unwrap();
    assert_ne!(one.id(), other.id());
}
