//! Checking a virtual key.
#![expect(clippy::unwrap_used, reason = "a bench may fail as a test may")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use doorward_core::{Authenticator, Presented, Secret, SystemClock};
use doorward_identity::{Guesses, KeyStore, Memory, NewKey, VirtualKeys};
use doorward_testkit::keys::{minted, pepper};
use futures_util::FutureExt;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let (store, mut shown) = (Arc::new(Memory::default()), None);
    for seed in 0..1000 {
        let (text, record) = minted(seed, NewKey::new("ci", "build"));
        store.insert(&record).unwrap();
        shown = Some(text);
    }
    let keys =
        VirtualKeys::new(store, pepper(), Arc::new(SystemClock), Guesses::default()).unwrap();
    let check = |token: &Presented| keys.authenticate(black_box(token)).now_or_never().unwrap();

    let known = Presented { token: shown, ..Presented::default() };
    criterion.bench_function("identity/a known key among 1000", |bench| {
        bench.iter(|| check(&known).unwrap());
    });
    let (stranger, _) = minted(5000, NewKey::new("ci", "build"));
    let unknown = Presented { token: Some(stranger), ..Presented::default() };
    criterion.bench_function("identity/an unknown key", |bench| {
        bench.iter(|| check(&unknown).unwrap_err());
    });
    let shapeless = Presented { token: Some(Secret::new("sk-1234")), ..Presented::default() };
    criterion.bench_function("identity/no key at all", |bench| {
        bench.iter(|| check(&shapeless).unwrap_err());
    });
    criterion.final_summary();
}
