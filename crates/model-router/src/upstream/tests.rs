use std::collections::BTreeMap;

use super::*;

fn provider(name: &str) -> Provider {
    Provider::named(name).unwrap()
}

/// The addresses of a provider's dialects, also of those that this build's wire crate lacks:
/// whole, stream, count.
fn addresses(name: &str, options: &UpstreamOptions, dialect: &str, model: &str) -> [String; 3] {
    let provider = provider(name);
    let place = Place::new(&provider, options).unwrap();
    let chosen = chosen(&provider, options).unwrap();
    let spoken = chosen.into_iter().find(|spoken| {
        let fits = |patterns: &[Pattern]| patterns.iter().any(|p| p.matches(model));
        spoken.name == dialect
            && (spoken.only.is_empty() || fits(&spoken.only))
            && !fits(&spoken.except)
    });
    let spoken = spoken.unwrap_or_else(|| panic!("{name} speaks {dialect}"));
    [Some(&spoken.path), spoken.stream_path.as_ref(), spoken.count.as_ref()].map(|path| {
        let address = path.map(|path| place.address(path).unwrap());
        address.map(|address| address.of(model).unwrap().to_string()).unwrap_or_default()
    })
}

fn options(set: &[(&str, &str)]) -> UpstreamOptions {
    let mut options = UpstreamOptions::default();
    for (name, value) in set {
        if !options.set(name, (*value).to_owned()) {
            options.dialects.push((*value).to_owned());
        }
    }
    options
}

#[test]
fn every_provider_is_asked_at_its_own_address() {
    for (name, dialect, url) in [
        ("openai", "openai-chat", "https://api.openai.com/v1/chat/completions"),
        ("openai", "openai-responses", "https://api.openai.com/v1/responses"),
        ("anthropic", "anthropic-messages", "https://api.anthropic.com/v1/messages"),
        ("groq", "openai-chat", "https://api.groq.com/openai/v1/chat/completions"),
        ("mistral", "openai-chat", "https://api.mistral.ai/v1/chat/completions"),
        ("cerebras", "openai-chat", "https://api.cerebras.ai/v1/chat/completions"),
        ("cohere", "cohere-chat", "https://api.cohere.com/v2/chat"),
        ("deepseek", "openai-chat", "https://api.deepseek.com/v1/chat/completions"),
        ("xai", "openai-chat", "https://api.x.ai/v1/chat/completions"),
        ("xai", "openai-responses", "https://api.x.ai/v1/responses"),
        ("together", "openai-chat", "https://api.together.xyz/v1/chat/completions"),
        ("fireworks", "openai-chat", "https://api.fireworks.ai/inference/v1/chat/completions"),
        ("perplexity", "openai-chat", "https://api.perplexity.ai/chat/completions"),
        ("openrouter", "openai-chat", "https://openrouter.ai/api/v1/chat/completions"),
        ("openrouter", "anthropic-messages", "https://openrouter.ai/api/v1/messages"),
        ("vercel", "openai-responses", "https://ai-gateway.vercel.sh/v1/responses"),
        ("vercel", "anthropic-messages", "https://ai-gateway.vercel.sh/v1/messages"),
        ("vllm", "openai-chat", "http://127.0.0.1:8000/v1/chat/completions"),
        ("ollama", "openai-chat", "http://127.0.0.1:11434/v1/chat/completions"),
        ("zai", "openai-chat", "https://api.z.ai/api/paas/v4/chat/completions"),
        ("moonshot", "openai-chat", "https://api.moonshot.ai/v1/chat/completions"),
        ("github-models", "openai-chat", "https://models.github.ai/inference/chat/completions"),
    ] {
        assert_eq!(addresses(name, &UpstreamOptions::default(), dialect, "m")[0], url, "{name}");
    }
}

#[test]
fn an_optional_dialect_is_spoken_where_it_is_named() {
    for (name, dialect, base, url) in [
        ("ollama", "ollama-chat", "http://gpu:11434/v1", "http://gpu:11434/api/chat"),
        (
            "deepseek",
            "anthropic-messages",
            "https://d.test/v1",
            "https://d.test/anthropic/v1/messages",
        ),
        (
            "openai-compatible",
            "openai-responses",
            "https://x.test/v1",
            "https://x.test/v1/responses",
        ),
        (
            "gemini",
            "openai-chat",
            "https://g.test/v1beta",
            "https://g.test/v1beta/openai/chat/completions",
        ),
    ] {
        let named = options(&[("base_url", base), ("dialect", dialect)]);
        assert_eq!(addresses(name, &named, dialect, "m")[0], url);
        let unnamed = options(&[("base_url", base)]);
        let spoken = provider(name);
        let spoken = chosen(&spoken, &unnamed).unwrap();
        assert!(spoken.iter().all(|spoken| spoken.name != dialect), "{name} {dialect}");
    }
    let wrong = options(&[("dialect", "gemini")]);
    let error = Upstream::configured("x", provider("openai"), wrong).unwrap_err();
    assert_eq!(error.to_string(), "provider `openai` does not speak `gemini`");
}

/// Trap 48: hosts of regions, `global`, and the multi-regions.
#[test]
fn vertex_hosts_follow_the_location() {
    let models = "/v1/projects/p-1/locations";
    for (location, host) in [
        (None, "https://aiplatform.googleapis.com"),
        (Some("global"), "https://aiplatform.googleapis.com"),
        (Some("us"), "https://aiplatform.us.rep.googleapis.com"),
        (Some("eu"), "https://aiplatform.eu.rep.googleapis.com"),
        (Some("europe-west4"), "https://europe-west4-aiplatform.googleapis.com"),
    ] {
        let mut options = options(&[("project", "p-1")]);
        options.location = location.map(str::to_owned);
        let at = format!("{host}{models}/{}/publishers", location.unwrap_or("global"));
        let gemini = addresses("vertex", &options, "gemini", "gemini-3");
        let google = format!("{at}/google/models/gemini-3");
        assert_eq!(gemini[0], format!("{google}:generateContent"));
        assert_eq!(gemini[1], format!("{google}:streamGenerateContent?alt=sse"));
        assert_eq!(gemini[2], format!("{google}:countTokens"));
        let claude = addresses("vertex", &options, "anthropic-messages", "claude-opus-4@20250514");
        let anthropic = format!("{at}/anthropic/models");
        assert_eq!(claude[0], format!("{anthropic}/claude-opus-4@20250514:rawPredict"));
        assert_eq!(claude[1], format!("{anthropic}/claude-opus-4@20250514:streamRawPredict"));
        assert_eq!(claude[2], format!("{anthropic}/count-tokens:rawPredict"));
    }
}

/// Trap 49: a deployment is not a model, and the classic address has a version.
#[test]
fn azure_has_two_styles_of_address() {
    let resource = options(&[("resource", "res")]);
    let host = "https://res.openai.azure.com/openai";
    let v1 = addresses("azure", &resource, "openai-chat", "prod-5");
    assert_eq!(v1[0], format!("{host}/v1/chat/completions"));
    let classic = addresses("azure-deployments", &resource, "openai-chat", "prod-5");
    let at = format!("{host}/deployments/prod-5/chat/completions?api-version=");
    assert_eq!(classic[0], format!("{at}2024-10-21"));
    let newer = options(&[("resource", "res"), ("api_version", "2025-04-01-preview")]);
    let classic = addresses("azure-deployments", &newer, "openai-chat", "prod-5");
    assert_eq!(classic[0], format!("{at}2025-04-01-preview"));
    for base in ["https://own.test/", "https://own.test/openai/v1", "https://own.test/openai/v1/"] {
        let own = options(&[("base_url", base)]);
        let v1 = addresses("azure", &own, "openai-chat", "m");
        assert_eq!(v1[0], "https://own.test/openai/v1/chat/completions", "{base}");
    }
    let claude = addresses("azure-anthropic", &resource, "anthropic-messages", "m");
    assert_eq!(claude[0], "https://res.services.ai.azure.com/anthropic/v1/messages");
}

/// Trap 47: profiles are ARNs, and one segment of the path.
#[test]
fn bedrock_names_the_model_in_the_path() {
    let region = options(&[("region", "eu-central-1")]);
    let host = "https://bedrock-runtime.eu-central-1.amazonaws.com/model";
    let converse = addresses("bedrock", &region, "bedrock-converse", "arn:aws:bedrock:x:1:p/q");
    let arn = "arn%3Aaws%3Abedrock%3Ax%3A1%3Ap%2Fq";
    assert_eq!(converse[0], format!("{host}/{arn}/converse"));
    assert_eq!(converse[1], format!("{host}/{arn}/converse-stream"));
    let model = "eu.anthropic.claude-opus-4-5-v1:0";
    let claude = addresses("bedrock", &region, "anthropic-messages", model);
    assert_eq!(claude[0], format!("{host}/eu.anthropic.claude-opus-4-5-v1%3A0/invoke"));
    assert!(claude[1].ends_with("%3A0/invoke-with-response-stream"));
    let china = options(&[("region", "cn-north-1")]);
    let converse = addresses("bedrock", &china, "bedrock-converse", "m");
    assert_eq!(converse[0], "https://bedrock-runtime.cn-north-1.amazonaws.com.cn/model/m/converse");
}

/// A dialect that one publisher's models speak is never used for another's.
#[test]
fn each_model_is_spoken_to_in_its_publishers_dialect() {
    let vertex = provider("vertex");
    for (model, dialects) in [
        ("claude-opus-5", "anthropic-messages"),
        ("gemini-3", "gemini"),
        ("meta/llama-4", "openai-chat"),
        ("mistral-large", "openai-chat"),
    ] {
        let fits = |patterns: &[Pattern]| patterns.iter().any(|p| p.matches(model));
        let takes = |it: &&Spoken| (it.only.is_empty() || fits(&it.only)) && !fits(&it.except);
        let spoken: Vec<&str> = vertex.spoken.iter().filter(takes).map(|it| &*it.name).collect();
        assert_eq!(spoken.join(" "), dialects, "{model}");
    }
}

#[test]
fn gemini_streams_as_events() {
    for base in [None, Some("https://generativelanguage.googleapis.com/v1beta")] {
        let base_url = base.map(str::to_owned);
        let options = UpstreamOptions { base_url, ..UpstreamOptions::default() };
        let at = "https://generativelanguage.googleapis.com/v1beta/models/gemini-3";
        let found = addresses("gemini", &options, "gemini", "gemini-3");
        assert_eq!(found[0], format!("{at}:generateContent"));
        assert_eq!(found[1], format!("{at}:streamGenerateContent?alt=sse"));
        assert_eq!(found[2], format!("{at}:countTokens"));
    }
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    for (name, set, message) in [
        ("bedrock", &[][..], "`region` is missing"),
        ("vertex", &[], "`project` is missing"),
        ("azure", &[], "`resource` is missing"),
        ("cloudflare", &[], "`account` is missing"),
        ("openai-compatible", &[], "provider `openai-compatible` needs a base_url"),
        (
            "bedrock",
            &[("region", "x.test/y")],
            "`region` holds a character that cannot stand in an address",
        ),
        (
            "azure",
            &[("resource", "")],
            "`resource` holds a character that cannot stand in an address",
        ),
        (
            "openai",
            &[("base_url", "ftp://a.test")],
            "base_url `ftp://a.test` is not an http(s) URL",
        ),
    ] {
        let error = Upstream::configured("x", provider(name), options(set)).unwrap_err();
        assert_eq!(error.to_string(), message, "{name}");
    }
    for url in ["", "ftp://a.test", "a.test/v1", "http://", "http://a b"] {
        let made = Upstream::new("x", provider("openai-compatible"), Some(url));
        assert!(matches!(made, Err(UpstreamError::BadUrl { .. })), "{url}");
    }
    let headers = BTreeMap::from([("bad name".to_owned(), "v".to_owned())]);
    let wrong = UpstreamOptions { headers, ..UpstreamOptions::default() };
    let error = Upstream::configured("x", provider("openai"), wrong).unwrap_err();
    assert!(matches!(error, UpstreamError::BadHeader(name) if name == "bad name"));
}

#[test]
fn the_clients_dialect_goes_first_and_then_the_providers_order() {
    let upstream = Upstream::new("openai", provider("openai"), None).unwrap();
    let at = |client, model: &str| upstream.endpoint(client, model).map(|endpoint| endpoint.id);
    assert_eq!(at(Some(DialectId::ANTHROPIC_MESSAGES), "gpt-5"), Some(DialectId::OPENAI_CHAT));
    assert_eq!(at(Some(DialectId::OPENAI_CHAT), "gpt-5"), Some(DialectId::OPENAI_CHAT));
    // What answers at /responses alone is never asked elsewhere.
    for model in ["gpt-5.1-codex-max", "gpt-5-pro", "o3-pro", "o4-mini-deep-research"] {
        assert_ne!(
            at(Some(DialectId::OPENAI_CHAT), model),
            Some(DialectId::OPENAI_CHAT),
            "{model}"
        );
    }
    let router = Upstream::new("or", provider("openrouter"), None).unwrap();
    let at = |client| router.endpoint(Some(client), "m").map(|endpoint| endpoint.id);
    assert_eq!(at(DialectId::ANTHROPIC_MESSAGES), Some(DialectId::ANTHROPIC_MESSAGES));
    assert_eq!(at(DialectId::GEMINI), Some(DialectId::OPENAI_CHAT));
}

#[test]
fn a_call_for_a_form_passes_over_what_ignores_it() {
    use doorward_core::{ModelCall, Params, RawCall, ResponseFormat};
    let (chat, messages) = (DialectId::OPENAI_CHAT, DialectId::ANTHROPIC_MESSAGES);
    let raw = RawCall { dialect: messages, model: 0..0, body: "".into(), headers: vec![] };
    let response_format = Some(ResponseFormat::JsonObject);
    let plain = ModelCall { raw: Some(raw), ..ModelCall::default() };
    let params = Params { response_format, ..Params::default() };
    let shaped = ModelCall { params, raw: plain.raw.clone(), ..ModelCall::default() };
    for (dialects, call, found, ignored) in [
        (&[chat, messages][..], &plain, messages, false),
        (&[chat, messages], &shaped, chat, false),
        (&[messages], &shaped, messages, true),
    ] {
        let dialects = dialects.iter().map(|id| id.as_str().to_owned()).collect();
        let options = UpstreamOptions { dialects, ..UpstreamOptions::default() };
        let upstream = Upstream::configured("llama", provider("llamacpp"), options).unwrap();
        let endpoint = upstream.endpoint_for(call, "m").unwrap();
        assert_eq!((endpoint.id, endpoint.ignores_form_of(call)), (found, ignored));
    }
}

#[test]
fn a_model_goes_by_the_upstreams_own_name_for_it() {
    let deployments = BTreeMap::from([("gpt-5".to_owned(), "prod 5".to_owned())]);
    let options = UpstreamOptions {
        deployments,
        query: BTreeMap::from([("tenant".to_owned(), "a b".to_owned())]),
        ..options(&[("resource", "r")])
    };
    let upstream = Upstream::configured("az", provider("azure-deployments"), options).unwrap();
    assert!(upstream.serves("gpt-5") && !upstream.serves("gpt-4"));
    assert_eq!(upstream.known_as("gpt-4"), "gpt-4");
    let endpoint = upstream.endpoint(None, "gpt-5").unwrap();
    let address = endpoint.address(false).of(upstream.known_as("gpt-5")).unwrap().to_string();
    assert!(address.contains("/deployments/prod%205/chat/completions?api-version=2024-10-21"));
    assert!(address.ends_with("&tenant=a%20b"), "{address}");
}

#[test]
fn configured_headers_are_not_printed() {
    let headers = BTreeMap::from([("cf-access-client-secret".to_owned(), "hush-1".to_owned())]);
    let options = UpstreamOptions { headers, ..UpstreamOptions::default() };
    assert!(!format!("{options:?}").contains("hush"));
    let upstream = Upstream::configured("x", provider("openai"), options).unwrap();
    assert_eq!(upstream.headers["cf-access-client-secret"], "hush-1");
    assert!(!format!("{upstream:?}").contains("hush"));
}

#[test]
fn options_are_read_and_unknown_ones_refused() {
    let text = r#"region = "eu-west-1"
        auth = "bearer"
        deployments = { "claude-opus" = "arn:aws:x" }
        labels = { training = "no" }"#;
    let options: UpstreamOptions = toml::from_str(text).unwrap();
    assert_eq!((options.region.as_deref(), options.auth), (Some("eu-west-1"), Some(Auth::Bearer)));
    assert!(toml::from_str::<UpstreamOptions>("regoin = 'x'").is_err());
}
