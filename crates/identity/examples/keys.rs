//! Makes a key, shows it, uses it, revokes it.
//!
//! `cargo run -p doorward-identity --example keys`
#![expect(clippy::print_stdout, reason = "it shows something")]

use std::error::Error;
use std::sync::Arc;

use doorward_core::{
    Authenticator as _, Clock as _, Pattern, Presented, Scopes, SystemClock, SystemEntropy,
};
use doorward_identity::{
    Guesses, KeyStore as _, KeyText, Memory, NewKey, Pepper, VirtualKeys, mint,
};
use futures_util::FutureExt as _;

fn main() -> Result<(), Box<dyn Error>> {
    let (clock, pepper) = (Arc::new(SystemClock), Pepper::generate(&SystemEntropy));
    let scopes = Scopes { tools: Some(vec![Pattern::new("tracker__*")]), ..Scopes::default() };
    let wanted = NewKey::person("laptop", "alice@example.com").with_scopes(scopes);
    let (text, record) = mint(&SystemEntropy, &*clock, &pepper, wanted)?;
    println!("shown once: {}", text.expose());
    println!("its id, read from the text alone: {}", text.expose().parse::<KeyText>()?.id);
    println!("stored: {record:?}");
    for typo in [&text.expose()[..70], "sk-live-1"] {
        if let Err(wrong) = typo.parse::<KeyText>() {
            println!("{typo:.12}…: {wrong}");
        }
    }

    let store = Arc::new(Memory::default());
    store.insert(&record)?;
    let keys = VirtualKeys::new(store.clone(), pepper, clock.clone(), Guesses::default())?;
    let shown = Presented { token: Some(text), ..Presented::default() };
    let check = || keys.authenticate(&shown).now_or_never().ok_or("never waits");
    println!("before: {:?}", check()?.map(|principal| principal.id.clone()));

    store.revoke(record.id, clock.now())?;
    keys.refresh()?;
    match check()? {
        Ok(_) => Err("a revoked key was accepted".into()),
        Err(refused) => {
            println!("after revoking: {refused}");
            Ok(())
        }
    }
}
