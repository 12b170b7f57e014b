//! One door for keys and tokens.

use std::fmt;
use std::sync::Arc;

use doorward_core::{Authenticator, BoxFuture, CallError, Presented, Principal};

use crate::KeyText;

/// Tells virtual keys from tokens of identity providers and asks who knows them.
///
/// Which it is shows in the text: a key begins with `dw-`, a token has three parts. Whatever has
/// neither form is refused as an unknown key.
///
/// ```
/// use std::sync::Arc;
/// use doorward_core::{Authenticator, Presented, Secret, SystemClock, SystemEntropy};
/// use doorward_identity::{Authenticators, Guesses, Memory, Pepper, VirtualKeys};
///
/// let pepper = Pepper::generate(&SystemEntropy);
/// let store = Arc::new(Memory::default());
/// let keys = VirtualKeys::new(store, pepper, Arc::new(SystemClock), Guesses::default())?;
/// let door = Authenticators::new(Arc::new(keys));
/// # futures_util::FutureExt::now_or_never(async {
/// let shown = Presented { token: Some(Secret::new("sk-1")), ..Presented::default() };
/// assert!(door.authenticate(&shown).await.is_err());
/// # }).unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Authenticators {
    keys: Arc<dyn Authenticator>,
    tokens: Option<Arc<dyn Authenticator>>,
}

impl Authenticators {
    /// Asks this for everything.
    pub fn new(keys: Arc<dyn Authenticator>) -> Self {
        Self { keys, tokens: None }
    }

    /// Asks this for what looks like a token.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Arc<dyn Authenticator>) -> Self {
        self.tokens = Some(tokens);
        self
    }
}

impl fmt::Debug for Authenticators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticators")
            .field("tokens", &self.tokens.is_some())
            .finish_non_exhaustive()
    }
}

impl Authenticator for Authenticators {
    fn authenticate<'a>(
        &'a self,
        presented: &'a Presented,
    ) -> BoxFuture<'a, Result<Arc<Principal>, CallError>> {
        let text = presented.token.as_ref().map_or("", |token| token.expose());
        match &self.tokens {
            Some(tokens) if is_token(text) => tokens.authenticate(presented),
            _ => self.keys.authenticate(presented),
        }
    }
}

/// Whether a text has three parts and is no key.
fn is_token(text: &str) -> bool {
    !text.starts_with(KeyText::PREFIX) && text.bytes().filter(|byte| *byte == b'.').count() == 2
}
