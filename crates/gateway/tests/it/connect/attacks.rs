//! Attacks on the pages, each by its name.

use doorward_identity::oauth_client::Protected;
use http::Method;
use serde_json::json;

use super::world::{Browser, ISSUER, back, form};
use super::{BASE, Bench, MCP};
use crate::client::Answer;

/// What every page says to the browser.
fn is_guarded(page: &Answer) {
    for (name, wanted) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(page.header(name), Some(wanted), "{page:?}");
    }
    if page.status == 303 {
        return;
    }
    let policy = page.header("content-security-policy").unwrap();
    for rule in
        ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
    assert!(!page.body.contains("<script"), "{page:?}");
}

async fn anybody(bench: &Bench) -> Browser {
    bench.browser().await
}

#[tokio::test]
async fn somebody_elses_link_tells_nothing_and_leads_nowhere() {
    let bench = Bench::new();
    let link = bench.link_for("alice", "Bearer scope=\"secret.scope\"").await;
    let mut stranger = anybody(&bench).await;
    let page = stranger.get(&link).await;
    is_guarded(&page);
    for told in ["crm", "as.example", "secret.scope", "alice"] {
        assert!(!page.body.contains(told), "{told}: {page:?}");
    }
    let mut bob = bench.signed_in(&bench.bob).await;
    let csrf = bob.csrf("/connect").await;
    let theirs = bob.get(&link).await;
    let none = bob.get("/connect/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await;
    assert_eq!((theirs.status, none.status), (404, 404));
    assert_eq!(theirs.body, none.body, "the two are not told apart");
    is_guarded(&theirs);
    let page = bob.post(&link, &[("csrf", &csrf)]).await;
    assert_eq!((page.status, page.header("location")), (404, None));
    // And it still is alice's.
    let mut alice = bench.signed_in(&bench.alice).await;
    assert_eq!(alice.get(&link).await.status, 200);
}

#[tokio::test]
async fn login_csrf_signs_nobody_in() {
    let bench = Bench::new();
    let key = bench.bob.expose();
    let mut attacker = anybody(&bench).await;
    let known_to_attacker = attacker.csrf("/connect").await;
    let mut victim = anybody(&bench).await;
    let own = victim.csrf("/connect").await;
    let cookie = victim.cookie.clone();
    let same = [("origin", "null"), ("sec-fetch-site", "same-origin")];
    let post = |csrf: &str| form(&[("csrf", csrf), ("key", key)]);
    for (csrf, headers) in [
        ("", &same[..]),
        (known_to_attacker.as_str(), &same[..]),
        (&own, &[("origin", "https://evil.example")][..]),
        (&own, &[("origin", "http://gateway.test")][..]),
        (&own, &[("origin", "null"), ("sec-fetch-site", "cross-site")][..]),
        (&own, &[("sec-fetch-site", "same-site")][..]),
    ] {
        let page = victim.send(Method::POST, "/connect/sign-in", &post(csrf), headers).await;
        assert_eq!((page.status, page.header("set-cookie")), (403, None), "{headers:?} {page:?}");
        is_guarded(&page);
        assert_eq!(victim.cookie, cookie);
    }
    // Without the cookie the token is worth nothing.
    victim.cookie = None;
    let page = victim.post("/connect/sign-in", &[("csrf", &own), ("key", key)]).await;
    assert_eq!(page.status, 403);
    // And by all of it, it is taken.
    victim.cookie = cookie;
    let page = victim.post("/connect/sign-in", &[("csrf", &own), ("key", key)]).await;
    assert_eq!(page.status, 303);
}

#[tokio::test]
async fn a_planted_session_is_left_behind_at_sign_in() {
    let bench = Bench::new();
    let link = bench.link("alice").await;
    let mut attacker = anybody(&bench).await;
    let known_to_attacker = attacker.csrf("/connect").await;
    let planted = attacker.cookie.clone();
    let mut victim = anybody(&bench).await;
    victim.cookie.clone_from(&planted);
    let page = victim
        .post("/connect/sign-in", &[("csrf", &known_to_attacker), ("key", bench.alice.expose())])
        .await;
    assert_eq!(page.status, 303);
    assert_ne!(victim.cookie, planted, "the session is another one");
    let page = attacker.get(&link).await;
    assert!(page.body.contains("name=\"key\""), "nobody is signed in with the old one: {page:?}");
    let page = victim.post(&link, &[("csrf", &known_to_attacker)]).await;
    assert_eq!(page.status, 403, "nor does its form do anything in the new one");
    let state = victim.begin(&link).await;
    let page = attacker.get(&back(&state, "stolen", Some(ISSUER))).await;
    assert_eq!(page.status, 403);
    assert!(bench.world.forms().is_empty());
}

#[tokio::test]
async fn a_callback_counts_once() {
    let bench = Bench::new();
    let link = bench.link("alice").await;
    let mut alice = bench.signed_in(&bench.alice).await;
    let state = alice.begin(&link).await;
    let callback = back(&state, "code-1", Some(ISSUER));
    assert_eq!(alice.get(&callback).await.status, 200);
    for again in [&callback, &back(&state, "code-2", Some(ISSUER))] {
        let page = alice.get(again).await;
        assert_eq!(page.status, 404);
        is_guarded(&page);
    }
    assert_eq!(bench.world.forms().len(), 1);
    assert_eq!(bench.token("alice").await.as_deref(), Some("upstream-token-1"));
}

#[tokio::test]
async fn a_callback_counts_in_the_browser_that_left_and_nowhere_else() {
    let bench = Bench::new();
    let link = bench.link("alice").await;
    // The attacker's own account, offered to another: they would work in it unawares.
    let mut bob = bench.signed_in(&bench.bob).await;
    let mut elsewhere = bench.signed_in(&bench.alice).await;
    let mut nobody = anybody(&bench).await;
    for (browser, wanted) in [(&mut nobody, 403), (&mut bob, 404), (&mut elsewhere, 404)] {
        let mut alice = bench.signed_in(&bench.alice).await;
        let state = alice.begin(&link).await;
        let page = browser.get(&back(&state, "code-1", Some(ISSUER))).await;
        assert_eq!(page.status, wanted, "{page:?}");
        is_guarded(&page);
    }
    assert!(bench.world.forms().is_empty(), "no code went anywhere");
    assert_eq!(bench.token("alice").await, None);
    assert_eq!(bench.token("bob").await, None);
}

#[tokio::test]
async fn a_mixed_up_issuer_gets_no_code() {
    let bench = Bench::new();
    let link = bench.link("alice").await;
    let mut alice = bench.signed_in(&bench.alice).await;
    for iss in [Some("https://evil.example"), Some("https://as.example/"), Some(""), None] {
        let state = alice.begin(&link).await;
        let page = alice.get(&back(&state, "code-1", iss)).await;
        assert_eq!(page.status, 404, "{iss:?}");
    }
    // Said twice, with one of them right.
    for twice in ["state", "code", "iss"] {
        let state = alice.begin(&link).await;
        let callback = back(&state, "code-1", Some(ISSUER));
        let page = alice.get(&format!("{callback}&{twice}=x")).await;
        assert_eq!(page.status, 404, "{twice}");
    }
    assert!(bench.world.forms().is_empty());
    // What the authorization server says went wrong is not shown.
    let state = alice.begin(&link).await;
    let error = form(&[
        ("state", &state),
        ("error", "access_denied"),
        ("error_description", "<b>call 555</b>"),
        ("iss", ISSUER),
    ]);
    let page = alice.get(&format!("/connect/callback?{error}")).await;
    assert!(page.status == 404 && !page.body.contains("555"), "{page:?}");
}

#[tokio::test]
async fn nothing_redirects_elsewhere() {
    let bench = Bench::new();
    let link = bench.link("alice").await;
    let key = bench.alice.expose();
    for path in [
        "/connect//evil.example/sign-in",
        "/connect/https%3A%2F%2Fevil.example%2Faaaaaaaaaa/sign-in",
        "/connect/..%2F..%2Fevil.example%2Faaaaaa/sign-in",
        "/connect/\\evil.example\\aaaaaaaaaaaaaaaa/sign-in",
    ] {
        let mut browser = anybody(&bench).await;
        let csrf = browser.csrf("/connect").await;
        let path = path.replace('\\', "%5C");
        let page = browser.post(&path, &[("csrf", &csrf), ("key", key)]).await;
        assert_eq!(page.header("location"), None, "{path}: {page:?}");
    }
    let mut browser = anybody(&bench).await;
    let csrf = browser.csrf(&link).await;
    let aside = [("next", "https://evil.example"), ("redirect_uri", "//evil.example")];
    let fields = [&[("csrf", csrf.as_str()), ("key", key)][..], &aside[..]].concat();
    let query = format!("{link}/sign-in?{}", form(&aside));
    let page = browser.post(&query, &fields).await;
    assert_eq!(page.header("location"), Some(&*link));
    // A link is given out only where the authorization server's own address can be gone to.
    for wrong in ["javascript:alert(1)", "http://as.example/authorize", "data:text/html,x"] {
        let bench = Bench::new();
        bench.world.differ("authorization_endpoint", json!(wrong));
        let error = bench.refused("alice", "Bearer").await;
        assert!(error.consent.is_none(), "{wrong}");
    }
}

#[tokio::test]
async fn scopes_and_names_with_markup_stay_text() {
    let bench = Bench::new();
    // Each of these letters may stand in a scope (RFC 6749 §3.3).
    let scope = "</li><img/src=x/onerror=alert(1)>'&lt;";
    let link = bench.link_for("alice", &format!("Bearer scope=\"{scope}\"")).await;
    let mut alice = bench.signed_in(&bench.alice).await;
    let page = alice.get(&link).await;
    assert_eq!(page.status, 200);
    assert!(!page.body.contains("<img"), "{page:?}");
    assert!(page.body.contains("&lt;img/src=x/onerror=alert(1)&gt;&#39;&amp;lt;"), "{page:?}");
    is_guarded(&page);
    for path in [
        "/connect/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/connect/callback?state=%3Cscript%3E&error=%3Cscript%3E",
        "/connect?a=%3Cscript%3E",
    ] {
        let page = alice.get(path).await;
        assert!(!page.body.contains("<script") && !page.body.contains("%3Cscript"), "{page:?}");
    }
}

#[tokio::test]
async fn another_sites_page_can_do_nothing_with_the_cookie() {
    let bench = Bench::new();
    let link = bench.link("alice").await;
    let mut alice = bench.signed_in(&bench.alice).await;
    let state = alice.begin(&link).await;
    alice.get(&back(&state, "code-1", Some(ISSUER))).await;
    for (path, fields) in [
        (link.as_str(), form(&[])),
        ("/connect/disconnect", form(&[("server", "crm")])),
        ("/connect/sign-out", form(&[("csrf", "guessed")])),
    ] {
        let page = alice.send(Method::POST, path, &fields, &[]).await;
        assert_eq!(page.status, 403, "{path}");
        let page = alice.send(Method::GET, &format!("{path}?{fields}"), "", &[]).await;
        assert!(page.status != 303, "{path}: {page:?}");
    }
    assert!(bench.token("alice").await.is_some());
    // And where a name of somebody else's leads here (DNS rebinding), nothing is served.
    let page = alice.send(Method::GET, "/connect", "", &[]).await;
    assert_eq!(page.status, 200);
    let mut rebound = anybody(&bench).await;
    rebound.cookie.clone_from(&alice.cookie);
    let page = rebound.get_as("evil.example", "/connect").await;
    assert_eq!(page.status, 403);
}

#[tokio::test]
async fn guessed_keys_are_refused_and_counted() {
    let bench = Bench::new();
    let mut browser = anybody(&bench).await;
    let csrf = browser.csrf("/connect").await;
    let mut statuses = vec![];
    for guess in 0..40 {
        let key = format!("dw-{guess:040}");
        let page = browser.post("/connect/sign-in", &[("csrf", &csrf), ("key", &key)]).await;
        is_guarded(&page);
        assert!(!page.body.contains(&key), "{page:?}");
        statuses.push(page.status);
    }
    assert_eq!((statuses[0], statuses[39]), (401, 429), "{statuses:?}");
}

#[tokio::test]
async fn the_cookie_is_the_browsers_and_holds_nothing_to_read() {
    for (base, name, secure) in
        [(BASE, "__Host-doorward=", true), ("http://localhost:8787", "doorward=", false)]
    {
        let bench = Bench::with(base, Protected::new(MCP));
        let browser = bench.signed_in(&bench.alice).await;
        let set = browser.set.unwrap();
        assert!(set.starts_with(name) && set.contains("; HttpOnly; SameSite=Lax"), "{set}");
        assert_eq!(set.contains("; Secure"), secure, "{set}");
        assert!(!set.contains(bench.alice.expose()) && !set.contains("alice"), "{set}");
    }
}

#[tokio::test]
async fn forms_that_are_none_are_refused() {
    let bench = Bench::new();
    let mut browser = anybody(&bench).await;
    let csrf = browser.csrf("/connect").await;
    let large = form(&[("csrf", &csrf), ("key", &"x".repeat(17 << 10))]);
    for (method, path, body, wanted) in [
        (Method::POST, "/connect/sign-in", large.as_str(), 403),
        (Method::POST, "/connect/sign-in", "\u{fffd}&&&=%zz%", 403),
        (Method::DELETE, "/connect", "", 405),
        (Method::POST, "/connect", "", 405),
        (Method::GET, "/connect/sign-in", "", 405),
        (Method::POST, "/connect/callback", "", 405),
    ] {
        let page = browser.send(method, path, body, &[]).await;
        assert_eq!(page.status, wanted, "{path} {page:?}");
        is_guarded(&page);
    }
}
