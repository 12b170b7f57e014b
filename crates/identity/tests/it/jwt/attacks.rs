//! Tokens that must not open anything, by the name of the attack.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_core::{Authenticator as _, Code, Presented, Secret};
use doorward_identity::jwt::{Algorithm, Issuer, Jwt, JwtBuildError, Keys};
use doorward_identity::oauth_client::{HyperHttp, Reach};
use doorward_identity::{Authenticators, Guesses, Memory, VirtualKeys};
use doorward_testkit::clock::TestClock;
use doorward_testkit::keys::pepper;
use serde_json::{Value, json};

use super::idp::{Idp, Signer, part};
use super::{Door, US, minutes, pair};

#[tokio::test]
async fn alg_none_is_refused() {
    let (idp, door) = pair().await;
    let claims = part(door.claims(&idp.issuer(), &json!({})).to_string());
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let header = part(json!({"alg": name, "kid": "k1"}).to_string());
        for signature in ["", "AA", &part([0; 64])] {
            let cause = door.refusal(&format!("{header}.{claims}.{signature}")).await;
            assert_eq!(cause, "the algorithm is not allowed", "{name} {signature}");
        }
    }
    assert_eq!(idp.asked(), 0, "nobody was asked for that");
}

#[tokio::test]
async fn alg_confusion_an_rsa_key_is_no_hmac_secret() {
    let idp = Idp::with("", Signer::rsa("k1")).await;
    let door = Door::of([Issuer::new(idp.issuer(), [US])]);
    let claims = door.claims(&idp.issuer(), &json!({}));
    assert!(door.show(&idp.signer.token(&claims)).await.is_ok());
    let jwk = idp.signer.jwk();
    for secret in [jwk.to_string(), jwk["n"].as_str().unwrap().to_owned(), String::new()] {
        for alg in ["HS256", "HS384", "HS512"] {
            let header = json!({"alg": alg, "kid": "k1", "typ": "JWT"}).to_string();
            let signed = format!("{}.{}", part(header), part(claims.to_string()));
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            let token = format!("{signed}.{}", part(hmac::sign(&key, signed.as_bytes())));
            assert_eq!(door.refusal(&token).await, "the algorithm is not allowed");
        }
    }
    // An algorithm of another family with a known key id, and one that is not on the list.
    let other = Signer::es256("k1");
    assert_eq!(door.refusal(&other.token(&claims)).await, "the issuer has no such key");
    let issuer = Issuer::new(idp.issuer(), [US]).with_algorithms([Algorithm::Ps256]);
    let strict = Door::of([issuer]);
    assert_eq!(strict.refusal(&idp.signer.token(&claims)).await, "the algorithm is not allowed");
    let pss = idp.signer.token_with(&json!({"alg": "PS256"}), &claims);
    assert!(strict.show(&pss).await.is_ok());
}

#[tokio::test]
async fn kid_injection_looks_nothing_up() {
    let (idp, door) = pair().await;
    let claims = door.claims(&idp.issuer(), &json!({}));
    assert!(door.show(&idp.signer.token(&claims)).await.is_ok());
    let asked = idp.asked();
    for kid in [
        "../../../../dev/null",
        "/etc/passwd",
        "k1' OR '1'='1",
        "k1' UNION SELECT 'secret'; --",
        "k1\u{0}",
        "k1\r\nX: y",
        "http://127.0.0.1:1/key",
        "| id",
        "",
        "K1",
    ] {
        let token = idp.signer.token_with(&json!({"kid": kid}), &claims);
        door.refusal(&token).await;
    }
    let huge = idp.signer.token_with(&json!({"kid": "k".repeat(9000)}), &claims);
    assert_eq!(door.refusal(&huge).await, "the header's `kid` is not accepted");
    assert!(idp.asked() <= asked + 1, "one look at the issuer's keys for all of them");
}

#[tokio::test]
async fn jku_x5u_and_embedded_keys_are_not_followed() {
    let (idp, door) = pair().await;
    let evil = Idp::with("", Signer::es256("k1")).await;
    let claims = door.claims(&idp.issuer(), &json!({}));
    let keys = format!("{}/keys", evil.issuer());
    for (name, value) in [
        ("jku", Value::from(keys.clone())),
        ("x5u", keys.clone().into()),
        ("jwk", evil.signer.jwk()),
    ] {
        let token = evil.signer.token_with(&json!({name: value}), &claims);
        assert_eq!(door.refusal(&token).await, format!("the header's `{name}` is not accepted"));
    }
    let chained = evil.signer.token_with(&json!({"x5c": ["MIIB"]}), &claims);
    assert_eq!(door.refusal(&chained).await, "the signature does not fit");
    assert_eq!(evil.asked(), 0);
}

#[tokio::test]
async fn expired_and_not_yet_valid_are_refused_but_for_the_skew() {
    let (idp, door) = pair().await;
    let now = door.seconds();
    for (instead, cause) in [
        (json!({"exp": now - 59}), None),
        (json!({"exp": now - 60}), Some("exp")),
        (json!({"exp": 0}), Some("exp")),
        (json!({"exp": null}), Some("exp")),
        (json!({"exp": "9999999999"}), Some("exp")),
        (json!({"exp": i64::MAX}), None),
        (json!({"exp": 1e300}), Some("exp")),
        (json!({"nbf": now + 60}), None),
        (json!({"nbf": now + 61}), Some("nbf")),
        (json!({"iat": now + 61}), Some("nbf")),
        (json!({"nbf": [], "iat": now}), Some("nbf")),
        (json!({"nbf": null, "iat": null}), None),
    ] {
        let token = idp.signer.token(&door.claims(&idp.issuer(), &instead));
        match cause {
            None => assert!(door.show(&token).await.is_ok(), "{instead}"),
            Some(name) => assert_eq!(
                door.refusal(&token).await,
                format!("the claim `{name}` is missing or not accepted"),
                "{instead}"
            ),
        }
    }
    // A token that was accepted ends as well.
    let token = idp.signer.token(&door.claims(&idp.issuer(), &json!({"exp": now + 60})));
    assert!(door.show(&token).await.is_ok());
    door.clock.advance(Duration::from_secs(119));
    assert!(door.show(&token).await.is_ok(), "within the skew");
    door.clock.advance(Duration::from_secs(1));
    door.refusal(&token).await;
}

#[tokio::test]
async fn an_age_limit_holds_whatever_the_token_says_of_its_end() {
    let idp = Idp::start("").await;
    let door = Door::of([Issuer::new(idp.issuer(), [US]).with_max_age(minutes(10))]);
    let token = idp.signer.token(&door.claims(&idp.issuer(), &json!({})));
    assert!(door.show(&token).await.is_ok());
    door.clock.advance(minutes(11));
    assert_eq!(door.refusal(&token).await, "the claim `exp` is missing or not accepted");
    let ageless = idp.signer.token(&door.claims(&idp.issuer(), &json!({"iat": null})));
    assert_eq!(door.refusal(&ageless).await, "the claim `iat` is missing or not accepted");
}

#[tokio::test]
async fn a_token_for_another_audience_or_client_is_refused() {
    let idp = Idp::start("").await;
    let door = Door::of([Issuer::new(idp.issuer(), [US, "doorward"]).with_clients(["0oa1"])]);
    for (instead, good) in [
        (json!({"aud": "doorward"}), true),
        (json!({"aud": ["other", US]}), true),
        (json!({"aud": "other"}), false),
        (json!({"aud": ["other"]}), false),
        (json!({"aud": []}), false),
        (json!({"aud": null}), false),
        (json!({"aud": "api://doorward/"}), false),
        (json!({"aud": {"api://doorward": 1}}), false),
        (json!({"azp": "0oa2"}), false),
        (json!({"azp": null}), false),
        (json!({"azp": null, "client_id": "0oa1"}), true),
        (json!({"azp": "0oa1", "client_id": "0oa2"}), false),
        (json!({"azp": null, "appid": 7}), false),
        (json!({"sub": null}), false),
        (json!({"sub": "a\nb"}), false),
    ] {
        let token = idp.signer.token(&door.claims(&idp.issuer(), &instead));
        assert_eq!(door.show(&token).await.is_ok(), good, "{instead}");
    }
}

#[tokio::test]
async fn a_wrong_issuer_with_a_known_kid_is_refused() {
    let (idp, door) = pair().await;
    let issuer = idp.issuer();
    for iss in [
        "https://evil.example".to_owned(),
        format!("{issuer}/"),
        issuer.to_uppercase(),
        format!("{issuer}@evil.example"),
        format!("{issuer}.evil.example"),
        String::new(),
    ] {
        let token = idp.signer.token(&door.claims(&iss, &json!({})));
        assert_eq!(door.refusal(&token).await, "the issuer is not known", "{iss}");
    }
    let several = idp.signer.token(&door.claims("", &json!({"iss": [issuer]})));
    assert_eq!(door.refusal(&several).await, "the issuer is not known");
    let none = idp.signer.token(&door.claims("", &json!({"iss": null})));
    assert_eq!(door.refusal(&none).await, "the issuer is not known");
}

#[tokio::test]
async fn mixed_up_issuers_do_not_sign_for_each_other() {
    let (one, other) = (Idp::start("").await, Idp::start("").await);
    let issuers = [&one, &other].map(|idp| Issuer::new(idp.issuer(), [US]));
    let door = Door::of(issuers);
    for (claimed, signer, good) in
        [(&one, &one, true), (&other, &other, true), (&one, &other, false), (&other, &one, false)]
    {
        // Both call their key `k1`.
        let token = signer.signer.token(&door.claims(&claimed.issuer(), &json!({})));
        assert_eq!(door.show(&token).await.is_ok(), good);
        if !good {
            assert_eq!(door.refusal(&token).await, "the signature does not fit");
        }
    }
}

#[tokio::test]
async fn duplicate_claims_truncation_and_garbage_are_refused() {
    let (idp, door) = pair().await;
    let claims = door.claims(&idp.issuer(), &json!({})).to_string();
    let header = r#"{"alg":"ES256","kid":"k1"}"#;
    let good = idp.signer.raw(header, &claims);
    assert!(door.show(&good).await.is_ok());
    let twice = claims.replacen('{', r#"{"sub":"admin","#, 1);
    let token = idp.signer.raw(header, &twice);
    let shape = "no token: not one JSON object with distinct members";
    assert_eq!(door.refusal(&token).await, shape);
    let token = idp.signer.raw(r#"{"alg":"none","alg":"ES256","kid":"k1"}"#, &claims);
    assert_eq!(door.refusal(&token).await, shape);
    for length in 0..good.len() {
        door.refusal(&good[..length]).await;
    }
    let mut changed = good.clone().into_bytes();
    for at in (0..changed.len()).step_by(7) {
        let was = changed[at];
        changed[at] = if was == b'A' { b'Q' } else { b'A' };
        if changed[at] != was {
            door.refusal(std::str::from_utf8(&changed).unwrap()).await;
        }
        changed[at] = was;
    }
    for garbage in ["", "a.b.c", "...", "ey.ey.ey", "🦀.🦀.🦀", "dw-123", &"a".repeat(10_000)]
    {
        door.refusal(garbage).await;
    }
}

#[tokio::test]
async fn a_critical_header_is_refused() {
    let (idp, door) = pair().await;
    let claims = door.claims(&idp.issuer(), &json!({}));
    for header in [
        json!({"crit": ["exp"], "exp": 1}),
        json!({"crit": []}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"b64": true}),
    ] {
        let cause = door.refusal(&idp.signer.token_with(&header, &claims)).await;
        assert!(cause.starts_with("the header's"), "{cause}");
    }
}

#[tokio::test]
async fn an_oversize_token_is_refused_before_it_is_read() {
    let (idp, door) = pair().await;
    let claims = door.claims(&idp.issuer(), &json!({"x": "y".repeat(20_000)}));
    let token = idp.signer.token(&claims);
    assert_eq!(door.refusal(&token).await, "no token: too long");
    assert_eq!(idp.asked(), 0);
    let nested = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let token = idp.signer.raw(r#"{"alg":"ES256","kid":"k1"}"#, &format!(r#"{{"x":{nested}}}"#));
    door.refusal(&token).await;
}

/// ASN.1, which other libraries write, is not what RFC 7518 §3.4 says.
#[tokio::test]
async fn an_es256_signature_has_one_form() {
    let (idp, door) = pair().await;
    let token = idp.signer.token(&door.claims(&idp.issuer(), &json!({})));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let number = |half: &[u8]| {
        let zero = half[0] >= 0x80;
        let mut text = vec![2, 32 + u8::from(zero)];
        if zero {
            text.push(0);
        }
        [text, half.to_vec()].concat()
    };
    let inner = [number(&bytes[..32]), number(&bytes[32..])].concat();
    let der = [vec![0x30, u8::try_from(inner.len()).unwrap()], inner].concat();
    let longer = [bytes.clone(), vec![0]].concat();
    for wrong in [der, longer, bytes[..63].to_vec(), vec![0; 64], vec![]] {
        let token = format!("{signed}.{}", part(wrong));
        assert_eq!(door.refusal(&token).await, "the signature does not fit");
    }
    assert!(door.show(&token).await.is_ok());
}

#[tokio::test]
async fn an_id_token_is_no_access_token() {
    let (idp, door) = pair().await;
    let issuer = idp.issuer();
    let typed = Door::of([Issuer::new(&*issuer, [US]).with_access_tokens_only()]);
    let lax = Door::of([Issuer::new(&*issuer, [US]).with_id_tokens()]);
    for (header, instead, expected) in [
        (json!({"typ": "at+jwt"}), json!({}), [true, true, true]),
        (json!({"typ": "application/AT+JWT"}), json!({}), [true, true, true]),
        (json!({"typ": "JWT"}), json!({}), [true, false, true]),
        (json!({}), json!({}), [true, false, true]),
        (json!({"typ": "JWT"}), json!({"nonce": "n"}), [false, false, true]),
        (json!({}), json!({"at_hash": "h"}), [false, false, true]),
        (json!({}), json!({"typ": "ID"}), [false, false, true]),
        (json!({}), json!({"typ": "Refresh"}), [false, false, false]),
        (json!({"typ": "logout+jwt"}), json!({}), [false, false, false]),
        (json!({"typ": "dpop+jwt"}), json!({}), [false, false, false]),
        (json!({"typ": "JWT"}), json!({"events": {}}), [false, false, false]),
    ] {
        for (door, expected) in [&door, &typed, &lax].into_iter().zip(expected) {
            let token = idp.signer.token_with(&header, &door.claims(&issuer, &instead));
            assert_eq!(door.show(&token).await.is_ok(), expected, "{header} {instead}");
        }
    }
}

/// An issuer's metadata and its redirects lead nowhere that the gateway was not told to go.
#[tokio::test]
async fn ssrf_through_discovery_and_key_urls_is_refused() {
    let (idp, door) = pair().await;
    let inside = Idp::start("").await;
    let token = idp.signer.token(&door.claims(&idp.issuer(), &json!({})));
    for url in [
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://[fe80::1]/".into(),
        "file:///etc/passwd".into(),
        "http://user@127.0.0.1/".into(),
        "gopher://127.0.0.1/".into(),
        String::new(),
    ] {
        let page = json!({"issuer": idp.issuer(), "jwks_uri": url});
        idp.page("/.well-known/openid-configuration", 200, &page);
        let error = door.show(&token).await.unwrap_err();
        assert_eq!(error.code, Code::Overloaded, "{url}");
        door.clock.advance(minutes(6));
    }
    // Metadata that names another issuer, and keys that are redirected to another origin.
    let other = json!({"issuer": inside.issuer(), "jwks_uri": format!("{}/keys", idp.issuer())});
    idp.page("/.well-known/openid-configuration", 200, &other);
    assert_eq!(door.show(&token).await.unwrap_err().code, Code::Overloaded);
    door.clock.advance(minutes(6));
    let right = json!({"issuer": idp.issuer(), "jwks_uri": format!("{}/keys", idp.issuer())});
    idp.page("/.well-known/openid-configuration", 200, &right);
    idp.page("/keys", 302, &format!("{}/keys", inside.issuer()).into());
    assert_eq!(door.show(&token).await.unwrap_err().code, Code::Overloaded);
    assert_eq!(inside.asked(), 0);
    door.clock.advance(minutes(6));
    idp.page("/keys", 200, &"x".repeat(300 << 10).into());
    assert_eq!(door.show(&token).await.unwrap_err().code, Code::Overloaded);
    assert!(door.jwt.status()[0].failure.as_ref().unwrap().contains("too large"));

    // Without the declaration, not even this machine's own issuer is asked.
    let clock = Arc::new(TestClock::default());
    let http = Arc::new(HyperHttp::new(Reach::default(), None).unwrap());
    for keys in [Keys::Discovered, Keys::At(format!("{}/keys", idp.issuer()))] {
        let issuer = Issuer::new(idp.issuer(), [US]).with_keys(keys);
        let built = Jwt::builder(http.clone(), clock.clone()).issuer(issuer).build();
        assert!(matches!(built, Err(JwtBuildError::Address { .. })));
    }
}

#[tokio::test]
async fn guessing_is_answered_with_waiting_but_a_right_token_passes() {
    let idp = Idp::start("").await;
    let guesses = Guesses { most: Some(3), ..Guesses::default() };
    let door = Door::built([Issuer::new(idp.issuer(), [US])], |builder| builder.guesses(guesses));
    let show = |token: String| {
        let (source, token) = (Some([192, 0, 2, 1].into()), Some(Secret::new(token)));
        let shown = Presented { token, source, ..Presented::default() };
        let jwt = &door.jwt;
        async move { jwt.authenticate(&shown).await.map_err(|error| error.code) }
    };
    let now = door.seconds();
    let old = idp.signer.token(&door.claims(&idp.issuer(), &json!({"exp": now - 100})));
    let forged = Signer::es256("k1").token(&door.claims(&idp.issuer(), &json!({})));
    for _ in 0..5 {
        let refused = show(old.clone()).await;
        assert_eq!(refused, Err(Code::Unauthenticated), "it was issued: no guess");
    }
    for _ in 0..3 {
        assert_eq!(show(forged.clone()).await, Err(Code::Unauthenticated));
    }
    assert_eq!(show(forged.clone()).await, Err(Code::RateLimited));
    assert_eq!(show(old).await, Err(Code::Unauthenticated));
    assert!(show(idp.signer.token(&door.claims(&idp.issuer(), &json!({})))).await.is_ok());
}

#[tokio::test]
async fn keys_and_tokens_come_in_by_one_door() {
    let (idp, door) = pair().await;
    let token = idp.signer.token(&door.claims(&idp.issuer(), &json!({})));
    let store = Arc::new(Memory::default());
    let keys = VirtualKeys::new(store, pepper(), door.clock.clone(), Guesses::default()).unwrap();
    let both = Authenticators::new(Arc::new(keys)).with_tokens(Arc::new(door.jwt));
    for (text, expected) in [
        (&*token, Ok(())),
        ("dw-a.b.c", Err("invalid API key")),
        ("sk-1", Err("invalid API key")),
        ("", Err("invalid API key")),
        ("a.b.c", Err("invalid token")),
        (&token[1..], Err("invalid token")),
    ] {
        let shown = Presented { token: Some(Secret::new(text)), ..Presented::default() };
        let answer = both.authenticate(&shown).await;
        let said = answer.map(drop).map_err(|error| error.public);
        assert_eq!(said, expected.map_err(Into::into), "{text}");
    }
}

#[test]
fn what_would_accept_too_much_is_not_built() {
    let http = Arc::new(HyperHttp::new(Reach::default(), None).unwrap());
    let built = |issuers: Vec<Issuer>| {
        let builder = Jwt::builder(http.clone(), Arc::new(TestClock::default()));
        let built = issuers.into_iter().fold(builder, doorward_identity::jwt::Builder::issuer);
        built.build().map(drop).unwrap_err().to_string()
    };
    let good = || Issuer::new("https://idp.example", [US]);
    let many = || Issuer::new("https://login.example/{tenantid}/v2.0", [US]);
    let none: [&str; 0] = [];
    for (issuers, says) in [
        (vec![Issuer::new("https://idp.example", none)], "no audience"),
        (vec![good().with_algorithms([])], "no algorithm"),
        (vec![good(), good()], "two issuers"),
        (vec![many()], "list those that are accepted"),
        (vec![many().with_tenants(["t"])], "where its metadata is"),
        (vec![good().with_keys(Keys::Inline("{}".into()))], "no key that can be used"),
        (vec![good().with_keys(Keys::Inline(r#"{"keys":[]}"#.into()))], "no key that can be used"),
        (vec![Issuer::new("accounts.example", [US])], "cannot be fetched"),
        (vec![good().with_keys(Keys::At("http://idp.example/keys".into()))], "cannot be fetched"),
    ] {
        let said = built(issuers);
        assert!(said.contains(says), "{said}");
    }
}
