//! Whom and what a rule concerns, and who shares a count.

use super::*;

#[expect(clippy::unnecessary_wraps, reason = "as the fields take it")]
fn one(text: &str) -> Option<Vec<Pattern>> {
    Some(vec![Pattern::new(text)])
}

fn alice() -> Cx {
    let mut caller = Principal::person("alice@example.com");
    caller.team = Some("search".into());
    caller.key = Some(KeyId::from_bytes([1; 16]));
    caller.key_name = Some("laptop".into());
    Cx { agent: Some("coder".into()), ..cx(caller) }
}

#[test]
fn rules_concern_whom_and_what_they_list() {
    let base = || rule(Unit::Requests, "100000", Window::Day);
    let of = |what| Rule { what, ..base() };
    let at_once = || rule(Unit::Concurrency, "9", None);
    let tool = ToolName::new("tracker__get_issue");
    // How much a model call, an attempt of it at openai/gpt-5 and a tool call take.
    for (rule, model, attempted, called) in [
        (base(), 1, 0, 1),
        (Rule { keys: one("lap*"), ..base() }, 1, 0, 1),
        (Rule { keys: one("ci"), ..base() }, 0, 0, 0),
        (Rule { principals: one("*@example.com"), teams: one("search"), ..base() }, 1, 0, 1),
        (Rule { principals: one("*@example.com"), teams: one("other"), ..base() }, 0, 0, 0),
        (Rule { agents: one("cod*"), ..base() }, 1, 0, 1),
        (Rule { agents: one("chat"), ..base() }, 0, 0, 0),
        (Rule { teams: Some(vec![]), ..base() }, 0, 0, 0),
        (Rule { models: one("fast"), ..base() }, 1, 0, 0),
        (Rule { models: one("anthropic/*"), ..base() }, 0, 0, 0),
        (Rule { tools: one("tracker__*"), ..base() }, 0, 0, 1),
        (Rule { tools: one("tracker__*"), models: one("fast"), ..base() }, 1, 0, 1),
        (Rule { targets: one("openai/*"), ..base() }, 0, 1, 0),
        (Rule { targets: one("openai/*"), models: one("slow"), ..base() }, 0, 0, 0),
        (Rule { targets: one("anthropic/*"), ..base() }, 0, 0, 0),
        (Rule { targets: one("openai/*"), tools: one("*"), ..base() }, 0, 1, 1),
        (of(Unit::Tokens), 0, 110, 0),
        (Rule { models: one("fast"), ..of(Unit::Tokens) }, 0, 110, 0),
        (Rule { targets: one("openai/*"), ..of(Unit::Tokens) }, 0, 110, 0),
        (Rule { targets: one("anthropic/*"), ..of(Unit::Tokens) }, 0, 0, 0),
        (of(Unit::Usd), 0, 300_000, 0),
        (of(Unit::ToolCalls), 0, 0, 1),
        (Rule { tools: one("tracker__*"), ..of(Unit::ToolCalls) }, 0, 0, 1),
        (Rule { tools: one("mail__*"), ..of(Unit::ToolCalls) }, 0, 0, 0),
        (at_once(), 1, 0, 0),
        (Rule { tools: one("*"), ..at_once() }, 0, 0, 1),
        (Rule { tools: one("*"), models: one("*"), ..at_once() }, 1, 0, 1),
        (Rule { targets: one("openai/*"), ..at_once() }, 0, 1, 0),
    ] {
        let cx = alice();
        let price = Price::new(Amount::whole(2), Amount::whole(10));
        for (ask, amount) in
            [(CALL, model), (attempt(100, Some(10)), attempted), (Ask::Tool(&tool), called)]
        {
            let bench = bench(vec![rule.clone()], Prices::default().with("*", price.clone()));
            let held = bench.reserve(&cx, ask).unwrap();
            let key = CounterKey { rule: "r".into(), subject: Subject::All };
            let span = bench.limits.book.limits[0].count(&cx, bench.clock.now()).span;
            let asked = [Count { key, span }];
            let used = bench.limits.book.counters.used(&asked, bench.clock.now());
            assert_eq!(
                used.now_or_never().unwrap().unwrap()[0].amount,
                amount,
                "{ask:?}: {rule:?}"
            );
            drop(held);
        }
    }
}

#[test]
fn counts_are_shared_as_the_rule_says() {
    let name = |text: &str| Subject::Name(text.into());
    let agent = Subject::Agent { principal: "alice@example.com".into(), agent: "coder".into() };
    for (per, subject, of_nobody) in [
        (Per::All, Subject::All, Subject::All),
        (Per::Team, name("search"), Subject::All),
        (Per::Principal, name("alice@example.com"), name("ci")),
        (Per::Key, Subject::Key(KeyId::from_bytes([1; 16])), name("ci")),
        (Per::Agent, agent, name("ci")),
    ] {
        let bench =
            bench(vec![Rule { per, ..rule(Unit::Requests, "5", Window::Day) }], Prices::default());
        for (cx, subject) in [(alice(), subject), (ci(), of_nobody)] {
            let before = bench.used(&cx, "r");
            drop(bench.reserve(&cx, CALL).unwrap());
            let state = bench.state(&cx, "r");
            assert_eq!((state.used, state.subject), (before + 1, subject), "{per:?}");
        }
    }
}

#[test]
fn all_levels_are_reserved_or_none() {
    let level = |name: &str, per, amount| Rule {
        per,
        ..Rule::new(name, Unit::Tokens, Amount::whole(amount), Window::Day)
    };
    let bench = bench(
        vec![
            level("org", Per::All, 1_000),
            level("team", Per::Team, 500),
            level("person", Per::Principal, 300),
            level("key", Per::Key, 200),
            level("agent", Per::Agent, 100),
        ],
        Prices::default(),
    );
    let cx = alice();
    let used = || ["org", "team", "person", "key", "agent"].map(|rule| bench.used(&cx, rule));
    drop(bench.reserve(&cx, attempt(100, Some(0))).unwrap());
    assert_eq!(used(), [100; 5]);
    let refused = bench.reserve(&cx, attempt(1, Some(0))).unwrap_err();
    assert_eq!(refused.rule.as_deref(), Some("agent"));
    assert_eq!(used(), [100; 5], "nothing stays of what was refused");
    let renamed = Cx { agent: Some("other".into()), ..alice() };
    drop(bench.reserve(&renamed, attempt(100, Some(0))).unwrap());
    let third = Cx { agent: Some("third".into()), ..alice() };
    let refused = bench.reserve(&third, attempt(1, Some(0))).unwrap_err();
    assert_eq!(refused.rule.as_deref(), Some("key"), "another name does not get past the key");
}

#[test]
fn the_tightest_limits_are_told_for_headers() {
    let of =
        |name: &str, what, amount, window| Rule::new(name, what, Amount::whole(amount), window);
    let bench = bench(
        vec![
            of("wide", Unit::Requests, 100, Window::Day),
            of("narrow", Unit::Requests, 10, Window::Minute),
            Rule { models: one("other"), ..of("elsewhere", Unit::Requests, 1, Window::Minute) },
            of("tokens", Unit::Tokens, 1_000, Window::Minute),
            Rule { rolling: true, ..of("rolling", Unit::Tokens, 900, Window::Hour) },
            of("tools", Unit::ToolCalls, 1, Window::Day),
        ],
        Prices::default(),
    );
    let cx = alice();
    let _call = bench.reserve(&cx, CALL).unwrap();
    let _attempt = bench.reserve(&cx, attempt(50, Some(50))).unwrap();
    let room = bench.limits.state_for(&cx, "fast").now_or_never().unwrap().unwrap();
    let minute = Timestamp::from_micros(START + 30_000_000);
    let requests = room.requests.unwrap();
    assert_eq!((&*requests.rule, requests.left(), requests.resets_at), ("narrow", 9, Some(minute)));
    let tokens = room.tokens.unwrap();
    let over = Timestamp::from_micros(START + 3_630_000_000);
    assert_eq!((&*tokens.rule, tokens.left(), tokens.resets_at), ("rolling", 800, Some(over)));
    let all = bench.limits.usage(&cx).now_or_never().unwrap().unwrap();
    assert_eq!(all.len(), 6, "a report tells of all that concern the caller");
    let shown = serde_json::to_value(&requests).unwrap();
    assert_eq!((&shown["what"], &shown["subject"]), (&"requests".into(), &"".into()));
}
