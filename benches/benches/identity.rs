//! Checking a virtual key and a token of an identity provider, and deciding by policies.
#![expect(clippy::unwrap_used, reason = "a bench may fail as a test may")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::Criterion;
use doorward_benches::cx;
use doorward_core::{
    Action, Authenticator, Authorizer, Clock, Identity, Label, Presented, Principal, Secret,
    SystemClock, ToolName,
};
use doorward_identity::cedar::{Options, Policies, PolicySource};
use doorward_identity::jwt::{Builder, Issuer, Jwt, Keys, Mapping};
use doorward_identity::oauth_client::{HyperHttp, Reach};
use doorward_identity::{Guesses, KeyStore, Memory, NewKey, VirtualKeys};
use doorward_testkit::keys::{minted, pepper};
use futures_util::FutureExt;
use serde_json::value::RawValue;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let (store, mut shown) = (Arc::new(Memory::default()), None);
    for seed in 0..1000 {
        let (text, record) = minted(seed, NewKey::new("ci", "build"));
        store.insert(&record).unwrap();
        shown = Some(text);
    }
    let keys =
        VirtualKeys::new(store, pepper(), Arc::new(SystemClock), Guesses::default()).unwrap();
    let check = |token: &Presented| keys.authenticate(black_box(token)).now_or_never().unwrap();

    let known = Presented { token: shown, ..Presented::default() };
    criterion.bench_function("identity/a known key among 1000", |bench| {
        bench.iter(|| check(&known).unwrap());
    });
    let (stranger, _) = minted(5000, NewKey::new("ci", "build"));
    let unknown = Presented { token: Some(stranger), ..Presented::default() };
    criterion.bench_function("identity/an unknown key", |bench| {
        bench.iter(|| check(&unknown).unwrap_err());
    });
    let shapeless = Presented { token: Some(Secret::new("sk-1234")), ..Presented::default() };
    criterion.bench_function("identity/no key at all", |bench| {
        bench.iter(|| check(&shapeless).unwrap_err());
    });
    decide(&mut criterion);
    tokens(&mut criterion);
    criterion.final_summary();
}

/// Fifty policies: ten about everything, forty about single tools.
fn policies() -> Policies {
    let mut text = String::from("@id(\"everybody\") permit(principal, action, resource);\n");
    for number in 0..9 {
        let group = format!("principal in Group::\"contractors_{number}\"");
        let resource = format!("resource in Server::\"vault_{number}\"");
        let _ = writeln!(text, "forbid({group}, action in Action::\"call_tool\", {resource});");
    }
    for number in 0..40 {
        let _ = writeln!(
            text,
            "forbid(principal, action in Action::\"call_tool\", resource == \
             Tool::\"server__tool_{number}\")\nwhen {{ context.arguments has path && \
             context.arguments.path like \"/etc/*\" && !context.label.trusted }}\n\
             unless {{ context.time.hour >= 8 && context.time.hour < 18 }};"
        );
    }
    let declared = "@tool(\"*\") type Any = { path?: String, limit?: Long };";
    let sources =
        [PolicySource::new("t.cedarschema", declared), PolicySource::new("p.cedar", text)];
    Policies::load(&sources, None, Options::new(Arc::new(SystemClock))).unwrap()
}

fn decide(criterion: &mut Criterion) {
    let policies = policies();
    let mut cx = cx("alice@corp.example");
    let mut alice = Principal::person("alice@corp.example");
    let mut identity = Identity::new("https://idp.example", "00u1");
    identity.groups = Some((0..10).map(|n| format!("group_{n}").into()).collect());
    alice.identity = Some(Arc::new(identity));
    cx.principal = Arc::new(alice);
    let tool = ToolName::new("server__tool_3");
    let label = Label::untrusted("web__fetch");
    let arguments = RawValue::from_string(r#"{"path":"/src/main.rs","limit":200}"#.into()).unwrap();
    let call = Action::Call { tool: &tool, arguments: &arguments, label: &label };
    criterion.bench_function("identity/50 policies, a model", |bench| {
        bench.iter(|| policies.authorize(black_box(&cx), Action::Model("openai/gpt-5")));
    });
    criterion.bench_function("identity/50 policies, a call with arguments", |bench| {
        bench.iter(|| policies.authorize(black_box(&cx), call));
    });
    let tools: Vec<ToolName> =
        (0..200).map(|n| ToolName::new(format!("server__tool_{n}"))).collect();
    criterion.bench_function("identity/50 policies, a list of 200 tools", |bench| {
        bench.iter(|| {
            let may = |tool: &&ToolName| policies.authorize(&cx, Action::Tool(tool)).is_allowed();
            tools.iter().filter(may).count()
        });
    });
}

/// A token by ES256, of the size that Okta's have, with 20 groups.
fn tokens(criterion: &mut Criterion) {
    const ISSUER: &str = "https://acme.okta.com/oauth2/default";
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let key = serde_json::json!({
        "kty": "EC", "crv": "P-256", "kid": "k1", "x": part(&point[1..33]), "y": part(&point[33..]),
    });
    let keys = serde_json::json!({"keys": [key]}).to_string();
    let now = SystemClock.now().as_secs();
    let groups: Vec<_> = (0..20).map(|n| format!("department-{n:03}-members")).collect();
    let claims = serde_json::json!({
        "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "iss": ISSUER,
        "aud": "api://doorward", "sub": "alice@example.com", "iat": now, "exp": now + 86_400,
        "cid": "0oabucvyc38HLL1ef0h7", "uid": "00u1ch2xEhLZ1CFgk0h7", "scp": ["openid"],
        "groups": groups,
    });
    let header = serde_json::json!({"alg": "ES256", "kid": "k1"}).to_string();
    let signed = format!("{}.{}", part(header.as_bytes()), part(claims.to_string().as_bytes()));
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let token = format!("{signed}.{}", part(signature.as_ref()));
    let http = Arc::new(HyperHttp::new(Reach::default(), None).unwrap());
    let issuer = Issuer::new(ISSUER, ["api://doorward"])
        .with_keys(Keys::Inline(keys))
        .with_mapping(Mapping::okta());
    let built = |also: fn(Builder) -> Builder| {
        let builder = Jwt::builder(http.clone(), Arc::new(SystemClock)).issuer(issuer.clone());
        also(builder).build().unwrap()
    };
    let shown = Presented { token: Some(Secret::new(&*token)), ..Presented::default() };
    let check = |jwt: &Jwt, shown: &Presented| {
        jwt.authenticate(black_box(shown)).now_or_never().unwrap().is_ok()
    };
    let (warm, cold) = (built(|builder| builder), built(|builder| builder.remembered(0)));
    assert!(check(&warm, &shown) && check(&cold, &shown));
    criterion.bench_function("identity/a token seen before", |bench| {
        bench.iter(|| check(&warm, &shown));
    });
    criterion.bench_function("identity/a token by ES256 never seen", |bench| {
        bench.iter(|| check(&cold, &shown));
    });
    let forged = token.replacen("eyJ", "eyK", 1);
    let forged = Presented { token: Some(Secret::new(forged)), ..Presented::default() };
    criterion.bench_function("identity/a token of nobody", |bench| {
        bench.iter(|| check(&warm, &forged));
    });
}
