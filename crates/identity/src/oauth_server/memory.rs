//! An authorization server's memory that is gone with the process.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use doorward_core::Timestamp;

use super::store::{
    ConsentKey, Family, FamilyId, IssuedCode, OAuthStore, Pending, Redeemed, RegisteredClient,
    Revocation, Rotation, SecretHash, Stored, Turn,
};

/// The most questions that wait at once.
const QUESTIONS_MOST: usize = 10_000;

/// An [`OAuthStore`] in memory.
#[derive(Debug, Default)]
pub struct MemoryOAuth {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    questions: HashMap<SecretHash, (Pending, Timestamp)>,
    consents: HashMap<ConsentKey, Vec<String>>,
    codes: HashMap<SecretHash, Code>,
    families: HashMap<FamilyId, Held>,
    refreshes: HashMap<SecretHash, FamilyId>,
    revocations: Vec<(u64, Revocation, Timestamp)>,
    place: u64,
    marks: HashMap<SecretHash, Timestamp>,
    clients: HashMap<Arc<str>, (RegisteredClient, Option<Timestamp>)>,
}

#[derive(Debug)]
struct Code {
    issued: IssuedCode,
    used: bool,
}

#[derive(Debug)]
struct Held {
    family: Family,
    current: Option<SecretHash>,
    previous: Option<SecretHash>,
    turned: Timestamp,
    revoked: bool,
}

impl State {
    fn note(&mut self, revocation: Revocation, until: Timestamp) {
        self.place += 1;
        self.revocations.push((self.place, revocation, until));
    }

    fn revoke(&mut self, id: &FamilyId, until: Timestamp) {
        let Some(held) = self.families.get_mut(id).filter(|held| !held.revoked) else { return };
        held.revoked = true;
        self.note(Revocation::Family(id.clone()), until);
    }

    fn family_of(&self, refresh: SecretHash) -> Option<&Held> {
        self.families.get(self.refreshes.get(&refresh)?).filter(|held| !held.revoked)
    }

    fn redeem(&mut self, code: SecretHash, now: Timestamp, until: Timestamp) -> Redeemed {
        let Some(found) = self.codes.get_mut(&code) else { return Redeemed::Unknown };
        let issued = found.issued.clone();
        if std::mem::replace(&mut found.used, true) {
            self.revoke(&issued.family, until);
            return Redeemed::Again;
        }
        match self.families.get(&issued.family).filter(|held| !held.revoked) {
            Some(held) if now < issued.expires => {
                Redeemed::Once(Box::new(issued), Box::new(held.family.clone()))
            }
            _ => Redeemed::Unknown,
        }
    }

    fn rotate(&mut self, turn: &Turn) -> Rotation {
        let Some(id) = self.refreshes.get(&turn.shown).cloned() else { return Rotation::Gone };
        let Some(held) = self.families.get_mut(&id) else { return Rotation::Gone };
        if held.revoked || held.family.expires <= turn.now {
            return Rotation::Gone;
        }
        let timely = turn.now < held.turned.after(turn.grace);
        if held.current == Some(turn.shown) {
            held.previous = held.current;
            held.turned = turn.now;
        } else if !(held.previous == Some(turn.shown) && timely) {
            self.revoke(&id, turn.until);
            return Rotation::Reused;
        }
        held.current = Some(turn.next);
        self.refreshes.insert(turn.next, id);
        Rotation::Turned
    }

    fn sweep(&mut self, now: Timestamp, unused: Timestamp) {
        self.questions.retain(|_, (_, until)| now < *until);
        self.families.retain(|_, held| now < held.family.expires);
        let families = &self.families;
        self.codes.retain(|_, code| families.contains_key(&code.issued.family));
        self.refreshes.retain(|_, id| families.contains_key(id));
        self.revocations.retain(|(_, _, until)| now < *until);
        self.marks.retain(|_, until| now < *until);
        self.clients.retain(|_, (client, used)| unused < used.unwrap_or(client.created));
    }
}

impl MemoryOAuth {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn done<'a, T: Send + 'a>(value: T) -> Stored<'a, T> {
    Box::pin(ready(Ok(value)))
}

impl OAuthStore for MemoryOAuth {
    fn ask<'a>(&'a self, id: SecretHash, asked: &'a Pending, until: Timestamp) -> Stored<'a, ()> {
        let mut state = self.state();
        if state.questions.len() >= QUESTIONS_MOST {
            let ends = state.questions.iter().map(|(id, (_, until))| (*until, *id));
            if let Some((_, first)) = ends.min_by_key(|(until, _)| *until) {
                state.questions.remove(&first);
            }
        }
        state.questions.insert(id, (asked.clone(), until));
        done(())
    }

    fn answer(&self, id: SecretHash, now: Timestamp) -> Stored<'_, Option<Pending>> {
        let found = self.state().questions.remove(&id).filter(|(_, until)| now < *until);
        done(found.map(|(asked, _)| asked))
    }

    fn consented<'a>(&'a self, key: &'a ConsentKey) -> Stored<'a, Vec<String>> {
        done(self.state().consents.get(key).cloned().unwrap_or_default())
    }

    fn consent<'a>(
        &'a self,
        key: &'a ConsentKey,
        scopes: &'a [String],
        _at: Timestamp,
    ) -> Stored<'a, ()> {
        let mut state = self.state();
        let known = state.consents.entry(key.clone()).or_default();
        for scope in scopes {
            if !known.contains(scope) {
                known.push(scope.clone());
            }
        }
        done(())
    }

    fn open<'a>(
        &'a self,
        code: SecretHash,
        issued: &'a IssuedCode,
        family: &'a Family,
    ) -> Stored<'a, ()> {
        let mut state = self.state();
        state.codes.insert(code, Code { issued: issued.clone(), used: false });
        let held = Held {
            family: family.clone(),
            current: None,
            previous: None,
            turned: Timestamp::from_micros(i64::MIN),
            revoked: false,
        };
        state.families.insert(family.id.clone(), held);
        done(())
    }

    fn redeem(&self, code: SecretHash, now: Timestamp, until: Timestamp) -> Stored<'_, Redeemed> {
        done(self.state().redeem(code, now, until))
    }

    fn start<'a>(&'a self, family: &'a Family, refresh: Option<SecretHash>) -> Stored<'a, bool> {
        let mut state = self.state();
        let held = state.families.get_mut(&family.id).filter(|held| !held.revoked);
        let Some(held) = held else { return done(false) };
        held.family = family.clone();
        held.current = refresh;
        if let Some(refresh) = refresh {
            state.refreshes.insert(refresh, family.id.clone());
        }
        done(true)
    }

    fn family_of_code(&self, code: SecretHash) -> Stored<'_, Option<Family>> {
        let state = self.state();
        let found = state.codes.get(&code).and_then(|code| state.families.get(&code.issued.family));
        done(found.map(|held| held.family.clone()))
    }

    fn family_of_refresh(&self, refresh: SecretHash) -> Stored<'_, Option<Family>> {
        done(self.state().family_of(refresh).map(|held| held.family.clone()))
    }

    fn is_current(&self, refresh: SecretHash) -> Stored<'_, bool> {
        done(self.state().family_of(refresh).is_some_and(|held| held.current == Some(refresh)))
    }

    fn rotate(&self, turn: Turn) -> Stored<'_, Rotation> {
        done(self.state().rotate(&turn))
    }

    fn update<'a>(&'a self, family: &'a Family) -> Stored<'a, ()> {
        if let Some(held) = self.state().families.get_mut(&family.id) {
            held.family = family.clone();
        }
        done(())
    }

    fn revoke_family<'a>(&'a self, id: &'a FamilyId, until: Timestamp) -> Stored<'a, ()> {
        self.state().revoke(id, until);
        done(())
    }

    fn revoke_subject<'a>(
        &'a self,
        principal: &'a str,
        now: Timestamp,
        until: Timestamp,
    ) -> Stored<'a, ()> {
        let mut state = self.state();
        for held in state.families.values_mut() {
            held.revoked |= *held.family.subject.id == *principal;
        }
        state.consents.retain(|key, _| *key.principal != *principal);
        state.questions.retain(|_, (asked, _)| *asked.principal != *principal);
        state.note(Revocation::Subject(principal.into(), now), until);
        done(())
    }

    fn revoke_token<'a>(&'a self, id: &'a str, until: Timestamp) -> Stored<'a, ()> {
        self.state().note(Revocation::Token(id.into()), until);
        done(())
    }

    fn revocations(&self, after: u64) -> Stored<'_, Vec<(u64, Revocation, Timestamp)>> {
        let state = self.state();
        done(state.revocations.iter().filter(|(place, ..)| *place > after).cloned().collect())
    }

    fn once(&self, mark: SecretHash, until: Timestamp) -> Stored<'_, bool> {
        done(self.state().marks.insert(mark, until).is_none())
    }

    fn register<'a>(&'a self, client: &'a RegisteredClient, most: usize) -> Stored<'a, bool> {
        let mut state = self.state();
        if state.clients.len() >= most {
            return done(false);
        }
        state.clients.insert(client.id.clone(), (client.clone(), None));
        done(true)
    }

    fn registered<'a>(&'a self, id: &'a str) -> Stored<'a, Option<RegisteredClient>> {
        done(self.state().clients.get(id).map(|(client, _)| client.clone()))
    }

    fn used<'a>(&'a self, id: &'a str, at: Timestamp) -> Stored<'a, ()> {
        if let Some((_, used)) = self.state().clients.get_mut(id) {
            *used = Some(at);
        }
        done(())
    }

    fn sweep(&self, now: Timestamp, unused: Timestamp) -> Stored<'_, ()> {
        self.state().sweep(now, unused);
        done(())
    }
}
