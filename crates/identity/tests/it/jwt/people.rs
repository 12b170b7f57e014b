//! Who a token stands for, in the shapes of the large providers.

use std::sync::Arc;

use doorward_core::{Clock as _, Pattern, PrincipalKind, Secret};
use doorward_identity::jwt::{Allowance, Holds, Issuer, Keys, Mapping, Name, Requirement, Revoked};
use serde_json::{Value, json};

use super::idp::Idp;
use super::{Door, US, minutes};

#[tokio::test]
async fn an_okta_token_is_a_person_or_a_service() {
    let idp = Idp::start("/oauth2/default").await;
    let issuer = idp.issuer();
    let mapping = Mapping::okta().with_service("0oa2", "nightly-build");
    let door = Door::of([Issuer::new(&*issuer, [US]).with_mapping(mapping)]);
    let person = json!({
        "ver": 1, "cid": "0oa1", "azp": null, "uid": "00u1", "sub": "alice@example.com",
        "scp": ["openid", "doorward.use"], "groups": ["Everyone", "Engineering"],
    });
    let token = idp.signer.token(&door.claims(&issuer, &person));
    let principal = door.show(&token).await.unwrap();
    assert_eq!((&*principal.id, principal.kind), ("alice@example.com", PrincipalKind::Person));
    let identity = principal.identity.as_ref().unwrap();
    assert_eq!((&*identity.issuer, &*identity.subject), (&*issuer, "alice@example.com"));
    assert_eq!(identity.client.as_deref(), Some("0oa1"));
    assert_eq!((identity.is_in("Engineering"), identity.is_in("Sales")), (Some(true), Some(false)));
    assert_eq!(identity.token.as_ref().unwrap().expose(), token);
    assert_eq!(identity.expires.unwrap().as_secs(), door.seconds() + 3600);
    assert!(!format!("{principal:?}").contains(&token));
    for (client, id) in [("0oa2", "nightly-build"), ("0oa3", &*format!("{issuer}|0oa3"))] {
        let claims = json!({"cid": client, "azp": null, "sub": client, "scp": ["doorward.use"]});
        let token = idp.signer.token(&door.claims(&issuer, &claims));
        let principal = door.show(&token).await.unwrap();
        assert_eq!((&*principal.id, principal.kind), (id, PrincipalKind::Service));
        assert_eq!(principal.identity.as_ref().unwrap().groups, None);
    }
}

#[tokio::test]
async fn an_entra_token_is_a_person_or_an_app_of_the_right_tenant() {
    let (ours, theirs) = ("9122040d-6c67-4c5b-b112-36a304b66dad", "72f988bf-86f1-41af-91ab");
    let idp = Idp::start(&format!("/{ours}/v2.0")).await;
    let issuer = idp.issuer();
    let entra = Issuer::new(&*issuer, [US]).with_tenants([ours]).with_mapping(Mapping::entra());
    let door = Door::of([entra]);
    let token = |instead: Value| {
        let mut claims = json!({
            "ver": "2.0", "tid": ours, "oid": "oid-alice", "sub": "pairwise", "scp": "access",
            "azp": "app-1", "azpacr": "1", "preferred_username": "alice@example.com",
            "groups": ["d1d1"], "roles": ["Tools.Admin"], "uti": "x",
        });
        for (name, value) in instead.as_object().unwrap() {
            claims[name] = value.clone();
        }
        idp.signer.token_with(&json!({"typ": "JWT"}), &door.claims(&issuer, &claims))
    };
    let alice = door.show(&token(json!({}))).await.unwrap();
    assert_eq!((&*alice.id, alice.kind), ("alice@example.com", PrincipalKind::Person));
    let identity = alice.identity.as_ref().unwrap();
    assert_eq!((identity.is_in("d1d1"), &*identity.roles[0]), (Some(true), "Tools.Admin"));
    let app = token(json!({"scp": null, "preferred_username": null, "oid": "o", "sub": "o"}));
    let app = door.show(&app).await.unwrap();
    let id = format!("{issuer}|app-1");
    assert_eq!((&*app.id, app.kind), (&*id, PrincipalKind::Service));
    let unnamed = door.show(&token(json!({"preferred_username": ""}))).await.unwrap();
    assert_eq!(*unnamed.id, *format!("{issuer}|oid-alice"));
    for tid in [json!(theirs), json!(null), json!([ours])] {
        let cause = door.refusal(&token(json!({"tid": tid}))).await;
        assert_eq!(cause, "the claim `tid` is missing or not accepted");
    }
}

#[tokio::test]
async fn one_issuer_for_many_tenants_accepts_those_listed() {
    let idp = Idp::start("").await;
    let template = format!("{}/{{tenantid}}/v2.0", idp.issuer());
    let page = json!({"issuer": template, "jwks_uri": format!("{}/keys", idp.issuer())});
    let place = "/organizations/v2.0/.well-known/openid-configuration";
    idp.page(place, 200, &page);
    let door = Door::of([Issuer::new(&*template, [US])
        .with_keys(Keys::DiscoveredAt(format!("{}{place}", idp.issuer())))
        .with_tenants(["t1", "t2"])]);
    let iss = |named: &str| format!("{}/{named}/v2.0", idp.issuer());
    let token =
        |named: &str, tid: &str| idp.signer.token(&door.claims(&iss(named), &json!({"tid": tid})));
    for (named, tid, good) in
        [("t1", "t1", true), ("t2", "t2", true), ("t3", "t3", false), ("t1", "t2", false)]
    {
        let shown = door.show(&token(named, tid)).await;
        assert_eq!(shown.is_ok(), good, "{named} {tid}");
        if let Ok(principal) = shown {
            assert_eq!(*principal.identity.as_ref().unwrap().issuer, *iss(named));
            assert_eq!(*principal.id, *format!("{}|00u1", iss(named)), "no tenant is another's");
        }
    }
    // A key that the set has for another tenant signs for that one only.
    let mut bound = idp.signer.jwk();
    bound["issuer"] = iss("t2").into();
    idp.publish(&[bound]);
    door.clock.advance(minutes(6));
    door.jwt.refresh().await;
    assert_eq!(door.refusal(&token("t1", "t1")).await, "the signature does not fit");
    assert!(door.show(&token("t2", "t2")).await.is_ok());
}

#[tokio::test]
async fn names_that_a_person_may_have_chosen_are_nobody_elses() {
    let idp = Idp::start("").await;
    let issuer = idp.issuer();
    let names = [Name::unique("email"), Name::unique("nick"), Name::within_issuer("sub")];
    let mapping = Mapping::default().with_names(names);
    let door = Door::of([Issuer::new(&*issuer, [US]).with_mapping(mapping)]);
    let within = format!("{issuer}|00u1");
    for (claims, id) in [
        (json!({"email": "a@example.com", "email_verified": true}), "a@example.com"),
        (json!({"email": "a@example.com"}), "a@example.com"),
        (json!({"email": "a@example.com", "email_verified": false}), &*within),
        (json!({"email": "a@example.com", "email_verified": "false"}), &*within),
        (json!({"nick": "https://other.example|admin"}), &*within),
        (json!({"nick": "a\u{0}b"}), &*within),
        (json!({"nick": "n".repeat(201)}), &*within),
        (json!({"nick": ["admin"]}), &*within),
    ] {
        let token = idp.signer.token(&door.claims(&issuer, &claims));
        assert_eq!(&*door.show(&token).await.unwrap().id, id, "{claims}");
    }
}

#[tokio::test]
async fn groups_roles_and_scopes_allow_what_is_listed_together() {
    let idp = Idp::start("").await;
    let issuer = idp.issuer();
    let list = |text: &str| Some(vec![Pattern::new(text)]);
    let allowance = |holds, models, tools| Allowance { holds, team: None, models, tools };
    let mapping = Mapping::default()
        .with_roles(["realm_access.roles"])
        .with_team("department")
        .with_allowance(Allowance {
            team: Some("platform".into()),
            ..allowance(Holds::Group("eng".into()), list("openai/*"), list("tracker__*"))
        })
        .with_allowance(allowance(Holds::Role("mailer".into()), Some(vec![]), list("mail__*")))
        .with_allowance(allowance(Holds::Scope("all".into()), None, None));
    let door = Door::of([Issuer::new(&*issuer, [US]).with_mapping(mapping)]);
    let mailer = json!({"roles": ["mailer"]});
    for (claims, model, [tracker, mail], team) in [
        (json!({"groups": ["eng"]}), true, [true, false], Some("platform")),
        (json!({"groups": "eng", "department": "qa"}), true, [true, false], Some("qa")),
        (json!({"realm_access": mailer}), false, [false, true], None),
        (json!({"groups": ["eng"], "realm_access": mailer}), true, [true, true], Some("platform")),
        (json!({"scope": "openid all"}), true, [true, true], None),
        (json!({"scp": ["all"]}), true, [true, true], None),
        (json!({"scope": "allx"}), false, [false, false], None),
        (json!({"groups": ["sales"]}), false, [false, false], None),
        (json!({"groups": [7, "eng"]}), false, [false, false], None),
        (json!({}), false, [false, false], None),
    ] {
        let token = idp.signer.token(&door.claims(&issuer, &claims));
        let principal = door.show(&token).await.unwrap();
        let scopes = &principal.scopes;
        assert_eq!(scopes.allows_model("openai/gpt-5"), model, "{claims}");
        let tools = [scopes.allows_tool("tracker__get"), scopes.allows_tool("mail__send")];
        assert_eq!(tools, [tracker, mail], "{claims}");
        assert_eq!(principal.team.as_deref(), team, "{claims}");
    }
}

#[tokio::test]
async fn whoever_acts_is_named_and_what_is_required_is_there() {
    let idp = Idp::start("").await;
    let issuer = idp.issuer();
    let required = Requirement::any_of("scope", ["doorward.use"]);
    let door = Door::of([Issuer::new(&*issuer, [US]).with_requirement(required)]);
    let act = json!({"sub": "agent-1", "act": {"sub": "agent-0"}});
    let claims = json!({"act": act, "scope": "x doorward.use"});
    let token = idp.signer.token(&door.claims(&issuer, &claims));
    let principal = door.show(&token).await.unwrap();
    let actors: Vec<_> = principal.actors.iter().map(|actor| &*actor.id).collect();
    assert_eq!(actors, ["agent-1", "agent-0"]);
    let endless = (0..9).fold(json!({"sub": "a"}), |act, _| json!({"sub": "a", "act": act}));
    for (claims, cause) in [
        (json!({"scope": "x"}), "required"),
        (json!({}), "required"),
        (json!({"scope": "doorward.use", "act": {}}), "`act`"),
        (json!({"scope": "doorward.use", "act": endless}), "`act`"),
    ] {
        let token = idp.signer.token(&door.claims(&issuer, &claims));
        let said = door.refusal(&token).await;
        assert!(said.contains(cause), "{said}");
    }
}

#[tokio::test]
async fn revocation_reaches_tokens_that_were_seen_before() {
    let idp = Idp::start("").await;
    let issuer = idp.issuer();
    let revoked = Arc::new(Revoked::default());
    let asked = revoked.clone();
    let door = Door::built([Issuer::new(&*issuer, [US])], |builder| builder.revocations(asked));
    let token = |sub: &str, jti: Value| {
        idp.signer.token(&door.claims(&issuer, &json!({"sub": sub, "jti": jti})))
    };
    let (by_id, by_text) = (token("a", json!("t-7")), token("a", json!(null)));
    let (alice, bob) = (token("alice", json!("t-8")), token("bob", json!("t-9")));
    for text in [&by_id, &by_text, &alice, &bob] {
        assert!(door.show(text).await.is_ok());
    }
    let end = door.clock.now().after(minutes(60));
    revoked.id(&*issuer, "t-7", end);
    revoked.text(&Secret::new(&*by_text), end);
    revoked.subject(&*issuer, "alice", door.clock.now());
    for text in [&by_id, &by_text, &alice] {
        assert_eq!(door.refusal(text).await, "revoked");
    }
    assert!(door.show(&bob).await.is_ok());
    door.clock.advance(minutes(1));
    assert!(door.show(&token("alice", json!("t-10"))).await.is_ok(), "issued after");
    revoked.restore(&*issuer, "alice");
    assert!(door.show(&alice).await.is_ok());
    revoked.sweep(end);
    assert!(door.show(&by_id).await.is_ok());
}
