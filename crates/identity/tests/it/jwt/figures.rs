//! Figures, not tests. On a quiet machine:
//! `cargo test --release -p doorward-identity --features jwt --test it -- --ignored --nocapture figures`

use std::time::Duration;

use doorward_core::{Authenticator as _, Clock as _, Presented, Secret, SystemClock};
use doorward_identity::jwt::{Issuer, Keys, Mapping};
use futures_util::FutureExt as _;
use serde_json::json;

use super::idp::Signer;
use super::{Door, US};

/// CPU time of this thread so far; Linux only.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

#[test]
#[ignore = "takes figures"]
fn checking_a_token() {
    const ISSUER: &str = "https://acme.okta.com/oauth2/default";
    for signer in [Signer::es256("k1"), Signer::rsa("k1"), Signer::ed25519("k1")] {
        let keys = json!({"keys": [signer.jwk()]}).to_string();
        let issuer =
            Issuer::new(ISSUER, [US]).with_keys(Keys::Inline(keys)).with_mapping(Mapping::okta());
        let groups: Vec<_> = (0..20).map(|n| format!("department-{n:03}-members")).collect();
        for (what, remembered, rounds) in [("warm", 8192, 200_000_u32), ("cold", 0, 5_000)] {
            let door = Door::built([issuer.clone()], |builder| builder.remembered(remembered));
            let claims = json!({"groups": groups, "uid": "00u1", "sub": "alice@example.com"});
            let token = signer.token(&door.claims(ISSUER, &claims));
            let length = token.len();
            let shown = Presented { token: Some(Secret::new(token)), ..Presented::default() };
            let check = || door.jwt.authenticate(&shown).now_or_never().unwrap().is_ok();
            assert!(check());
            let (wall, used) = (SystemClock.instant(), cpu());
            assert!((0..rounds).all(|_| check()));
            let (wall, used) = (wall.elapsed(), cpu().saturating_sub(used));
            println!(
                "{} {what}: {:.2} µs CPU, {:.2} µs in all ({length} bytes)",
                signer.algorithm(),
                used.as_secs_f64() * 1e6 / f64::from(rounds),
                wall.as_secs_f64() * 1e6 / f64::from(rounds),
            );
        }
    }
}
