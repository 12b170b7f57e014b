use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use doorward_core::{
    Action, Audience, Authenticator, Authorizer, CallError, Clock, Code, Credential, Credentials,
    Cx, KeyId, Pattern, Presented, Principal, PrincipalKind, RequestId, Scopes, Secret, Timestamp,
    ToolName, TurnId,
};
use doorward_identity::{
    Guesses, KeyRecord, KeyStore, KeyStoreError, Memory, NewKey, Pepper, Rules, StaticCredentials,
    VirtualKeys,
};
use doorward_testkit::clock::{TestClock, TestEntropy};
use doorward_testkit::keys::{key_store_conforms, minted, pepper};
use futures_util::FutureExt as _;

#[test]
fn the_store_in_memory_conforms() {
    key_store_conforms(|| Box::new(Memory::default()));
}

struct Bench {
    keys: VirtualKeys,
    store: Arc<Memory>,
    clock: Arc<TestClock>,
}

fn bench_with(guesses: Guesses) -> Bench {
    let (store, clock) = (Arc::new(Memory::default()), Arc::new(TestClock::default()));
    let keys = VirtualKeys::new(store.clone(), pepper(), clock.clone(), guesses).unwrap();
    Bench { keys, store, clock }
}

fn bench() -> Bench {
    bench_with(Guesses::default())
}

impl Bench {
    fn add(&self, seed: u64, new: NewKey) -> (Secret, KeyRecord) {
        let (text, record) = minted(seed, new);
        self.store.insert(&record).unwrap();
        assert!(self.keys.refresh().unwrap());
        (text, record)
    }

    fn show(&self, text: &str, source: Option<&str>) -> Result<Arc<Principal>, Box<CallError>> {
        let source = source.map(|text| text.parse::<IpAddr>().unwrap());
        let shown = Presented { token: Some(Secret::new(text)), source, ..Presented::default() };
        self.keys.authenticate(&shown).now_or_never().unwrap().map_err(Box::new)
    }
}

#[test]
fn what_is_remembered_of_a_key_holds_as_long_as_the_key() {
    let bench = bench();
    let hour = Duration::from_hours(1);
    let new =
        NewKey::person("laptop", "alice@example.com").with_expiry(bench.clock.now().after(hour));
    let (text, record) = bench.add(1, new);
    let (other, _) = bench.add(2, NewKey::new("ci", "build"));
    let remembered = bench.keys.remembered(&text);
    assert_eq!(&*bench.keys.recall(&remembered).unwrap().id, "alice@example.com");
    assert_eq!(&*bench.keys.recall(&bench.keys.remembered(&other)).unwrap().id, "build");
    let guessed = bench.keys.remembered(&Secret::new("dw-guessed"));
    assert!(bench.keys.recall(&guessed).is_none());
    bench.store.revoke(record.id, bench.clock.now()).unwrap();
    bench.keys.refresh().unwrap();
    assert!(bench.keys.recall(&remembered).is_none());
}

#[test]
fn a_key_stands_for_its_owner() {
    let bench = bench();
    let scopes = Scopes { tools: Some(vec![Pattern::new("tracker__*")]), ..Scopes::default() };
    let new = NewKey::person("laptop", "alice@example.com").with_team("search").with_scopes(scopes);
    let (text, record) = bench.add(1, new);
    bench.add(2, NewKey::new("ci", "build"));
    let principal = bench.show(text.expose(), None).unwrap();
    assert_eq!((&*principal.id, principal.kind), ("alice@example.com", PrincipalKind::Person));
    assert_eq!((principal.team.as_deref(), principal.key), (Some("search"), Some(record.id)));
    assert_eq!(principal.key_name.as_deref(), Some("laptop"));
    assert!(principal.scopes.allows_tool("tracker__get") && !principal.scopes.allows_tool("mail"));
    assert_eq!(bench.keys.len(), 2);
}

#[test]
fn every_refusal_reads_the_same() {
    let bench = bench();
    let (text, _) = bench.add(1, NewKey::new("ci", "build"));
    let (revoked, record) = bench.add(2, NewKey::new("old", "build"));
    bench.store.revoke(record.id, bench.clock.now()).unwrap();
    let end = bench.clock.now().after(Duration::from_mins(1));
    let (expired, _) = bench.add(3, NewKey::new("short", "build").with_expiry(end));
    assert!(bench.show(expired.expose(), None).is_ok());
    bench.clock.advance(Duration::from_mins(1));
    let (unknown, _) = minted(4, NewKey::new("never", "kept"));
    let text = text.expose();
    let typo = text.replace(&text[40..=40], if &text[40..=40] == "x" { "y" } else { "x" });
    let mut said = Vec::new();
    for shown in [
        revoked.expose(),
        expired.expose(),
        unknown.expose(),
        &typo,
        &text[..74],
        &format!("{text} "),
        &text.to_uppercase(),
        "sk-something-else",
        "",
    ] {
        let refused = bench.show(shown, None).unwrap_err();
        assert_eq!(refused.code, Code::Unauthenticated);
        said.push(format!("{refused:?}"));
    }
    let none = bench.keys.authenticate(&Presented::default()).now_or_never().unwrap();
    said.push(format!("{:?}", none.unwrap_err()));
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(!said[0].contains("dw-") && said[0].contains("invalid API key"), "{said:?}");
    assert!(bench.show(text, None).is_ok());
}

#[test]
fn a_hash_without_its_pepper_opens_nothing() {
    let bench = bench();
    let (text, _) = bench.add(1, NewKey::new("ci", "build"));
    let other = Pepper::from_bytes([6; 32]);
    let keys =
        VirtualKeys::new(bench.store.clone(), other, bench.clock.clone(), Guesses::default());
    let shown = Presented { token: Some(text), ..Presented::default() };
    assert!(keys.unwrap().authenticate(&shown).now_or_never().unwrap().is_err());
}

#[test]
fn a_refresh_brings_in_what_changed_and_only_then_reads() {
    let bench = bench();
    let (text, record) = bench.add(1, NewKey::new("ci", "build"));
    assert!(!bench.keys.refresh().unwrap());
    bench.store.revoke(record.id, bench.clock.now()).unwrap();
    assert!(bench.show(text.expose(), None).is_ok(), "not yet known");
    assert!(bench.keys.refresh().unwrap());
    assert!(bench.show(text.expose(), None).is_err());
    assert!(bench.keys.is_empty());
}

/// A store that can fail.
#[derive(Debug, Default)]
struct Flaky(Memory, AtomicBool);

impl Flaky {
    fn well(&self) -> Result<&Memory, KeyStoreError> {
        if self.1.load(Ordering::SeqCst) {
            return Err(KeyStoreError::storage("unplugged"));
        }
        Ok(&self.0)
    }
}

impl KeyStore for Flaky {
    fn keys(&self) -> Result<Vec<KeyRecord>, KeyStoreError> {
        self.well()?.keys()
    }
    fn insert(&self, key: &KeyRecord) -> Result<(), KeyStoreError> {
        self.well()?.insert(key)
    }
    fn revoke(&self, id: KeyId, at: Timestamp) -> Result<(), KeyStoreError> {
        self.well()?.revoke(id, at)
    }
    fn version(&self) -> Result<u64, KeyStoreError> {
        self.well()?.version()
    }
}

#[test]
fn keys_outlive_a_failing_store_for_as_long_as_was_said() {
    let (store, clock) = (Arc::new(Flaky::default()), Arc::new(TestClock::default()));
    let (text, record) = minted(1, NewKey::new("ci", "build"));
    store.insert(&record).unwrap();
    let keys = VirtualKeys::new(store.clone(), pepper(), clock.clone(), Guesses::default())
        .unwrap()
        .with_stale_after(Duration::from_secs(30));
    let shown = Presented { token: Some(text), ..Presented::default() };
    let check = || keys.authenticate(&shown).now_or_never().unwrap().map_err(|error| error.code);
    store.1.store(true, Ordering::SeqCst);
    assert!(keys.refresh().is_err());
    clock.advance(Duration::from_secs(30));
    assert!(check().is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(check().unwrap_err(), Code::Overloaded);
    store.1.store(false, Ordering::SeqCst);
    assert!(!keys.refresh().unwrap(), "asked, and nothing had changed");
    assert!(check().is_ok());
}

#[test]
fn guessing_is_answered_with_waiting_but_a_right_key_passes() {
    let bench = bench();
    let (text, _) = bench.add(1, NewKey::new("ci", "build"));
    let guess = |from: &str| bench.show("dw-guess", Some(from)).unwrap_err();
    for _ in 0..20 {
        assert_eq!(guess("192.0.2.1").code, Code::Unauthenticated);
    }
    bench.clock.advance(Duration::from_secs(20));
    let limited = guess("192.0.2.1");
    assert_eq!((limited.code, limited.rule.as_deref()), (Code::RateLimited, Some("key.guesses")));
    assert_eq!(limited.retry_after, Some(Duration::from_secs(40)));
    assert_eq!(guess("::ffff:192.0.2.1").code, Code::RateLimited, "the same address");
    assert_eq!(guess("192.0.2.2").code, Code::Unauthenticated, "another address");
    assert!(bench.show(text.expose(), Some("192.0.2.1")).is_ok());
    bench.clock.advance(Duration::from_secs(40));
    assert_eq!(guess("192.0.2.1").code, Code::Unauthenticated, "a new window");
}

#[test]
fn what_is_counted_can_be_set() {
    let twice = |bench: &Bench, one: &str, other: &str| {
        let _ = bench.show("x", Some(one));
        bench.show("x", Some(other)).unwrap_err().code
    };
    let one = Guesses { most: Some(1), ..Guesses::default() };
    for (guesses, first, second, code) in [
        (one, "127.0.0.1", "127.0.0.1", Code::RateLimited),
        (Guesses { loopback: false, ..one }, "127.0.0.1", "127.0.0.1", Code::Unauthenticated),
        (Guesses { loopback: false, ..one }, "::1", "::1", Code::Unauthenticated),
        (Guesses { most: None, ..one }, "192.0.2.1", "192.0.2.1", Code::Unauthenticated),
        (one, "2001:db8:1:1::1", "2001:db8:1:1:ffff::2", Code::RateLimited),
        (one, "2001:db8:1:1::1", "2001:db8:1:2::1", Code::Unauthenticated),
        (Guesses { sources: 0, ..one }, "192.0.2.1", "192.0.2.1", Code::Unauthenticated),
    ] {
        let bench = bench_with(guesses);
        assert_eq!(twice(&bench, first, second), code, "{guesses:?} {first} {second}");
    }
    let bench = bench_with(Guesses { sources: 1, ..one });
    assert_eq!(twice(&bench, "192.0.2.1", "192.0.2.2"), Code::Unauthenticated, "no room");
    bench.clock.advance(Duration::from_mins(1));
    assert_eq!(
        twice(&bench, "192.0.2.2", "192.0.2.2"),
        Code::RateLimited,
        "the first is forgotten"
    );
}

fn cx(scopes: Scopes) -> Cx {
    let entropy = TestEntropy::seeded(1);
    Cx {
        turn: TurnId::random(&entropy),
        request: RequestId::random(&entropy),
        principal: Arc::new(Principal { scopes: Arc::new(scopes), ..Principal::service("ci") }),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    }
}

#[test]
fn a_key_may_use_what_its_lists_say() {
    let list = |patterns: &[&str]| Some(patterns.iter().map(|text| Pattern::new(*text)).collect());
    let long = "x".repeat(513);
    let (open, listed) = (Rules::default(), Rules::lists_required());
    for (rules, models, tools, model, tool, expected) in [
        (&open, None, None, "any", "any", [(true, "key.models"), (true, "key.tools")]),
        (&listed, None, None, "any", "any", [(false, "key.unlisted"); 2]),
        (
            &listed,
            list(&["openai/*"]),
            list(&["tracker__get_issue"]),
            "openai/gpt-5",
            "tracker__get_issue",
            [(true, "key.models"), (true, "key.tools")],
        ),
        (
            &open,
            list(&["openai/*"]),
            list(&["tracker__get_issue"]),
            "Openai/gpt-5",
            "tracker__get_issues",
            [(false, "key.models"), (false, "key.tools")],
        ),
        (&open, list(&[]), list(&[]), "a", "a", [(false, "key.models"), (false, "key.tools")]),
        (&open, None, None, "", "", [(false, "name.malformed"); 2]),
        (&open, list(&["*"]), list(&["*"]), "a\nb", "a\0", [(false, "name.malformed"); 2]),
        (&open, None, None, &long, &long, [(false, "name.malformed"); 2]),
    ] {
        let cx = cx(Scopes { models, tools, ..Scopes::default() });
        let tool = ToolName::new(tool);
        for (action, expected) in [Action::Model(model), Action::Tool(&tool)].iter().zip(expected) {
            let decision = rules.authorize(&cx, *action);
            assert_eq!((decision.is_allowed(), &*decision.rule), expected, "{action:?}");
            assert_eq!(decision, rules.authorize(&cx, *action), "the same question again");
        }
    }
}

#[test]
fn a_credential_is_found_by_its_audience() {
    let header = Credential::Header { name: "x-token".into(), value: Secret::new("t-1") };
    let credentials = StaticCredentials::default()
        .with_upstream("openai", Credential::Key(Secret::new("sk-1")))
        .with_server("crm", header);
    let cx = cx(Scopes::default());
    let find = |audience| credentials.credential(&cx, audience).now_or_never().unwrap().unwrap();
    let Some(Credential::Key(key)) = find(Audience::Upstream("openai")) else { panic!("none") };
    assert_eq!(key.expose(), "sk-1");
    assert!(matches!(find(Audience::Server("crm")), Some(Credential::Header { .. })));
    assert!(find(Audience::Server("openai")).is_none());
    assert!(!format!("{credentials:?}").contains("-1"));
}
