//! Keys that change, and issuers that do not answer.

use std::time::Duration;

use doorward_core::Code;
use doorward_identity::jwt::{Freshness, Issuer, Keys};
use futures_util::future::join_all;
use serde_json::json;

use super::idp::{Idp, Signer};
use super::{Door, US, minutes, pair};

fn many(idp: &Idp, door: &Door, count: usize) -> Vec<String> {
    let claims = |n| door.claims(&idp.issuer(), &json!({"sub": format!("u{n}")}));
    (0..count).map(|n| idp.signer.token(&claims(n))).collect()
}

#[tokio::test]
async fn a_key_that_was_rotated_in_costs_one_fetch_for_all_who_wait() {
    let (mut idp, door) = pair().await;
    let old = idp.signer.token(&door.claims(&idp.issuer(), &json!({})));
    assert!(door.show(&old).await.is_ok());
    assert_eq!(idp.asked(), 1);
    let was = std::mem::replace(&mut idp.signer, Signer::ed25519("k2"));
    idp.publish(&[was.jwk(), idp.signer.jwk()]);
    idp.set_delay(Duration::from_millis(50));
    let tokens = many(&idp, &door, 50);
    let shown = join_all(tokens.iter().map(|token| door.show(token))).await;
    assert!(shown.iter().all(Result::is_ok), "{shown:?}");
    assert_eq!(idp.asked(), 2);
    assert!(door.show(&old).await.is_ok(), "the old one is published still");
}

#[tokio::test]
async fn the_first_tokens_wait_for_one_fetch_together() {
    let (idp, door) = pair().await;
    idp.set_delay(Duration::from_millis(50));
    let tokens = many(&idp, &door, 20);
    let shown = join_all(tokens.iter().map(|token| door.show(token))).await;
    assert!(shown.iter().all(Result::is_ok));
    assert_eq!(idp.asked(), 1);
}

#[tokio::test]
async fn a_key_that_was_taken_back_verifies_nothing_any_more() {
    let (mut idp, door) = pair().await;
    let token = idp.signer.token(&door.claims(&idp.issuer(), &json!({})));
    assert!(door.show(&token).await.is_ok());
    for (kid, cause) in [("k2", "the issuer has no such key"), ("k2", "the signature does not fit")]
    {
        let token = idp.signer.token(&door.claims(&idp.issuer(), &json!({})));
        // The second time, another key goes under the same name.
        idp.signer = Signer::es256(kid);
        assert!(door.show(&token).await.is_ok());
        idp.publish(&[idp.signer.jwk()]);
        assert!(door.show(&token).await.is_ok(), "not yet known");
        door.clock.advance(minutes(5));
        door.jwt.refresh().await;
        assert_eq!(door.refusal(&token).await, cause);
        let token = idp.signer.token(&door.claims(&idp.issuer(), &json!({})));
        assert!(door.show(&token).await.is_ok());
    }
}

#[tokio::test]
async fn unknown_key_ids_do_not_make_us_flood_the_issuer() {
    let (mut idp, door) = pair().await;
    let claims = door.claims(&idp.issuer(), &json!({}));
    assert!(door.show(&idp.signer.token(&claims)).await.is_ok());
    for n in 0..200 {
        let token = idp.signer.token_with(&json!({"kid": format!("x{n}")}), &claims);
        assert_eq!(door.refusal(&token).await, "the issuer has no such key");
    }
    assert_eq!(idp.asked(), 2, "one for the first of them");
    door.clock.advance(Duration::from_secs(10));
    let known = idp.signer.token_with(&json!({"kid": "x0"}), &claims);
    door.refusal(&known).await;
    assert_eq!(idp.asked(), 2, "it was asked for this one a moment ago");
    // A real key is found as soon as the pause is over.
    idp.signer = Signer::es256("k2");
    idp.publish(&[idp.signer.jwk()]);
    assert!(door.show(&idp.signer.token(&claims)).await.is_ok());
    assert_eq!(idp.asked(), 3);
}

#[tokio::test]
async fn an_issuer_may_be_down_for_an_hour() {
    let (mut idp, door) = pair().await;
    let issuer = idp.issuer();
    door.jwt.refresh().await;
    idp.set_down(true);
    for minute in 0..60 {
        door.clock.advance(minutes(1));
        door.jwt.refresh().await;
        let claims = door.claims(&issuer, &json!({"sub": format!("u{minute}")}));
        assert!(door.show(&idp.signer.token(&claims)).await.is_ok(), "a known key holds");
    }
    let asked = door.jwt.status();
    let [status] = &asked[..] else { panic!("one issuer") };
    assert!(status.failure.is_some() && status.keys == 1 && status.age >= Some(minutes(60)));
    let stranger = Signer::es256("k2");
    let unknown = stranger.token(&door.claims(&issuer, &json!({})));
    assert_eq!(door.refusal(&unknown).await, "the issuer has no such key");

    idp.set_down(false);
    idp.publish(&[stranger.jwk()]);
    idp.signer = stranger;
    door.clock.advance(minutes(6));
    door.jwt.refresh().await;
    assert!(door.show(&unknown).await.is_ok(), "recovered without a restart");
    assert_eq!(door.jwt.status()[0].failure, None);
}

#[tokio::test]
async fn keys_are_not_believed_for_ever() {
    let idp = Idp::start("").await;
    let freshness = Freshness { stale: minutes(30), ..Freshness::default() };
    let door = Door::of([Issuer::new(idp.issuer(), [US]).with_freshness(freshness)]);
    let token = idp.signer.token(&door.claims(&idp.issuer(), &json!({})));
    assert!(door.show(&token).await.is_ok());
    idp.set_down(true);
    door.clock.advance(Duration::from_secs(1799));
    assert!(door.show(&token).await.is_ok());
    door.clock.advance(Duration::from_secs(1));
    let refused = door.show(&token).await.unwrap_err();
    assert_eq!(refused.code, Code::Overloaded);
    assert!(refused.retry_after.is_some());
    idp.set_down(false);
    door.clock.advance(minutes(6));
    assert!(door.show(&token).await.is_ok());
}

#[tokio::test]
async fn an_issuer_that_never_answered_lets_nobody_in_and_the_others_go_on() {
    let (idp, other) = (Idp::start("").await, Idp::start("").await);
    let door = Door::of([&idp, &other].map(|idp| Issuer::new(idp.issuer(), [US])));
    idp.page("/.well-known/openid-configuration", 503, &json!("busy"));
    let token = idp.signer.token(&door.claims(&idp.issuer(), &json!({})));
    assert_eq!(door.show(&token).await.unwrap_err().code, Code::Overloaded);
    let good = other.signer.token(&door.claims(&other.issuer(), &json!({})));
    assert!(door.show(&good).await.is_ok());
    let metadata = json!({"issuer": idp.issuer(), "jwks_uri": format!("{}/keys", idp.issuer())});
    idp.page("/.well-known/openid-configuration", 200, &metadata);
    for _ in 0..20 {
        assert_eq!(door.show(&token).await.unwrap_err().code, Code::Overloaded);
    }
    assert_eq!(idp.asked(), 0, "not for every token");
    door.clock.advance(Duration::from_secs(10));
    assert!(door.show(&token).await.is_ok());
}

#[tokio::test]
async fn keys_come_from_where_it_was_said() {
    let idp = Idp::with("/tenant", Signer::rsa("k1")).await;
    let issuer = idp.issuer();
    let token = |door: &Door| idp.signer.token(&door.claims(&issuer, &json!({})));
    let inline = json!({"keys": [{"kty": "oct", "k": "AA"}, idp.signer.jwk()]}).to_string();
    for keys in [Keys::Inline(inline), Keys::At(format!("{issuer}/keys")), Keys::Discovered] {
        let door = Door::of([Issuer::new(&*issuer, [US]).with_keys(keys)]);
        assert!(door.show(&token(&door)).await.is_ok());
    }
    // RFC 8414's place is asked where OpenID's has nothing.
    let root = Idp::start("").await;
    root.page("/.well-known/openid-configuration", 404, &json!(""));
    let metadata = json!({"issuer": root.issuer(), "jwks_uri": format!("{}/keys", root.issuer())});
    root.page("/.well-known/oauth-authorization-server", 200, &metadata);
    let door = Door::of([Issuer::new(root.issuer(), [US])]);
    let shown = root.signer.token(&door.claims(&root.issuer(), &json!({})));
    assert!(door.show(&shown).await.is_ok());
    // Metadata that moved within its origin is followed, in circles it is not.
    let metadata = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
    idp.page("/.well-known/openid-configuration", 302, &json!("/tenant/moved"));
    idp.page("/moved", 200, &metadata);
    let door = Door::of([Issuer::new(&*issuer, [US])]);
    assert!(door.show(&token(&door)).await.is_ok());
    idp.page("/moved", 302, &json!("/tenant/moved"));
    let door = Door::of([Issuer::new(&*issuer, [US])]);
    assert_eq!(door.show(&token(&door)).await.unwrap_err().code, Code::Overloaded);
}

#[tokio::test]
async fn a_token_without_a_key_id_is_tried_by_the_few_keys_that_fit() {
    let mut signer = Signer::es256("");
    signer.kid = None;
    let idp = Idp::with("", signer).await;
    let door = Door::of([Issuer::new(idp.issuer(), [US])]);
    let token = idp.signer.token(&door.claims(&idp.issuer(), &json!({})));
    let others = |count| (0..count).map(|_| Signer::es256("x").jwk());
    idp.publish(&others(3).chain([idp.signer.jwk()]).collect::<Vec<_>>());
    assert!(door.show(&token).await.is_ok());
    idp.publish(&others(4).chain([idp.signer.jwk()]).collect::<Vec<_>>());
    let door = Door::of([Issuer::new(idp.issuer(), [US])]);
    assert_eq!(door.refusal(&token).await, "the issuer has no such key");
}
