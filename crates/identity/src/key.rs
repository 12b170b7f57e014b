//! What a virtual key looks like, and what is kept of it.

use std::fmt;
use std::sync::Arc;

use doorward_core::{Clock, Entropy, KeyId, PrincipalKind, Scopes, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

/// What every key's text begins with.
const PREFIX: &str = "dw-";
/// How many base 62 digits hold 128 bits.
const WIDE: usize = 22;
/// How many base 62 digits hold 32 bits.
const NARROW: usize = 6;
/// Prefix, key id, 256 secret bits, checksum.
const LENGTH: usize = PREFIX.len() + 3 * WIDE + NARROW;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The most characters a name, an owner or a team has.
const NAME_MOST: usize = 200;

/// A secret that is mixed into every stored hash. Kept outside the database, it makes a stolen
/// database worthless for checking guesses.
#[derive(Clone)]
pub struct Pepper([u8; 32]);

impl Pepper {
    /// Draws a fresh one.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// From its 32 secret bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 secret bytes, to be kept.
    pub const fn to_bytes(&self) -> [u8; 32] {
        self.0
    }

    /// The hash to store or look up: BLAKE3, keyed, over the key's whole text.
    pub fn hash(&self, text: &str) -> KeyHash {
        KeyHash(*blake3::keyed_hash(&self.0, text.as_bytes()).as_bytes())
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(hidden)")
    }
}

/// What is stored of a key's text. Compared in constant time.
#[derive(Clone, Copy, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// From its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(hidden)")
    }
}

/// What is kept of a virtual key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its public id; part of the key's text.
    pub id: KeyId,
    /// What people call it.
    pub name: Arc<str>,
    /// On whose behalf it is used: a person's e-mail address or a service's name.
    pub owner: Arc<str>,
    /// Whether that is a person or a service.
    pub owner_kind: PrincipalKind,
    /// The team that owns the work.
    pub team: Option<Arc<str>>,
    /// The hash of its text.
    pub hash: KeyHash,
    /// What it may be used for.
    pub scopes: Scopes,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is worth nothing.
    pub expires: Option<Timestamp>,
    /// Since when it is revoked.
    pub revoked: Option<Timestamp>,
}

impl KeyRecord {
    /// Whether it may be used at this time.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }
}

/// What a new key shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What people call it.
    pub name: Arc<str>,
    /// On whose behalf it is used.
    pub owner: Arc<str>,
    /// Whether that is a person or a service.
    #[serde(default = "service")]
    pub owner_kind: PrincipalKind,
    /// The team that owns the work.
    #[serde(default)]
    pub team: Option<Arc<str>>,
    /// What it may be used for; everything, unless said.
    #[serde(default)]
    pub scopes: Scopes,
    /// From when on it is worth nothing.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

fn service() -> PrincipalKind {
    PrincipalKind::Service
}

impl NewKey {
    /// A service's key for everything, without end.
    pub fn new(name: impl Into<Arc<str>>, owner: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            owner: owner.into(),
            owner_kind: PrincipalKind::Service,
            team: None,
            scopes: Scopes::default(),
            expires: None,
        }
    }

    /// A person's key for everything, without end.
    pub fn person(name: impl Into<Arc<str>>, owner: impl Into<Arc<str>>) -> Self {
        Self { owner_kind: PrincipalKind::Person, ..Self::new(name, owner) }
    }

    /// For this team.
    #[must_use]
    pub fn with_team(mut self, team: impl Into<Arc<str>>) -> Self {
        self.team = Some(team.into());
        self
    }

    /// Only for this.
    #[must_use]
    pub fn with_scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Until then.
    #[must_use]
    pub fn with_expiry(mut self, expires: Timestamp) -> Self {
        self.expires = Some(expires);
        self
    }
}

/// A key was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// A text is empty, too long, or has line breaks or other control characters.
    #[error("a key's {field} must have 1 to 200 characters, none of them a control character")]
    Text {
        /// Which text.
        field: &'static str,
    },
    /// It would be worth nothing from the start.
    #[error("a key cannot expire before it is made")]
    Expired,
}

/// Makes a key: its text, to be shown once, and what to store.
///
/// # Errors
///
/// Where a name is not fit to be shown, or the expiry has passed.
pub fn mint(
    entropy: &dyn Entropy,
    clock: &dyn Clock,
    pepper: &Pepper,
    new: NewKey,
) -> Result<(Secret, KeyRecord), MintError> {
    let created = clock.now();
    let texts =
        [("name", Some(&new.name)), ("owner", Some(&new.owner)), ("team", new.team.as_ref())];
    for (field, text) in texts {
        if text.is_some_and(|text| !is_plain(text)) {
            return Err(MintError::Text { field });
        }
    }
    if new.expires.is_some_and(|end| end <= created) {
        return Err(MintError::Expired);
    }
    let id = KeyId::random(entropy);
    let text = write_text(id, entropy);
    let record = KeyRecord {
        id,
        name: new.name,
        owner: new.owner,
        owner_kind: new.owner_kind,
        team: new.team,
        hash: pepper.hash(text.expose()),
        scopes: new.scopes,
        created,
        expires: new.expires,
        revoked: None,
    };
    Ok((text, record))
}

fn is_plain(text: &str) -> bool {
    let length = text.chars().count();
    (1..=NAME_MOST).contains(&length) && !text.chars().any(char::is_control)
}

fn write_text(id: KeyId, entropy: &dyn Entropy) -> Secret {
    // Sized at once: a text that grows leaves copies of the secret behind.
    let mut text = String::with_capacity(LENGTH);
    text.push_str(PREFIX);
    push_digits(&mut text, u128::from_be_bytes(*id.as_bytes()), WIDE);
    for _ in 0..2 {
        let mut half = [0; 16];
        entropy.fill(&mut half);
        push_digits(&mut text, u128::from_be_bytes(half), WIDE);
    }
    let sum = checksum(&text);
    push_digits(&mut text, sum.into(), NARROW);
    Secret::new(text)
}

fn push_digits(text: &mut String, mut number: u128, count: usize) {
    let start = text.len();
    text.extend(std::iter::repeat_n('0', count));
    let mut digits = Vec::with_capacity(count);
    for _ in 0..count {
        let digit = usize::try_from(number % 62).unwrap_or_default();
        digits.push(char::from(DIGITS[digit]));
        number /= 62;
    }
    text.truncate(start);
    text.extend(digits.into_iter().rev());
}

fn digits_of(text: &str) -> Option<u128> {
    text.bytes().try_fold(0_u128, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        };
        number.checked_mul(62)?.checked_add(digit.into())
    })
}

/// The first 32 bits of the text's BLAKE3 hash: tells typing errors, protects nothing.
fn checksum(text: &str) -> u32 {
    let [a, b, c, d, ..] = *blake3::hash(text.as_bytes()).as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// What is wrong with a text that should be a virtual key. Known without asking any store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// It is something else, another provider's key perhaps.
    #[error("not a Doorward key: those begin with `dw-`")]
    Prefix,
    /// Something was cut off or added.
    #[error("a Doorward key has 75 characters, this text has {0}: cut off or added to")]
    Length(usize),
    /// A character was changed.
    #[error("mistyped: the key's checksum does not fit")]
    Checksum,
}

/// The public part of a key's text, read without asking any store.
///
/// ```
/// use doorward_identity::{KeyText, KeyTextError};
/// assert_eq!("sk-123".parse::<KeyText>(), Err(KeyTextError::Prefix));
/// assert_eq!("dw-123".parse::<KeyText>(), Err(KeyTextError::Length(6)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyText {
    /// The key's public id.
    pub id: KeyId,
}

impl KeyText {
    /// A regular expression that finds keys in text, for secret scanners.
    pub const REGEX: &'static str = r"\bdw-[0-9A-Za-z]{72}\b";

    /// What every key's text begins with.
    pub(crate) const PREFIX: &'static str = PREFIX;

    /// Whether a text can be a key at all, at the cost of a glance.
    pub(crate) fn is_shaped(text: &str) -> bool {
        text.len() == LENGTH && text.starts_with(PREFIX)
    }
}

impl std::str::FromStr for KeyText {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        let body = text.strip_prefix(PREFIX).ok_or(KeyTextError::Prefix)?;
        if text.len() != LENGTH {
            return Err(KeyTextError::Length(text.chars().count()));
        }
        let wrong = KeyTextError::Checksum;
        let id = body.get(..WIDE).and_then(digits_of).ok_or(wrong)?;
        let (summed, sum) = text.split_at_checked(LENGTH - NARROW).ok_or(wrong)?;
        if digits_of(sum) != Some(checksum(summed).into()) {
            return Err(wrong);
        }
        Ok(Self { id: KeyId::from_bytes(id.to_be_bytes()) })
    }
}

#[cfg(test)]
mod tests {
    use doorward_core::{SystemClock, SystemEntropy};

    use super::*;

    fn made(new: NewKey) -> Result<(Secret, KeyRecord), MintError> {
        mint(&SystemEntropy, &SystemClock, &Pepper::from_bytes([3; 32]), new)
    }

    #[test]
    fn a_key_tells_its_id_and_any_change_shows() {
        let (text, record) = made(NewKey::new("ci", "build")).unwrap();
        let text = text.expose();
        assert_eq!(text.len(), LENGTH);
        assert_eq!(text.parse(), Ok(KeyText { id: record.id }));
        for at in PREFIX.len()..LENGTH {
            let mut typo = text.to_owned();
            let other = if &text[at..=at] == "x" { "y" } else { "x" };
            typo.replace_range(at..=at, other);
            assert_eq!(typo.parse::<KeyText>(), Err(KeyTextError::Checksum), "at {at}");
        }
        let cut = LENGTH - 1;
        assert_eq!(text[..cut].parse::<KeyText>(), Err(KeyTextError::Length(cut)));
        let wide = format!("dw-{}", "é".repeat(36));
        assert_eq!(wide.parse::<KeyText>(), Err(KeyTextError::Checksum));
    }

    #[test]
    fn the_largest_numbers_fit_their_digits() {
        for (number, count) in [(u128::MAX, WIDE), (u32::MAX.into(), NARROW), (0, WIDE)] {
            let mut text = String::new();
            push_digits(&mut text, number, count);
            assert_eq!((text.len(), digits_of(&text)), (count, Some(number)));
        }
    }

    #[test]
    fn nothing_secret_is_kept_or_shown() {
        let (text, record) = made(NewKey::new("ci", "build")).unwrap();
        let secret = &text.expose()[PREFIX.len() + WIDE..];
        let shown = format!("{record:?} {text:?} {:?}", Pepper::from_bytes([3; 32]));
        assert!(!shown.contains(secret) && shown.contains("hidden"), "{shown}");
        assert_ne!(record.hash, Pepper::from_bytes([4; 32]).hash(text.expose()));
    }

    #[test]
    fn unfit_keys_are_not_made() {
        let past = Timestamp::from_micros(1);
        for (new, wrong) in [
            (NewKey::new("", "build"), MintError::Text { field: "name" }),
            (NewKey::new("a\nb", "build"), MintError::Text { field: "name" }),
            (NewKey::new("ci", "x".repeat(201)), MintError::Text { field: "owner" }),
            (NewKey::new("ci", "build").with_team(""), MintError::Text { field: "team" }),
            (NewKey::new("ci", "build").with_expiry(past), MintError::Expired),
        ] {
            assert_eq!(made(new).unwrap_err(), wrong);
        }
    }
}
