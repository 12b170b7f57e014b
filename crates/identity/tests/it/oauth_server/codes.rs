//! Codes: to whom they go, and who may turn them into tokens.

use std::time::Duration;

use doorward_core::{Pattern, Principal, Scopes};
use doorward_identity::oauth_server::{Authorize, SignedIn};

use super::{APP, Bench, MCP, US, asked, but, claims, cookie, error, parameter, redeem, text};

#[tokio::test]
async fn a_person_consents_and_the_client_has_a_token_for_the_resource() {
    let bench = Bench::new().await;
    let Authorize::NeedsLogin { return_to } = bench.authorize(None, &asked("app", APP)).await
    else {
        panic!("nobody has signed in")
    };
    assert!(return_to.starts_with("/oauth/authorize?"), "{return_to}");
    let question = bench.question("alice", &asked("app", APP)).await;
    assert_eq!((&*question.client_name, &*question.redirect_host), ("app", "app.example"));
    assert_eq!(question.scopes, [("tools".to_owned(), "Use every tool".into())]);
    let location = bench.consent("alice", &asked("app", APP)).await;
    assert!(location.starts_with("https://app.example/cb?code="), "{location}");
    assert_eq!(parameter(&location, "state").as_deref(), Some("st&te"));
    assert_eq!(parameter(&location, "iss").as_deref(), Some(US));
    let code = parameter(&location, "code").unwrap();
    let (status, body) = bench.token(&redeem("app", APP, &code)).await;
    assert_eq!(
        (status, &*text(&body, "token_type"), body["expires_in"].as_i64()),
        (200, "Bearer", Some(600))
    );
    let token = text(&body, "access_token");
    let said = claims(&token);
    assert_eq!(
        (&said["aud"], &said["sub"], &said["client_id"]),
        (&MCP.into(), &"alice".into(), &"app".into())
    );
    let principal = bench.show(&token).await.unwrap();
    assert_eq!((&*principal.id, principal.kind), ("alice", Principal::person("").kind));
    let identity = principal.identity.as_ref().unwrap();
    assert_eq!((&*identity.issuer, identity.client.as_deref()), (US, Some("app")));
    assert_eq!(bench.server.admits(&principal, MCP, &["tools"]), Ok(()));
}

#[tokio::test]
async fn pkce_downgrade_is_refused() {
    let bench = Bench::new().await;
    for (change, wrong) in [
        (vec![("code_challenge_method", "plain")], "plain"),
        (vec![("code_challenge_method", "")], "left out is plain"),
        (vec![("code_challenge_method", "s256")], "case counts"),
        (vec![("code_challenge", "")], "no challenge"),
        (vec![("code_challenge", ""), ("code_challenge_method", "")], "no PKCE at all"),
        (vec![("code_challenge", "short")], "no hash"),
        (vec![("code_challenge", super::VERIFIER), ("code_challenge_method", "plain")], "plain"),
    ] {
        let answer = bench.authorize(Some("alice"), &but(asked("app", APP), &change)).await;
        let Authorize::Redirect(redirect) = answer else { panic!("{wrong}: {answer:?}") };
        let location = redirect.location();
        assert_eq!(parameter(location, "error").as_deref(), Some("invalid_request"), "{wrong}");
        assert_eq!(parameter(location, "iss").as_deref(), Some(US), "mix-up: errors say who");
        assert_eq!(parameter(location, "code"), None);
    }
}

#[tokio::test]
async fn a_code_is_worth_nothing_without_its_verifier() {
    let bench = Bench::new().await;
    let other = "a".repeat(43);
    for verifier in ["", &other, super::CHALLENGE, "short"] {
        let code = bench.code("alice", "cli", "http://127.0.0.1:1/cb").await;
        let pairs = redeem("cli", "http://127.0.0.1:1/cb", &code);
        let answer = bench.token(&but(pairs.clone(), &[("code_verifier", verifier)])).await;
        let wanted = if verifier.is_empty() { "invalid_request" } else { "invalid_grant" };
        assert_eq!(error(&answer), (400, wanted), "{verifier}");
        // One guess is all there is.
        let second = bench.token(&pairs).await;
        assert_eq!(second.0 == 200, verifier.is_empty(), "{verifier}: {second:?}");
    }
}

#[tokio::test]
async fn a_code_is_bound_to_client_redirect_and_resource() {
    let bench = Bench::new().await;
    let other = "https://gateway.example/mcp/crm";
    for change in [
        [("client_id", "cli")],
        [("redirect_uri", "https://app.example/other")],
        [("redirect_uri", "https://app.example/cb/")],
        [("resource", other)],
        [("resource", "https://elsewhere.example/mcp")],
    ] {
        let code = code_again(&bench).await;
        let answer = bench.token(&but(redeem("app", APP, &code), &change)).await;
        assert_eq!(error(&answer), (400, "invalid_grant"), "{change:?}");
        let right = bench.token(&redeem("app", APP, &code)).await;
        assert_eq!(error(&right), (400, "invalid_grant"), "it is used up: {change:?}");
    }
    let code = code_again(&bench).await;
    bench.clock.advance(Duration::from_secs(61));
    assert_eq!(error(&bench.token(&redeem("app", APP, &code)).await), (400, "invalid_grant"));
    let code = code_again(&bench).await;
    let bare = but(redeem("app", APP, &code), &[("redirect_uri", ""), ("resource", "")]);
    assert_eq!(bench.token(&bare).await.0, 200, "OAuth 2.1 needs neither: PKCE binds");
}

/// A code; the person may have consented before.
async fn code_again(bench: &Bench) -> String {
    let location = match bench.authorize(Some("alice"), &asked("app", APP)).await {
        Authorize::Redirect(redirect) => redirect.location().to_owned(),
        Authorize::Consent(_) => bench.consent("alice", &asked("app", APP)).await,
        other => panic!("{other:?}"),
    };
    parameter(&location, "code").unwrap()
}

#[tokio::test]
async fn a_replayed_code_revokes_what_came_of_it() {
    let bench = Bench::new().await;
    let code = bench.code("alice", "app", APP).await;
    let (_, body) = bench.token(&redeem("app", APP, &code)).await;
    let (access, refresh) = (text(&body, "access_token"), text(&body, "refresh_token"));
    let (_, body) = bench.refresh("app", &refresh).await;
    let (later, refresh) = (text(&body, "access_token"), text(&body, "refresh_token"));
    assert!(bench.is_good(&access).await && bench.is_good(&later).await);
    let again = bench.token(&redeem("app", APP, &code)).await;
    assert_eq!(error(&again), (400, "invalid_grant"));
    assert!(!bench.is_good(&access).await && !bench.is_good(&later).await);
    assert_eq!(error(&bench.refresh("app", &refresh).await), (400, "invalid_grant"));
}

#[tokio::test]
async fn open_redirect_nobody_is_sent_where_no_client_registered() {
    let bench = Bench::new().await;
    for redirect in [
        "https://evil.example/cb",
        "https://app.example.evil.example/cb",
        "https://app.example/cb/../../evil",
        "https://app.example/cb?next=https://evil.example",
        "https://app.example/cb#frag",
        "https://app.example:8443/cb",
        "https://user@app.example/cb",
        "http://app.example/cb",
        "javascript:alert(1)",
        "//evil.example",
        "",
    ] {
        // Everything else may be as wrong as it likes: errors go nowhere either.
        for more in [&[][..], &[("response_type", "token")], &[("scope", "nonsense")]] {
            let pairs = but(but(asked("app", APP), more), &[("redirect_uri", redirect)]);
            let answer = bench.authorize(Some("alice"), &pairs).await;
            if redirect.is_empty() {
                // Left out, the only registered one is meant.
                let (Authorize::Redirect(_) | Authorize::Consent(_)) = answer else {
                    panic!("{answer:?}")
                };
                continue;
            }
            let Authorize::Refused(refused) = answer else { panic!("{redirect}: {answer:?}") };
            assert_eq!(refused.status, 400);
            assert!(!refused.description.contains("evil"));
        }
    }
    let unknown = bench.authorize(Some("alice"), &asked("nobody", "https://evil.example/")).await;
    assert!(matches!(unknown, Authorize::Refused(_)), "{unknown:?}");
    let loopback = asked("cli", "http://127.0.0.1:54321/cb");
    assert!(matches!(bench.authorize(Some("alice"), &loopback).await, Authorize::Consent(_)));
    let wrong = asked("cli", "http://127.0.0.1:54321@evil.example/cb");
    assert!(matches!(bench.authorize(Some("alice"), &wrong).await, Authorize::Refused(_)));
}

#[tokio::test]
async fn what_is_asked_for_is_asked_for_once_and_in_the_open() {
    let bench = Bench::new().await;
    for (change, wanted) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", "code id_token"), "unsupported_response_type"),
        (("response_mode", "fragment"), "invalid_request"),
        (("request", "eyJ"), "request_not_supported"),
        (("request_uri", "https://evil.example/r"), "request_uri_not_supported"),
        (("resource", "https://elsewhere.example/mcp"), "invalid_target"),
        (("scope", "everything"), "invalid_scope"),
        (("dpop_jkt", "x"), "invalid_request"),
    ] {
        let answer = bench.authorize(Some("alice"), &but(asked("app", APP), &[change])).await;
        let Authorize::Redirect(redirect) = answer else { panic!("{change:?}: {answer:?}") };
        assert_eq!(parameter(redirect.location(), "error").as_deref(), Some(wanted), "{change:?}");
    }
    let mut twice = asked("app", APP);
    twice.push(("redirect_uri", "https://evil.example/"));
    assert!(matches!(bench.authorize(Some("alice"), &twice).await, Authorize::Refused(_)));
    let mut two = asked("app", APP);
    two.push(("resource", "https://gateway.example/mcp/crm"));
    let answer = bench.authorize(Some("alice"), &two).await;
    assert!(matches!(answer, Authorize::Redirect(_)), "one resource at a time: {answer:?}");
}

#[tokio::test]
async fn confused_deputy_a_consent_is_one_persons_to_one_client_at_one_place() {
    let bench = Bench::new().await;
    bench.consent("alice", &asked("app", APP)).await;
    let same = bench.authorize(Some("alice"), &asked("app", APP)).await;
    assert!(matches!(same, Authorize::Redirect(_)), "she was asked before: {same:?}");
    let narrower = but(asked("app", APP), &[("scope", "read")]);
    let implied = bench.authorize(Some("alice"), &narrower).await;
    assert!(
        matches!(implied, Authorize::Redirect(_)),
        "it is part of what she allowed: {implied:?}"
    );
    bench.consent("carol", &narrower).await;
    for (who, pairs, why) in [
        ("bob", asked("app", APP), "another person"),
        ("alice", asked("web", "https://web.example/cb"), "another client"),
        (
            "alice",
            but(asked("app", APP), &[("resource", super::CRM), ("scope", "read")]),
            "another resource",
        ),
        ("carol", asked("app", APP), "another scope"),
        ("alice", but(asked("app", APP), &[("prompt", "consent")]), "asked to ask"),
    ] {
        let answer = bench.authorize(Some(who), &pairs).await;
        assert!(matches!(answer, Authorize::Consent(_)), "{why}: {answer:?}");
    }
    // Any program on the machine can say that it is `cli`: each time is the first.
    let local = asked("cli", "http://127.0.0.1:7/cb");
    bench.consent("alice", &local).await;
    assert!(bench.question("alice", &local).await.is_local);
    // Without a word, only where there is nothing to ask.
    let silent = |pairs| but(pairs, &[("prompt", "none")]);
    for (who, pairs, wanted) in [
        (None, asked("app", APP), Some("login_required")),
        (Some("alice"), asked("app", APP), None),
        (Some("bob"), asked("app", APP), Some("consent_required")),
    ] {
        let answer = bench.authorize(who, &silent(pairs)).await;
        let Authorize::Redirect(redirect) = answer else { panic!("{answer:?}") };
        assert_eq!(parameter(redirect.location(), "error").as_deref(), wanted);
    }
}

#[tokio::test]
async fn session_fixation_an_answer_counts_once_from_the_page_and_person_that_were_asked() {
    let bench = Bench::new().await;
    let (alice, bob) = (Principal::person("alice"), Principal::person("bob"));
    let (hers, other) = (cookie("alice"), cookie("bob"));
    let right = "right";
    for (principal, session, csrf) in [
        (&bob, &other, right),
        (&bob, &hers, right),
        (&alice, &other, right),
        (&alice, &hers, "guessed"),
        (&alice, &hers, ""),
    ] {
        let question = bench.question("alice", &asked("app", APP)).await;
        let csrf = if csrf == right { question.csrf.expose() } else { csrf };
        let id = question.id.expose();
        let wrong = bench.server.approve(id, SignedIn { principal, session }, csrf).await;
        assert_eq!(wrong.unwrap_err().error, "invalid_request");
        let signed_in = SignedIn { principal: &alice, session: &hers };
        let late = bench.server.approve(id, signed_in, question.csrf.expose()).await;
        assert!(late.is_err(), "one answer is all there is");
    }
    let signed_in = SignedIn { principal: &alice, session: &hers };
    let question = bench.question("alice", &asked("app", APP)).await;
    bench.clock.advance(Duration::from_mins(11));
    let late = bench.server.approve(question.id.expose(), signed_in, question.csrf.expose()).await;
    assert!(late.is_err(), "it has ended");
    let question = bench.question("alice", &asked("app", APP)).await;
    let (id, csrf) = (question.id.expose(), question.csrf.expose());
    let declined = bench.server.decline(id, signed_in, csrf).await.unwrap();
    assert_eq!(parameter(declined.location(), "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(declined.location(), "state").as_deref(), Some("st&te"));
    let again = bench.authorize(Some("alice"), &asked("app", APP)).await;
    assert!(matches!(again, Authorize::Consent(_)), "declining is no consent");
}

#[tokio::test]
async fn a_token_allows_no_more_than_its_person_may() {
    let bench = Bench::new().await;
    let tools = Some(vec![Pattern::new("tracker__*")]);
    let limits = Scopes { tools, models: Some(vec![]), ..Scopes::default() };
    let person = Principal { scopes: limits.into(), ..Principal::person("alice") };
    let location = bench.consent_as(&person, &asked("app", APP)).await;
    let code = parameter(&location, "code").unwrap();
    let (_, body) = bench.token(&redeem("app", APP, &code)).await;
    let principal = bench.show(&text(&body, "access_token")).await.unwrap();
    assert!(principal.scopes.allows_tool("tracker__close"));
    assert!(!principal.scopes.allows_tool("mail__send"));
    assert!(!principal.scopes.allows_model("openai/gpt-5"));
    let pairs = but(asked("app", APP), &[("scope", "read")]);
    let location = bench.consent("carol", &pairs).await;
    let code = parameter(&location, "code").unwrap();
    let (_, body) = bench.token(&redeem("app", APP, &code)).await;
    let principal = bench.show(&text(&body, "access_token")).await.unwrap();
    assert!(principal.scopes.allows_tool("tracker__get_issue"));
    assert!(!principal.scopes.allows_tool("tracker__close"), "`read` was consented to");
}
