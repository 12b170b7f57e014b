//! The authorization server's memory.

use doorward_identity::oauth_server::{MemoryOAuth, OAuthStore, SecretHash};
use doorward_store::Sqlite;
use doorward_testkit::oauth::oauth_store_conforms;

#[tokio::test]
async fn every_memory_of_an_authorization_server_conforms() {
    oauth_store_conforms(|| Box::new(MemoryOAuth::default())).await;
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    oauth_store_conforms(|| {
        number.set(number.get() + 1);
        let path = folder.path().join(format!("{}.db", number.get()));
        Box::new(Sqlite::open(path).unwrap().oauth().unwrap())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_servers_that_see_the_same_assertion_one_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.db");
    let mark = SecretHash::of("assertion", "j-1");
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let store = Sqlite::open(&path).unwrap().oauth().unwrap();
            let until = doorward_core::Timestamp::from_micros(9);
            tokio::spawn(async move { store.once(mark, until).await.unwrap() })
        })
        .collect();
    let mut taken = 0;
    for one in tries {
        taken += usize::from(one.await.unwrap());
    }
    assert_eq!(taken, 1);
}
