//! Checking a virtual key, and deciding by policies.
#![expect(clippy::unwrap_used, reason = "a bench may fail as a test may")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use doorward_benches::cx;
use doorward_core::{
    Action, Authenticator, Authorizer, Identity, Label, Presented, Principal, Secret, SystemClock,
    ToolName,
};
use doorward_identity::cedar::{Options, Policies, PolicySource};
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
