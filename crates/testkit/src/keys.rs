//! What every store of virtual keys must do.
#![expect(clippy::expect_used, reason = "a suite fails by panicking, as a test does")]

use doorward_core::{KeyId, Pattern, Scopes, Secret, Timestamp};
use doorward_identity::{KeyRecord, KeyStore, KeyStoreError, NewKey, Pepper, mint};

use crate::clock::{TestClock, TestEntropy};

/// The pepper that the suites hash with.
pub fn pepper() -> Pepper {
    Pepper::from_bytes([5; 32])
}

/// A key made of this seed: its text and what to store.
///
/// # Panics
///
/// Where it cannot be made, of an empty name for instance.
pub fn minted(seed: u64, new: NewKey) -> (Secret, KeyRecord) {
    mint(&TestEntropy::seeded(seed), &TestClock::default(), &pepper(), new)
        .expect("a key that can be made")
}

/// Puts a store through everything that [`KeyStore`] promises. `make` gives a fresh, empty one.
///
/// # Panics
///
/// Where it breaks a promise.
pub fn key_store_conforms(make: impl Fn() -> Box<dyn KeyStore>) {
    keys_come_back_as_they_were(&*make());
    a_key_is_kept_once(&*make());
    revoking_keeps_the_first_time(&*make());
    the_version_changes_with_the_keys_only(&*make());
}

fn every_kind() -> Vec<KeyRecord> {
    let listed = Scopes {
        models: Some(vec![Pattern::new("openai/*"), Pattern::new("fast")]),
        tools: Some(vec![]),
        ..Scopes::default()
    };
    let wanted = [
        NewKey::new("ci", "build"),
        NewKey::person("laptop", "alice@example.com").with_team("search").with_scopes(listed),
        NewKey::new("näme with \"quotes\" and ü", "x")
            .with_expiry(Timestamp::from_micros(i64::MAX)),
    ];
    (1..).zip(wanted).map(|(seed, new)| minted(seed, new).1).collect()
}

fn keys_come_back_as_they_were(store: &dyn KeyStore) {
    assert_eq!(store.keys().expect("readable"), []);
    let records = every_kind();
    for record in &records {
        store.insert(record).expect("kept");
    }
    assert_eq!(store.keys().expect("readable"), records, "in the order they were made");
}

fn a_key_is_kept_once(store: &dyn KeyStore) {
    let (record, other) = (minted(1, NewKey::new("a", "x")).1, minted(2, NewKey::new("b", "y")).1);
    store.insert(&record).expect("kept");
    for (case, again) in [
        ("id", KeyRecord { id: record.id, ..other.clone() }),
        ("hash", KeyRecord { hash: record.hash, ..other }),
    ] {
        let refused = store.insert(&again);
        assert!(matches!(refused, Err(KeyStoreError::Duplicate(_))), "{case}: {refused:?}");
    }
    assert_eq!(store.keys().expect("readable"), [record]);
}

fn revoking_keeps_the_first_time(store: &dyn KeyStore) {
    let record = minted(1, NewKey::new("a", "x")).1;
    store.insert(&record).expect("kept");
    for at in [10, 20] {
        store.revoke(record.id, Timestamp::from_micros(at)).expect("revoked");
        let kept = store.keys().expect("readable");
        assert_eq!(kept[0].revoked, Some(Timestamp::from_micros(10)));
    }
    let nobody = KeyId::from_bytes([9; 16]);
    let refused = store.revoke(nobody, Timestamp::from_micros(1));
    assert!(matches!(refused, Err(KeyStoreError::Unknown(id)) if id == nobody), "{refused:?}");
}

fn the_version_changes_with_the_keys_only(store: &dyn KeyStore) {
    let version = || store.version().expect("readable");
    let (empty, record) = (version(), minted(1, NewKey::new("a", "x")).1);
    assert_eq!(version(), empty);
    store.insert(&record).expect("kept");
    let one = version();
    assert_ne!(one, empty);
    assert!(store.insert(&record).is_err());
    assert_eq!(version(), one, "a refused key changes nothing");
    store.revoke(record.id, Timestamp::from_micros(1)).expect("revoked");
    assert_ne!(version(), one);
}
