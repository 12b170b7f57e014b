//! Ids of tool calls for a provider that wants them short.

use std::borrow::Cow;
use std::collections::HashMap;

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whether an id is of exactly this many letters and digits.
pub(crate) fn fits(id: &str, length: usize) -> bool {
    id.len() == length && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The ids of one conversation, each under a short one of its own.
///
/// A short id follows from the long one alone, so a history that grows keeps its bytes, and the
/// client goes on to use the ids it knows. Only where two of one conversation meet does the order
/// count.
#[derive(Debug)]
pub(crate) struct ShortIds<'a> {
    length: usize,
    /// Which id has a short one.
    taken: HashMap<String, Cow<'a, str>>,
}

impl<'a> ShortIds<'a> {
    pub(crate) fn new(length: usize) -> Self {
        Self { length, taken: HashMap::new() }
    }

    /// The short id; `None` where the id is one already.
    pub(crate) fn short(&mut self, id: Cow<'a, str>) -> Option<String> {
        let mut salt = 0_u64;
        let mut candidate =
            if fits(&id, self.length) { id.clone().into_owned() } else { self.made(&id, salt) };
        while self.taken.get(&candidate).is_some_and(|owner| *owner != id) && salt < 1000 {
            salt += 1;
            candidate = self.made(&id, salt);
        }
        let same = candidate == *id;
        self.taken.insert(candidate.clone(), id);
        (!same).then_some(candidate)
    }

    fn made(&self, id: &str, salt: u64) -> String {
        // FNV-1a, 64 bits, and one more round for each further letter than a hash holds.
        let round = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let start = 0xcbf2_9ce4_8422_2325 ^ salt;
        let mut hash = id.bytes().fold(start, round);
        let mut out = String::with_capacity(self.length);
        for at in 0..self.length {
            if at > 0 && at % 10 == 0 {
                hash = round(hash, b'+');
            }
            let letter = usize::try_from(hash % 62).unwrap_or(0);
            out.push(char::from(LETTERS[letter]));
            hash = (hash / 62).rotate_left(7) ^ hash.rotate_right(29);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_23_ids_become_short_and_stay_apart() {
        let long: Vec<String> = (0..5000).map(|n| format!("toolu_01ABC{n}")).collect();
        let mut ids = ShortIds::new(9);
        let mut seen = std::collections::HashSet::new();
        for id in &long {
            let short = ids.short(id.into()).unwrap();
            assert!(fits(&short, 9), "{short}");
            assert!(seen.insert(short.clone()), "{short} twice");
            assert_eq!(ids.short(id.into()), Some(short), "the same again");
        }
        assert_eq!(ids.short("abcDEF123".into()), None);
        let alone = ShortIds::new(9).short(long[7].as_str().into());
        assert!(seen.contains(&alone.unwrap()), "it follows from the id alone");
    }

    #[test]
    fn a_short_id_that_is_taken_gets_another() {
        let mut ids = ShortIds::new(9);
        let short = ids.short("call_1".into()).unwrap();
        let other = ids.short(short.clone().into()).unwrap();
        assert!(fits(&other, 9) && other != short);
    }
}
