//! Browsers' sessions: a cookie that only this gateway can make and read, so that any replica
//! serves any page and nothing is kept.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_core::{Clock, Entropy, Secret, Timestamp};
use doorward_mcp_broker::{Purpose, Seal, SealKeys};
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How long somebody stays signed in.
const LASTS: Duration = Duration::from_hours(1);

/// A browser's session.
pub(super) struct Visit {
    /// Known to the browser that has the cookie, and to nobody else; changes at sign-in.
    pub(super) id: Secret,
    /// What [`SignIn`](super::SignIn) knows the visitor by, once they signed in.
    pub(super) ticket: Option<String>,
    until: Timestamp,
}

/// What is sealed into a cookie.
#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    id: &'a str,
    ticket: Option<String>,
    until: i64,
}

/// Makes and reads sessions.
pub(super) struct Sessions {
    seal: Seal,
    secure: bool,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Sessions {
    /// `secure`: browsers reach us over https.
    pub(super) fn new(
        keys: &SealKeys,
        secure: bool,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { seal: Seal::new(keys), secure, clock, entropy }
    }

    /// With the prefix, browsers take the cookie from this very host over https only.
    const fn name(&self) -> &'static str {
        if self.secure { "__Host-doorward" } else { "doorward" }
    }

    /// The session that a request belongs to; a new one where there is none that holds.
    pub(super) fn visit(&self, headers: &HeaderMap) -> Visit {
        let cookies = headers.get_all(header::COOKIE).iter();
        let cookies = cookies.filter_map(|value| value.to_str().ok());
        let mut own = cookies
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == self.name());
        own.find_map(|(_, value)| self.open(value)).unwrap_or_else(|| self.new_session(None))
    }

    fn open(&self, value: &str) -> Option<Visit> {
        let plain = self.seal.open(Purpose::Page, value)?;
        let Sealed { id, ticket, until } = serde_json::from_slice(&plain).ok()?;
        let until = Timestamp::from_micros(until);
        (self.clock.now() < until).then(|| Visit { id: Secret::new(id), ticket, until })
    }

    /// The session of somebody who has just signed in.
    pub(super) fn signed_in(&self, ticket: String) -> Visit {
        self.new_session(Some(ticket))
    }

    fn new_session(&self, ticket: Option<String>) -> Visit {
        let mut id = [0; 32];
        self.entropy.fill(&mut id);
        let id = Secret::new(URL_SAFE_NO_PAD.encode(id));
        Visit { id, ticket, until: self.clock.now().after(LASTS) }
    }

    /// The header value that gives a session to a browser.
    pub(super) fn cookie(&self, visit: &Visit) -> String {
        let (id, ticket) = (visit.id.expose(), visit.ticket.clone());
        let plain = serde_json::to_vec(&Sealed { id, ticket, until: visit.until.as_micros() });
        let sealed =
            plain.ok().and_then(|plain| self.seal.close(&*self.entropy, Purpose::Page, &plain));
        // Without a cookie nobody is signed in.
        self.written(&sealed.unwrap_or_default(), LASTS)
    }

    /// The header value that takes it away.
    pub(super) fn no_cookie(&self) -> String {
        self.written("", Duration::ZERO)
    }

    fn written(&self, value: &str, lasts: Duration) -> String {
        let (name, seconds) = (self.name(), lasts.as_secs());
        let secure = if self.secure { "; Secure" } else { "" };
        // Lax: the way back from the authorization server begins on its page.
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }
}

impl Visit {
    /// What a form of this session carries.
    pub(super) fn csrf(&self) -> String {
        let hash = Sha256::new()
            .chain_update(b"doorward page form 1")
            .chain_update(self.id.expose())
            .finalize();
        URL_SAFE_NO_PAD.encode(hash)
    }

    /// Whether a form is of this session.
    pub(super) fn takes(&self, csrf: &str) -> bool {
        self.csrf().as_bytes().ct_eq(csrf.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use doorward_core::SystemEntropy;
    use doorward_testkit::clock::TestClock;
    use http::HeaderValue;

    use super::*;

    fn sessions(secure: bool, clock: &Arc<TestClock>) -> Sessions {
        let keys = SealKeys::random(&SystemEntropy);
        Sessions::new(&keys, secure, clock.clone(), Arc::new(SystemEntropy))
    }

    fn back(cookie: &str) -> HeaderMap {
        let pair = cookie.split(';').next().unwrap();
        let value = HeaderValue::from_str(&format!("other=1; {pair}")).unwrap();
        HeaderMap::from_iter([(header::COOKIE, value)])
    }

    #[test]
    fn a_session_is_the_browsers_that_has_its_cookie_and_ends() {
        let clock = Arc::new(TestClock::default());
        let sessions = sessions(false, &clock);
        let visit = sessions.signed_in("key:abc".into());
        let cookie = sessions.cookie(&visit);
        assert!(!cookie.contains("abc") && !cookie.contains(visit.id.expose()), "{cookie}");
        let again = sessions.visit(&back(&cookie));
        assert_eq!((again.id.expose(), again.ticket), (visit.id.expose(), visit.ticket.clone()));
        assert!(again.until == visit.until);
        let stranger = sessions.visit(&HeaderMap::new());
        assert!(stranger.ticket.is_none() && !stranger.takes(&visit.csrf()));
        clock.advance(LASTS);
        assert!(sessions.visit(&back(&cookie)).ticket.is_none());
    }

    #[test]
    fn a_cookie_that_was_changed_or_is_anothers_is_none() {
        let clock = Arc::new(TestClock::default());
        let (ours, theirs) = (sessions(false, &clock), sessions(false, &clock));
        let cookie = theirs.cookie(&theirs.signed_in("key:abc".into()));
        assert!(ours.visit(&back(&cookie)).ticket.is_none());
        assert!(theirs.visit(&back(&cookie)).ticket.is_some());
        let changed = cookie.replacen("doorward=A", "doorward=B", 1);
        assert!(changed == cookie || theirs.visit(&back(&changed)).ticket.is_none());
        assert!(theirs.visit(&back("doorward=")).ticket.is_none());
    }

    #[test]
    fn a_cookie_goes_nowhere_else() {
        let clock = Arc::new(TestClock::default());
        for (secure, wanted) in [(true, true), (false, false)] {
            let sessions = sessions(secure, &clock);
            let cookie = sessions.cookie(&sessions.signed_in("t".into()));
            assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
            assert_eq!(cookie.starts_with("__Host-doorward="), wanted, "{cookie}");
            assert_eq!(cookie.ends_with("; Secure"), wanted, "{cookie}");
            assert!(cookie.contains("; Path=/;") && !cookie.contains("Domain"), "{cookie}");
        }
    }
}
