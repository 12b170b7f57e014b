//! Where a call's data may go, and what its client wishes.

use std::collections::BTreeMap;
use std::sync::Arc;

use doorward_core::{
    Code, Cx, MaxPrice, ModelCall, Models, Pattern, Preferences, Principal, Scopes, Sort,
};
use doorward_model_router::{NoCredentials, Router};

use crate::script::{chat, cx};
use crate::stage::{Act, CountingPurse, Stage, alias, upstream};

type Labels = BTreeMap<String, Vec<String>>;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).into(), vec![(*value).into()])).collect()
}

fn said(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

/// `eu` keeps nothing, `us` trains, `bare` says nothing of itself.
fn router(stage: &Arc<Stage>) -> Router {
    let price = |target: &str| match target {
        "eu/m" => Some((4_000, 8_000)),
        "us/m" => Some((1_000, 2_000)),
        _ => None,
    };
    Router::builder(stage.clone(), Arc::new(NoCredentials))
        .upstream(upstream("us").with_labels(said(&[("region", "us"), ("training", "yes")])))
        .upstream(upstream("eu").with_labels(said(&[("region", "eu"), ("training", "no")])))
        .upstream(upstream("bare"))
        .alias(alias("name = 'a'\ntargets = ['us/m', 'eu/m', 'bare/m']"))
        .prices(Arc::new(price))
        .require_for_team("law", labels(&[("region", "eu")]))
        .build()
        .unwrap()
}

fn caller(team: Option<&str>, require: Labels) -> Cx {
    let mut principal = Principal::person("alice");
    principal.team = team.map(Into::into);
    principal.scopes = Arc::new(Scopes { require, ..Scopes::default() });
    Cx { principal: Arc::new(principal), ..cx() }
}

fn wishing(wishes: Preferences) -> ModelCall {
    ModelCall { preferences: wishes, ..chat("a", true) }
}

#[tokio::test]
async fn key_team_and_request_must_all_agree_with_the_upstream() {
    let none = Labels::new;
    for (team, key, wish, found) in [
        (None, none(), none(), Some("us/m")),
        (Some("law"), none(), none(), Some("eu/m")),
        (Some("sales"), none(), none(), Some("us/m")),
        (None, labels(&[("training", "no")]), none(), Some("eu/m")),
        (None, none(), labels(&[("training", "no")]), Some("eu/m")),
        (None, none(), labels(&[("training", "yes")]), Some("us/m")),
        (Some("law"), none(), labels(&[("training", "yes")]), None),
        (Some("law"), labels(&[("region", "us")]), none(), None),
        (None, labels(&[("retention", "none")]), none(), None),
    ] {
        let case = format!("{team:?} {key:?} {wish:?}");
        let stage = Stage::new(|_, _, _| Act::good(true));
        let call = wishing(Preferences { require: wish, ..Preferences::default() });
        match (router(&stage).complete(&caller(team, key), call).await, found) {
            (Ok(reply), Some(found)) => assert_eq!(reply.route.target, found, "{case}"),
            (Err(error), None) => {
                assert_eq!(error.code, Code::Forbidden, "{case}");
                assert_eq!(error.rule.as_deref(), Some("data-policy"), "{case}");
                assert_eq!(error.route.unwrap().excluded.len(), 3, "{case}");
                assert!(stage.sent.lock().unwrap().is_empty(), "{case}: never a fallback");
            }
            (found, _) => panic!("{case}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn a_failing_permitted_upstream_is_not_replaced_by_a_forbidden_one() {
    let stage = Stage::new(|_, _, _| Act::status(500));
    let call = chat("a", true);
    let error = router(&stage).complete(&caller(Some("law"), Labels::new()), call).await;
    assert_eq!(error.unwrap_err().code, Code::Upstream);
    assert_eq!((stage.asked("eu"), stage.asked("us"), stage.asked("bare")), (1, 0, 0));
}

#[tokio::test]
async fn a_refusal_names_what_was_wanted() {
    let stage = Stage::new(|_, _, _| Act::good(true));
    let caller = caller(None, labels(&[("region", "mars")]));
    let error = router(&stage).complete(&caller, chat("us/m", true)).await.unwrap_err();
    assert!(error.public.contains("region = mars"), "{}", error.public);
    let route = error.route.unwrap();
    assert_eq!(route.excluded[0].reason, "label region: `us` is not mars");
}

#[tokio::test]
async fn wishes_narrow_and_order_and_never_widen() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let wish = Preferences::default;
    let dear = |input, output| Some(MaxPrice { input, output });
    for (wishes, order) in [
        (wish(), "us/m eu/m bare/m"),
        (Preferences { only: names(&["EU"]), ..wish() }, "eu/m"),
        (Preferences { only: names(&["openai-compatible"]), ..wish() }, "us/m eu/m bare/m"),
        (Preferences { only: names(&["mars"]), ..wish() }, ""),
        (Preferences { ignore: names(&["us", "bare"]), ..wish() }, "eu/m"),
        (Preferences { order: names(&["bare", "eu"]), ..wish() }, "bare/m eu/m us/m"),
        (
            Preferences { order: names(&["bare", "eu"]), allow_fallbacks: Some(false), ..wish() },
            "bare/m eu/m",
        ),
        (Preferences { allow_fallbacks: Some(false), ..wish() }, "us/m"),
        (Preferences { sort: Some(Sort::Price), ..wish() }, "us/m eu/m bare/m"),
        (Preferences { max_price: dear(Some(2.0), None), ..wish() }, "us/m"),
        (Preferences { max_price: dear(Some(4.0), Some(8.0)), ..wish() }, "us/m eu/m"),
        (Preferences { max_price: dear(None, Some(1.0)), ..wish() }, ""),
        (
            Preferences { models: names(&["us/other", "us/m"]), ..wish() },
            "us/m eu/m bare/m us/other",
        ),
        (Preferences { models: names(&["nowhere/x"]), ..wish() }, "us/m eu/m bare/m"),
    ] {
        let case = format!("{wishes:?}");
        let stage = Stage::new(|_, _, _| Act::status(500));
        let error = router(&stage).complete(&cx(), wishing(wishes)).await.unwrap_err();
        let tried = error.route.as_ref().unwrap().tried.clone();
        let tried: Vec<&str> = tried.iter().map(|attempt| attempt.target.as_str()).collect();
        assert_eq!(tried.join(" "), order, "{case}");
        assert_eq!(error.code == Code::NotFound, order.is_empty(), "{case}");
    }
}

#[tokio::test]
async fn further_models_are_bound_by_the_key_too() {
    let stage = Stage::new(|_, _, _| Act::status(500));
    let mut caller = caller(None, Labels::new());
    let scopes = Scopes { models: Some(vec![Pattern::new("a")]), ..Scopes::default() };
    Arc::make_mut(&mut caller.principal).scopes = Arc::new(scopes);
    let wishes = Preferences { models: vec!["us/secret".into()], ..Preferences::default() };
    let error = router(&stage).complete(&caller, wishing(wishes)).await.unwrap_err();
    assert_eq!(error.route.unwrap().tried.len(), 3, "us/secret is not among them");
}

#[tokio::test]
async fn a_target_that_cannot_carry_everything_is_passed_over_if_that_is_wished() {
    let stage = Stage::new(|_, _, _| Act::good(true));
    let messages = doorward_model_router::Provider::named("anthropic").unwrap();
    let messages =
        doorward_model_router::Upstream::new("claude", messages, Some("http://claude")).unwrap();
    let router = Router::builder(stage.clone(), Arc::new(NoCredentials))
        .upstream(messages)
        .upstream(upstream("good"))
        .alias(alias("name = 'a'\ntargets = ['claude/m', 'good/m']"))
        .build()
        .unwrap();
    let mut call = chat("a", true);
    call.params.seed = Some(7);
    call.preferences.require_parameters = true;
    let reply = router.complete(&cx(), call).await.unwrap();
    assert_eq!(reply.route.target, "good/m");
    assert!(reply.route.excluded[0].reason.contains("seed"), "{:?}", reply.route);
    assert_eq!(stage.asked("claude"), 0);
}

#[tokio::test]
async fn an_empty_purse_leads_to_the_next_target_and_is_told_when_it_is_the_last() {
    let stage = Stage::new(|_, _, _| Act::good(true));
    let purse = |too_dear| CountingPurse { too_dear, ..CountingPurse::default() };
    let mut call = chat("a", true);
    call.purse = Some(Arc::new(purse(vec!["us/m"])));
    let reply = router(&stage).complete(&cx(), call).await.unwrap();
    assert_eq!(reply.route.target, "eu/m");
    assert_eq!(reply.route.excluded[0].reason, "budget: limit `day` is used up");
    assert!(reply.hold.is_some());

    let mut call = chat("a", true);
    call.purse = Some(Arc::new(purse(vec!["us/m", "eu/m", "bare/m"])));
    let error = router(&stage).complete(&cx(), call).await.unwrap_err();
    assert_eq!((error.code, error.rule.as_deref()), (Code::BudgetExhausted, Some("day")));

    let stage = Stage::new(|_, _, _| Act::status(500));
    let mut call = chat("a", true);
    call.purse = Some(Arc::new(purse(vec!["eu/m", "bare/m"])));
    let error = router(&stage).complete(&cx(), call).await.unwrap_err();
    assert_eq!(error.code, Code::Upstream, "what was tried says more than the empty purse");
}

#[tokio::test]
async fn what_is_relayed_embedded_or_counted_goes_only_where_it_may() {
    use doorward_core::{DialectId, EmbedCall, EmbedInput, RelayCall};

    let stage = Stage::new(|_, _, _| Act::status(500));
    let openai = |name: &str, region: &str| {
        let provider = doorward_model_router::Provider::named("openai").unwrap();
        let url = format!("http://{name}");
        let upstream = doorward_model_router::Upstream::new(name, provider, Some(&url)).unwrap();
        upstream.with_labels(said(&[("region", region)]))
    };
    let router = Router::builder(stage.clone(), Arc::new(NoCredentials))
        .upstream(openai("us", "us"))
        .upstream(openai("eu", "eu"))
        .alias(alias("name = 'a'\ntargets = ['us/m', 'eu/m']"))
        .build()
        .unwrap();
    let relay = |upstream: Option<&str>| RelayCall {
        upstream: upstream.map(str::to_owned),
        model: None,
        dialect: DialectId::OPENAI_CHAT,
        method: "GET".into(),
        path: "/files".into(),
        headers: vec![],
        body: Box::pin(futures_util::stream::empty()),
    };
    let embed = || EmbedCall {
        model: "a".into(),
        input: vec![EmbedInput::Text("secret".into())],
        ..EmbedCall::default()
    };
    let eu = caller(None, labels(&[("region", "eu")]));
    drop(router.embed(&eu, embed()).await);
    drop(router.count(&eu, chat("a", false)).await);
    drop(router.relay(&eu, relay(None)).await.unwrap());
    let refused = router.relay(&eu, relay(Some("us"))).await.unwrap_err();
    assert_eq!(refused.rule.as_deref(), Some("data-policy"));
    let mars = caller(None, labels(&[("region", "mars")]));
    for refused in [
        router.embed(&mars, embed()).await.unwrap_err(),
        router.count(&mars, chat("a", false)).await.unwrap_err(),
        router.relay(&mars, relay(None)).await.unwrap_err(),
    ] {
        assert_eq!(refused.rule.as_deref(), Some("data-policy"), "{refused}");
    }
    assert_eq!(stage.asked("us"), 0);
    assert!(stage.asked("eu") > 0);
}
