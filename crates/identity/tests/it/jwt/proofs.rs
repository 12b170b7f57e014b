//! Tokens that are bound to a key of the caller's.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use doorward_core::{Authenticator as _, Code, Presented, Proof, Secret};
use doorward_identity::jwt::Issuer;
use serde_json::{Value, json};

use super::idp::{Idp, Signer, part};
use super::{Door, US, minutes};

const URL: &str = "https://door.example/mcp";

/// Members over others.
fn merged(mut over: Value, instead: &Value) -> Value {
    for (name, value) in instead.as_object().unwrap() {
        over[name] = value.clone();
    }
    over
}

/// RFC 7638.
pub(crate) fn thumbprint(key: &Signer) -> String {
    let jwk = key.jwk();
    let names: &[&str] = match jwk["kty"].as_str().unwrap() {
        "EC" => &["crv", "kty", "x", "y"],
        "RSA" => &["e", "kty", "n"],
        _ => &["crv", "kty", "x"],
    };
    let members: Vec<_> = names.iter().map(|name| format!("\"{name}\":{}", jwk[*name])).collect();
    part(digest(&SHA256, format!("{{{}}}", members.join(",")).as_bytes()))
}

fn proof(key: &Signer, token: &str, now: i64, header: &Value, claims: &Value) -> String {
    let ath = part(digest(&SHA256, token.as_bytes()));
    let usual = json!({"jti": "p-1", "htm": "POST", "htu": URL, "iat": now, "ath": ath});
    let head = merged(json!({"typ": "dpop+jwt", "jwk": key.jwk()}), header);
    key.token_with(&head, &merged(usual, claims))
}

async fn shown(door: &Door, token: &str, proof: Option<&str>) -> Result<(), String> {
    let proof = proof.map(|jws| Proof {
        jws: Secret::new(jws),
        method: "POST".into(),
        url: Arc::from("https://Door.example:443/mcp?session=1"),
    });
    let shown = Presented { token: Some(Secret::new(token)), proof, ..Presented::default() };
    door.jwt.authenticate(&shown).await.map(drop).map_err(|error| {
        assert_eq!((error.code, &*error.public), (Code::Unauthenticated, "invalid token"));
        error.source.unwrap().to_string()
    })
}

async fn bound(key: &Signer) -> (Idp, Door, String) {
    let idp = Idp::start("").await;
    let door = Door::of([Issuer::new(idp.issuer(), [US])]);
    let cnf = json!({"cnf": {"jkt": thumbprint(key)}});
    let token = idp.signer.token(&door.claims(&idp.issuer(), &cnf));
    (idp, door, token)
}

#[tokio::test]
async fn a_bound_token_is_worth_nothing_without_its_key() {
    let usual = json!({});
    for key in [Signer::es256("c"), Signer::rsa("c"), Signer::ed25519("c")] {
        let (idp, door, token) = bound(&key).await;
        let now = door.seconds();
        let good = proof(&key, &token, now, &usual, &usual);
        let none = Err("the proof of possession: there is none".to_owned());
        assert_eq!(shown(&door, &token, None).await, none);
        assert_eq!(shown(&door, &token, Some(&good)).await, Ok(()));
        assert_eq!(shown(&door, &token, None).await, none, "though it is known by now");
        let thief = Signer::es256("c");
        let other = proof(&thief, &token, now, &usual, &usual);
        assert!(shown(&door, &token, Some(&other)).await.unwrap_err().ends_with("by another key"));
        let header = json!({"jwk": key.jwk()});
        let forged = proof(&thief, &token, now, &header, &usual);
        assert!(shown(&door, &token, Some(&forged)).await.unwrap_err().ends_with("does not fit"));
        let plain = idp.signer.token(&door.claims(&idp.issuer(), &json!({})));
        assert_eq!(shown(&door, &plain, None).await, Ok(()));
        let needless = proof(&key, &plain, now, &usual, &usual);
        let cause = shown(&door, &plain, Some(&needless)).await.unwrap_err();
        assert!(cause.ends_with("not bound"), "{cause}");
    }
}

#[tokio::test]
async fn a_replayed_proof_is_refused() {
    let (key, usual) = (Signer::es256("c"), json!({}));
    let (_idp, door, token) = bound(&key).await;
    let first = proof(&key, &token, door.seconds(), &usual, &usual);
    assert_eq!(shown(&door, &token, Some(&first)).await, Ok(()));
    for _ in 0..3 {
        let cause = shown(&door, &token, Some(&first)).await.unwrap_err();
        assert_eq!(cause, "the proof of possession: shown before");
        door.clock.advance(Duration::from_secs(20));
    }
    // The same id again, freshly signed, is the same proof.
    let again = proof(&key, &token, door.seconds(), &usual, &usual);
    assert!(shown(&door, &token, Some(&again)).await.is_err());
    let next = proof(&key, &token, door.seconds(), &usual, &json!({"jti": "p-2"}));
    assert_eq!(shown(&door, &token, Some(&next)).await, Ok(()));
    door.clock.advance(minutes(5));
    assert!(shown(&door, &token, Some(&next)).await.is_err(), "forgotten, and too old");
}

#[tokio::test]
async fn a_proof_is_for_one_request_with_one_token() {
    let key = Signer::es256("c");
    let (_idp, door, token) = bound(&key).await;
    let now = door.seconds();
    let leaked = merged(key.jwk(), &json!({"d": "AA"}));
    let symmetric = json!({"kty": "oct", "k": "AA"});
    let cases = [
        (json!({}), json!({}), true),
        (json!({}), json!({"htu": "https://door.example/%6dcp#x"}), true),
        (json!({}), json!({"iat": now - 60}), true),
        (json!({}), json!({"iat": now + 60}), true),
        (json!({}), json!({"iat": now - 61}), false),
        (json!({}), json!({"iat": now + 61}), false),
        (json!({}), json!({"iat": null}), false),
        (json!({}), json!({"htm": "GET"}), false),
        (json!({}), json!({"htm": "post"}), false),
        (json!({}), json!({"htu": "https://door.example/v1"}), false),
        (json!({}), json!({"htu": "http://door.example/mcp"}), false),
        (json!({}), json!({"htu": null}), false),
        (json!({}), json!({"ath": part([0; 32])}), false),
        (json!({}), json!({"ath": null}), false),
        (json!({}), json!({"jti": ""}), false),
        (json!({}), json!({"jti": "j".repeat(257)}), false),
        (json!({"typ": "JWT"}), json!({}), false),
        (json!({"alg": "none"}), json!({}), false),
        (json!({"alg": "HS256"}), json!({}), false),
        (json!({"jwk": null}), json!({}), false),
        (json!({"jwk": leaked}), json!({}), false),
        (json!({"jwk": symmetric}), json!({}), false),
        (json!({"crit": ["x"]}), json!({}), false),
    ];
    for (nth, (header, claims, good)) in cases.into_iter().enumerate() {
        let claims = merged(json!({"jti": format!("n-{nth}")}), &claims);
        let proof = proof(&key, &token, now, &header, &claims);
        assert_eq!(shown(&door, &token, Some(&proof)).await.is_ok(), good, "{header} {claims}");
    }
    assert!(shown(&door, &token, Some("")).await.is_err());
    assert!(shown(&door, &token, Some(&token)).await.is_err());
}

#[tokio::test]
async fn what_is_bound_otherwise_or_not_at_all_is_refused_where_binding_is_wanted() {
    let key = Signer::es256("c");
    let (idp, door, _) = bound(&key).await;
    for cnf in [
        json!({"kid": "AA"}),
        json!({"jkt": thumbprint(&key), "jwe": "AA"}),
        json!({"x5t#S256": 7}),
        json!({}),
        json!("text"),
        json!({"jkt": 7}),
    ] {
        let token = idp.signer.token(&door.claims(&idp.issuer(), &json!({"cnf": cnf})));
        let cause = shown(&door, &token, None).await.unwrap_err();
        assert_eq!(cause, "the claim `cnf` is missing or not accepted", "{cnf}");
    }
    let strict = Door::of([Issuer::new(idp.issuer(), [US]).with_bound_tokens_only()]);
    let plain = idp.signer.token(&strict.claims(&idp.issuer(), &json!({})));
    assert!(shown(&strict, &plain, None).await.is_err());
}
