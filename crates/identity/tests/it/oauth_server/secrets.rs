//! Clients' secrets, and what a look at the store brings.

use doorward_identity::oauth_server::{Client, ClientAuth, GrantType};
use serde_json::Value;

use super::{APP, Bench, basic, error, redeem};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

#[tokio::test]
async fn a_secret_is_shown_in_the_header_or_in_the_form_and_in_one_way_only() {
    let bench = Bench::new().await;
    let secret = "s3cret of build";
    let header = basic("build", secret);
    let by_header = [("authorization", &*header)];
    assert_eq!(bench.post_with("/oauth/token", &by_header, &[GRANT]).await.0, 200);
    let in_form = [GRANT, ("client_id", "build"), ("client_secret", secret)];
    assert_eq!(bench.token(&in_form).await.0, 200);
    let both = bench.post_with("/oauth/token", &by_header, &in_form).await;
    assert_eq!(error(&both), (400, "invalid_request"));
    let other = [GRANT, ("client_id", "web")];
    let other = bench.post_with("/oauth/token", &by_header, &other).await;
    assert_eq!(error(&other), (401, "invalid_client"), "two names");
}

#[tokio::test]
async fn nothing_is_told_of_what_was_wrong_with_a_client() {
    let bench = Bench::new().await;
    let mut told: Vec<Value> = Vec::new();
    for (id, secret) in [
        ("nobody", "s3cret of build"),
        ("build", "wrong"),
        ("build", "s3cret of buil"),
        ("build", "s3cret of web"),
        ("build", ""),
        ("app", "a secret of a client that has none"),
        ("", "s3cret of build"),
    ] {
        let answer = bench.token(&[GRANT, ("client_id", id), ("client_secret", secret)]).await;
        assert_eq!(error(&answer), (401, "invalid_client"), "{id} {secret}");
        told.push(answer.1);
    }
    assert!(told.windows(2).all(|two| two[0] == two[1]), "{told:?}");
    for header in ["Basic !", "Basic YWJj", "Basic", "Bearer x", ""] {
        let answer = bench.post_with("/oauth/token", &[("authorization", header)], &[GRANT]).await;
        assert_eq!(error(&answer), (401, "invalid_client"), "{header}");
        assert_eq!(answer.1, told[0]);
    }
}

#[tokio::test]
async fn guesses_are_limited_by_source_and_a_right_secret_passes() {
    let bench = Bench::new().await;
    let wrong = [GRANT, ("client_id", "build"), ("client_secret", "guess")];
    for _ in 0..20 {
        assert_eq!(bench.token(&wrong).await.0, 401);
    }
    assert_eq!(bench.token(&wrong).await.0, 429);
    assert_eq!(bench.refresh("app", "guess").await.0, 429, "tokens are guessed no better");
    let right = [GRANT, ("client_id", "build"), ("client_secret", "s3cret of build")];
    assert_eq!(bench.token(&right).await.0, 200);
}

/// What secrets are compared by are hashes, in constant time: nothing of a secret shows in how
/// near a guess is. `SecretHash` has no other comparison.
#[test]
fn a_secrets_hash_tells_nothing_of_how_near_a_guess_is() {
    use doorward_identity::oauth_server::SecretHash;
    let right = SecretHash::of("client secret", "s3cret");
    for guess in ["s3cre", "s3creT", "s3cret ", ""] {
        let guess = SecretHash::of("client secret", guess);
        assert!(guess != right);
        let shared = guess.as_bytes().iter().zip(right.as_bytes()).filter(|(a, b)| a == b).count();
        assert!(shared < 8, "{shared}");
    }
    assert_eq!(format!("{right:?}"), "SecretHash");
}

#[tokio::test]
async fn a_client_that_proves_nothing_gets_nothing_by_itself() {
    let bench = Bench::new().await;
    let answer = bench.token(&[GRANT, ("client_id", "app")]).await;
    assert_eq!(error(&answer), (400, "unauthorized_client"));
    let build = |client: Client| Bench::with(|builder| builder.client(client));
    let public = Client::new("open", ClientAuth::public());
    let machine = public.clone().with_grants([GrantType::ClientCredentials]);
    let made = tokio::spawn(async move { build(machine).await.seconds() });
    assert!(made.await.is_err(), "such a client is an error of the configuration");
    let asking = public.with_redirects([APP]).with_introspection();
    let made = tokio::spawn(async move { Bench::with(|b| b.client(asking)).await.seconds() });
    assert!(made.await.is_err());
}

#[tokio::test]
async fn a_secret_is_changed_with_both_good_for_a_while() {
    use doorward_core::Secret;
    let (old, new) = (Secret::new("old"), Secret::new("new"));
    let client = Client::new("two", ClientAuth::secrets([&old, &new]))
        .with_grants([GrantType::ClientCredentials]);
    let bench = Bench::with(|builder| builder.client(client)).await;
    for (secret, status) in [("old", 200), ("new", 200), ("older", 401)] {
        let pairs = [GRANT, ("client_id", "two"), ("client_secret", secret)];
        assert_eq!(bench.token(&pairs).await.0, status, "{secret}");
    }
}

#[tokio::test]
async fn a_look_at_the_store_brings_no_secret_that_can_be_used() {
    let bench = Bench::new().await;
    let said = serde_json::json!({"redirect_uris": [APP]});
    let headers = [("content-type", "application/json")];
    let path = (http::Method::POST, "/oauth/register");
    let (_, client) = super::read(&bench.ask(path, &headers, &said.to_string()).await);
    let question = bench.question("bob", &super::asked("app", APP)).await;
    let unused = bench.code("carol", "app", APP).await;
    let code = bench.code("alice", "app", APP).await;
    let (_, body) = bench.token(&redeem("app", APP, &code)).await;
    // The whole of it, hashes left out by themselves.
    let dump = format!("{:?} {:?}", bench.store, bench.server);
    assert!(dump.contains("alice"), "the dump is one");
    for secret in [
        super::text(&client, "client_secret"),
        question.id.expose().to_owned(),
        question.csrf.expose().to_owned(),
        unused,
        code,
        super::text(&body, "access_token"),
        super::text(&body, "refresh_token"),
        super::cookie("bob").expose().to_owned(),
        "s3cret of build".to_owned(),
    ] {
        assert!(!dump.contains(&secret), "{secret}");
    }
    assert!(!format!("{question:?}").contains(question.id.expose()));
}
