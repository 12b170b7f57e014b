//! What every memory of an authorization server must do.
#![expect(clippy::expect_used, reason = "a suite fails by panicking, as a test does")]

use std::time::Duration;

use doorward_core::{Principal, Timestamp};
use doorward_identity::oauth_server::{
    ClientMetadata, ConsentKey, Family, FamilyId, IssuedCode, OAuthStore, Pending, Redeemed,
    RegisteredClient, Revocation, Rotation, SecretHash, Stored, Subject, Turn,
};

/// Puts a store through everything that [`OAuthStore`] promises. `make` gives a fresh, empty one.
///
/// # Panics
///
/// Where it breaks a promise.
pub async fn oauth_store_conforms(make: impl Fn() -> Box<dyn OAuthStore>) {
    a_question_is_answered_once(&*make()).await;
    consents_add_up(&*make()).await;
    a_code_is_good_once(&*make()).await;
    of_a_family_one_token_is_good(&*make()).await;
    a_lost_answer_replaces_its_own_successor(&*make()).await;
    revoked_families_stay_so(&*make()).await;
    a_mark_is_new_once(&*make()).await;
    clients_come_and_go(&*make()).await;
    what_has_ended_is_forgotten(&*make()).await;
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn hash(text: &str) -> SecretHash {
    SecretHash::of("suite", text)
}

async fn done<T>(stored: Stored<'_, T>) -> T {
    stored.await.expect("the store works")
}

fn family(id: &str, who: &str) -> Family {
    Family {
        id: FamilyId::new(id),
        client: "client".into(),
        subject: Subject::of(&Principal::person(who)),
        scopes: vec!["read".to_owned()],
        resource: "https://gateway.example/mcp".into(),
        key: None,
        certificate: None,
        expires: at(1000),
    }
}

fn issued(family: &Family) -> IssuedCode {
    IssuedCode {
        family: family.id.clone(),
        redirect_uri: "https://app.example/cb".into(),
        challenge: "challenge".into(),
        key: Some("key".into()),
        expires: at(60),
    }
}

fn turn(shown: &str, next: &str, now: i64) -> Turn {
    let grace = Duration::from_secs(10);
    Turn { shown: hash(shown), next: hash(next), now: at(now), grace, until: at(5000) }
}

/// A family that has begun, with this refresh token.
async fn begun(store: &dyn OAuthStore, id: &str, who: &str, refresh: &str) -> Family {
    let family = family(id, who);
    done(store.open(hash(&format!("code of {id}")), &issued(&family), &family)).await;
    assert!(done(store.start(&family, Some(hash(refresh)))).await);
    family
}

async fn a_question_is_answered_once(store: &dyn OAuthStore) {
    let asked = Pending {
        principal: "alice".into(),
        session: hash("session"),
        csrf: hash("csrf"),
        client: "client".into(),
        redirect_uri: "https://app.example/cb".into(),
        state: Some("state".to_owned()),
        scopes: vec!["read".to_owned()],
        resource: "https://gateway.example/mcp".into(),
        challenge: "challenge".into(),
        key: None,
    };
    done(store.ask(hash("1"), &asked, at(10))).await;
    done(store.ask(hash("2"), &asked, at(10))).await;
    assert_eq!(done(store.answer(hash("3"), at(9))).await, None);
    assert_eq!(done(store.answer(hash("1"), at(9))).await, Some(asked));
    assert_eq!(done(store.answer(hash("1"), at(9))).await, None, "taken");
    assert_eq!(done(store.answer(hash("2"), at(10))).await, None, "it has ended");
}

async fn consents_add_up(store: &dyn OAuthStore) {
    let key = |principal: &str, client: &str, uri: &str, resource: &str| ConsentKey {
        principal: principal.into(),
        client: client.into(),
        redirect_uri: uri.into(),
        resource: resource.into(),
    };
    let hers = key("alice", "c", "u", "r");
    for scopes in [vec!["b".to_owned()], vec!["a".to_owned(), "b".to_owned()]] {
        done(store.consent(&hers, &scopes, at(1))).await;
    }
    let mut known = done(store.consented(&hers)).await;
    known.sort();
    assert_eq!(known, ["a", "b"]);
    for other in [
        key("bob", "c", "u", "r"),
        key("alice", "d", "u", "r"),
        key("alice", "c", "v", "r"),
        key("alice", "c", "u", "s"),
    ] {
        assert!(done(store.consented(&other)).await.is_empty(), "{other:?}");
    }
    done(store.revoke_subject("alice", at(2), at(3))).await;
    assert!(done(store.consented(&hers)).await.is_empty());
}

async fn a_code_is_good_once(store: &dyn OAuthStore) {
    let family = family("f", "alice");
    let issued = issued(&family);
    done(store.open(hash("code"), &issued, &family)).await;
    assert_eq!(done(store.redeem(hash("other"), at(1), at(9))).await, Redeemed::Unknown);
    assert_eq!(done(store.family_of_code(hash("code"))).await.as_ref(), Some(&family));
    let once = Redeemed::Once(Box::new(issued.clone()), Box::new(family.clone()));
    assert_eq!(done(store.redeem(hash("code"), at(1), at(9))).await, once);
    assert!(done(store.revocations(0)).await.is_empty());
    assert_eq!(done(store.redeem(hash("code"), at(2), at(9))).await, Redeemed::Again);
    assert!(!done(store.start(&family, Some(hash("r")))).await, "revoked while it began");
    let revoked = done(store.revocations(0)).await;
    assert!(matches!(&revoked[..], [(_, Revocation::Family(id), _)] if *id == family.id));
    let late = self::family("late", "alice");
    done(store.open(hash("late"), &self::issued(&late), &late)).await;
    assert_eq!(done(store.redeem(hash("late"), at(60), at(99))).await, Redeemed::Unknown);
}

async fn of_a_family_one_token_is_good(store: &dyn OAuthStore) {
    let family = begun(store, "f", "alice", "one").await;
    assert!(done(store.is_current(hash("one"))).await);
    assert_eq!(done(store.rotate(turn("one", "two", 10))).await, Rotation::Turned);
    assert!(
        done(store.is_current(hash("two"))).await && !done(store.is_current(hash("one"))).await
    );
    assert_eq!(done(store.family_of_refresh(hash("one"))).await, Some(family));
    assert_eq!(done(store.rotate(turn("none", "x", 11))).await, Rotation::Gone);
    assert_eq!(done(store.rotate(turn("two", "three", 12))).await, Rotation::Turned);
    assert_eq!(done(store.rotate(turn("one", "x", 13))).await, Rotation::Reused, "two turns ago");
    assert_eq!(done(store.rotate(turn("three", "x", 14))).await, Rotation::Gone, "all of it ends");
    assert_eq!(done(store.family_of_refresh(hash("three"))).await, None);
    begun(store, "g", "alice", "g1").await;
    assert_eq!(done(store.rotate(turn("g1", "g2", 1000))).await, Rotation::Gone, "it has ended");
}

async fn a_lost_answer_replaces_its_own_successor(store: &dyn OAuthStore) {
    begun(store, "f", "alice", "one").await;
    assert_eq!(done(store.rotate(turn("one", "lost", 10))).await, Rotation::Turned);
    assert_eq!(done(store.rotate(turn("one", "again", 19))).await, Rotation::Turned);
    assert!(done(store.is_current(hash("again"))).await);
    assert!(!done(store.is_current(hash("lost"))).await, "never two at once");
    assert_eq!(
        done(store.rotate(turn("one", "late", 20))).await,
        Rotation::Reused,
        "from the first"
    );
    begun(store, "g", "alice", "g1").await;
    assert_eq!(done(store.rotate(turn("g1", "g2", 10))).await, Rotation::Turned);
    assert_eq!(done(store.rotate(turn("g1", "g3", 11))).await, Rotation::Turned);
    assert_eq!(done(store.rotate(turn("g2", "x", 12))).await, Rotation::Reused, "it was replaced");
}

async fn revoked_families_stay_so(store: &dyn OAuthStore) {
    let first = begun(store, "f", "alice", "f1").await;
    begun(store, "g", "alice", "g1").await;
    begun(store, "h", "bob", "h1").await;
    done(store.revoke_family(&first.id, at(99))).await;
    done(store.revoke_family(&first.id, at(99))).await;
    done(store.update(&first)).await;
    assert_eq!(done(store.rotate(turn("f1", "x", 1))).await, Rotation::Gone);
    done(store.revoke_subject("alice", at(7), at(98))).await;
    assert_eq!(done(store.rotate(turn("g1", "x", 1))).await, Rotation::Gone);
    assert_eq!(done(store.rotate(turn("h1", "h2", 1))).await, Rotation::Turned);
    done(store.revoke_token("t", at(97))).await;
    let all = done(store.revocations(0)).await;
    let what: Vec<_> = all.iter().map(|(_, what, until)| (what.clone(), *until)).collect();
    let wanted = [
        (Revocation::Family(first.id), at(99)),
        (Revocation::Subject("alice".into(), at(7)), at(98)),
        (Revocation::Token("t".into()), at(97)),
    ];
    assert_eq!(what, wanted);
    assert!(all.is_sorted_by_key(|(place, ..)| *place));
    let (second, ..) = all[1];
    assert_eq!(done(store.revocations(second)).await, all[2..]);
}

async fn a_mark_is_new_once(store: &dyn OAuthStore) {
    assert!(done(store.once(hash("a"), at(10))).await);
    assert!(!done(store.once(hash("a"), at(20))).await);
    assert!(done(store.once(hash("b"), at(10))).await);
}

async fn clients_come_and_go(store: &dyn OAuthStore) {
    let client = |id: &str| RegisteredClient {
        id: id.into(),
        secret: Some(hash(id)),
        metadata: ClientMetadata {
            redirect_uris: vec!["https://app.example/cb".to_owned()],
            ..ClientMetadata::default()
        },
        created: at(10),
    };
    assert!(done(store.register(&client("a"), 2)).await);
    assert!(done(store.register(&client("b"), 2)).await);
    assert!(!done(store.register(&client("c"), 2)).await, "no more than so many");
    assert_eq!(done(store.registered("a")).await, Some(client("a")));
    assert_eq!(done(store.registered("c")).await, None);
    done(store.used("a", at(20))).await;
    done(store.sweep(at(30), at(15))).await;
    assert!(done(store.registered("a")).await.is_some(), "it was used");
    assert!(done(store.registered("b")).await.is_none());
    assert!(done(store.register(&client("c"), 2)).await, "there is room again");
}

async fn what_has_ended_is_forgotten(store: &dyn OAuthStore) {
    begun(store, "f", "alice", "f1").await;
    assert!(done(store.once(hash("a"), at(10))).await);
    done(store.revoke_token("t", at(10))).await;
    let (first, ..) = done(store.revocations(0)).await[0];
    done(store.sweep(at(11), at(0))).await;
    assert!(done(store.once(hash("a"), at(20))).await);
    assert!(done(store.revocations(0)).await.is_empty());
    assert!(done(store.is_current(hash("f1"))).await, "it has not ended");
    done(store.revoke_token("u", at(99))).await;
    let (second, ..) = done(store.revocations(0)).await[0];
    assert!(second > first, "places are never given twice");
    done(store.sweep(at(1000), at(0))).await;
    assert_eq!(done(store.family_of_refresh(hash("f1"))).await, None);
    assert_eq!(done(store.family_of_code(hash("code of f"))).await, None);
}
