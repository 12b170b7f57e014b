//! Checksums and other tests that tell a number of a kind from any other number.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::literal;

fn digits(text: &str) -> Vec<u32> {
    text.chars().filter_map(|char| char.to_digit(10)).collect()
}

/// ISO/IEC 7812-1 annex B.
fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, digit * 2) {
            (0, _) => *digit,
            (_, double) => double / 10 + double % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn same(digits: &[u32]) -> bool {
    digits.windows(2).all(|pair| pair[0] == pair[1])
}

/// Somebody's address, and not how a repository is cloned.
pub(super) fn email(text: &str) -> bool {
    !text.starts_with("git@")
}

/// A payment card: a network's prefix and length, and the Luhn digit.
pub(super) fn card(text: &str) -> bool {
    let digits = digits(text);
    let number = |count: usize| digits.iter().take(count).fold(0, |sum, digit| sum * 10 + digit);
    let lengths: &[usize] = match (number(1), number(2), number(3), number(4)) {
        (4, ..) => &[13, 16, 19],
        (_, 34 | 37, ..) => &[15],
        (_, 51..=55, ..) | (_, _, _, 2221..=2720) => &[16],
        (_, 36 | 38 | 39, ..) | (_, _, 300..=305, _) => &[14, 16],
        (_, 65, ..) | (_, _, 644..=649, _) | (_, _, _, 6011) => &[16, 19],
        (_, 62, ..) | (_, _, _, 3528..=3589) => &[16, 17, 18, 19],
        (_, 50 | 56..=58, ..) | (_, _, _, 6304 | 6759 | 6761..=6763) => &[13, 16, 18, 19],
        _ => &[],
    };
    lengths.contains(&digits.len()) && luhn(&digits) && !same(&digits)
}

/// An IBAN of a country that has them, at that country's length (the registry of ISO 13616).
pub(super) fn iban(text: &str) -> bool {
    let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_uppercase();
    let length = plain.get(..2).and_then(|country| {
        let at = IBANS.binary_search_by_key(&country, |(code, _)| code).ok()?;
        IBANS.get(at).map(|(_, length)| *length)
    });
    length == Some(plain.len()) && literal::iban(&plain).is_some()
}

/// Sorted.
#[rustfmt::skip]
const IBANS: &[(&str, usize)] = &[
    ("AD", 24), ("AE", 23), ("AL", 28), ("AT", 20), ("AZ", 28), ("BA", 20), ("BE", 16), ("BG", 22),
    ("BH", 22), ("BI", 27), ("BR", 29), ("BY", 28), ("CH", 21), ("CR", 22), ("CY", 28), ("CZ", 24),
    ("DE", 22), ("DJ", 27), ("DK", 18), ("DO", 28), ("EE", 20), ("EG", 29), ("ES", 24), ("FI", 18),
    ("FK", 18), ("FO", 18), ("FR", 27), ("GB", 22), ("GE", 22), ("GI", 23), ("GL", 18), ("GR", 27),
    ("GT", 28), ("HN", 28), ("HR", 21), ("HU", 28), ("IE", 22), ("IL", 23), ("IQ", 23), ("IS", 26),
    ("IT", 27), ("JO", 30), ("KW", 30), ("KZ", 20), ("LB", 28), ("LC", 32), ("LI", 21), ("LT", 20),
    ("LU", 20), ("LV", 21), ("LY", 25), ("MC", 27), ("MD", 24), ("ME", 22), ("MK", 19), ("MN", 20),
    ("MR", 27), ("MT", 31), ("MU", 30), ("NI", 28), ("NL", 18), ("NO", 15), ("OM", 23), ("PK", 24),
    ("PL", 28), ("PS", 29), ("PT", 25), ("QA", 29), ("RO", 24), ("RS", 22), ("RU", 33), ("SA", 24),
    ("SC", 31), ("SD", 18), ("SE", 24), ("SI", 19), ("SK", 24), ("SM", 27), ("SO", 23), ("ST", 25),
    ("SV", 28), ("TL", 23), ("TN", 24), ("TR", 26), ("UA", 29), ("VA", 22), ("VG", 24), ("XK", 20),
    ("YE", 30),
];

/// Seven to fifteen digits after the plus (ITU-T E.164 §6).
pub(super) fn phone(text: &str) -> bool {
    let count = digits(text).len();
    let grouped = text.matches('(').count() == text.matches(')').count();
    (8..=15).contains(&count) && grouped
}

/// A US social security number that can have been issued (SSA, "SSN randomization").
pub(super) fn ssn(text: &str) -> bool {
    let digits = digits(text);
    let number = |range: std::ops::Range<usize>| {
        digits.get(range).unwrap_or_default().iter().fold(0, |sum, digit| sum * 10 + digit)
    };
    let (area, group, serial) = (number(0..3), number(3..5), number(5..9));
    let apart = text.bytes().filter(|byte| !byte.is_ascii_digit()).collect::<Vec<_>>();
    same(&apart.iter().map(|byte| u32::from(*byte)).collect::<Vec<_>>())
        && !matches!(area, 0 | 666 | 900..)
        && group != 0
        && serial != 0
}

/// An address that leads to one machine.
pub(super) fn ipv4(text: &str) -> bool {
    text.parse().is_ok_and(|address: Ipv4Addr| {
        !address.is_loopback() && !address.is_unspecified() && !address.is_broadcast()
    })
}

/// An address, and no piece of a program: `Face::Bad` is one by the letter.
pub(super) fn ipv6(text: &str) -> bool {
    let like = text.bytes().any(|byte| byte.is_ascii_digit()) && text.matches(':').count() >= 2;
    like && text
        .parse()
        .is_ok_and(|address: Ipv6Addr| !address.is_loopback() && !address.is_unspecified())
}

/// UK: ten digits, the last modulo 11 (NHS Data Dictionary, "NHS NUMBER").
pub(super) fn nhs(text: &str) -> bool {
    let digits = digits(text);
    let sum: u32 = digits.iter().zip((2..=10).rev()).map(|(digit, weight)| digit * weight).sum();
    digits.len() == 10 && !same(&digits) && digits.get(9) == Some(&((11 - sum % 11) % 11))
}

/// Germany: eleven digits by ISO 7064 MOD 11,10, of which one comes two or three times.
pub(super) fn steuer_id(text: &str) -> bool {
    let digits = digits(text);
    let (Some(body), Some(last)) = (digits.get(..10), digits.get(10)) else { return false };
    let times = |wanted: u32| body.iter().filter(|digit| **digit == wanted).count();
    let repeated: Vec<usize> = (0..10).map(times).filter(|count| *count > 1).collect();
    let mut product = 10;
    for digit in body {
        let sum = match (digit + product) % 10 {
            0 => 10,
            sum => sum,
        };
        product = sum * 2 % 11;
    }
    digits.len() == 11
        && body.first() != Some(&0)
        && matches!(repeated.as_slice(), [2 | 3])
        && (11 - product) % 10 == *last
}

/// Spain: a number and its letter, modulo 23 (DNI, NIE).
pub(super) fn dni(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let Some((number, letter)) = plain.split_at_checked(plain.len().saturating_sub(1)) else {
        return false;
    };
    let number = match number.split_at_checked(1) {
        Some(("X", rest)) => format!("0{rest}"),
        Some(("Y", rest)) => format!("1{rest}"),
        Some(("Z", rest)) => format!("2{rest}"),
        _ => number.to_owned(),
    };
    let letters = "TRWAGMYFPDXBNJZSQVHLCKE";
    number.len() == 8
        && number
            .parse::<usize>()
            .is_ok_and(|number| letters.get(number % 23..=number % 23) == Some(letter))
}

/// France: thirteen digits and their key modulo 97; Corsica writes 2A and 2B.
pub(super) fn nir(text: &str) -> bool {
    let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_uppercase().replace("2A", "19").replace("2B", "18");
    let (Some(number), Some(key)) = (plain.get(..13), plain.get(13..15)) else { return false };
    match (number.parse::<u64>(), key.parse::<u64>()) {
        (Ok(number), Ok(key)) => plain.len() == 15 && 97 - number % 97 == key,
        _ => false,
    }
}

/// Italy: fifteen characters and a letter that sums them up (D.M. 23 December 1976).
pub(super) fn codice_fiscale(text: &str) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let text = text.to_ascii_uppercase();
    let value = |byte: u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        _ => u32::from(byte.wrapping_sub(b'A')),
    };
    let sum: u32 = text
        .bytes()
        .take(15)
        .enumerate()
        .map(|(at, byte)| match (at % 2, usize::try_from(value(byte))) {
            (0, Ok(value)) => ODD.get(value).copied().unwrap_or_default(),
            _ => value(byte),
        })
        .sum();
    text.len() == 16 && text.bytes().next_back().map(value) == Some(sum % 26)
}

/// The Netherlands: nine digits, weighted, modulo 11.
pub(super) fn bsn(text: &str) -> bool {
    let digits = digits(text);
    let Some(nine) = digits.len().checked_sub(9).and_then(|from| digits.get(from..)) else {
        return false;
    };
    let weights = [9, 8, 7, 6, 5, 4, 3, 2];
    let sum: u32 = nine.iter().zip(weights).map(|(digit, weight)| digit * weight).sum();
    !same(nine) && nine.get(8).is_some_and(|last| sum % 11 == *last)
}

/// Brazil: eleven digits, the last two modulo 11.
pub(super) fn cpf(text: &str) -> bool {
    let digits = digits(text);
    let fits = |count: usize| {
        let body = digits.iter().take(count).rev();
        let sum: u32 = body.zip(2..).map(|(digit, weight)| digit * weight).sum();
        digits.get(count) == Some(&(sum * 10 % 11 % 10))
    };
    digits.len() == 11 && !same(&digits) && fits(9) && fits(10)
}

/// Poland: a date of birth and a weighted sum.
pub(super) fn pesel(text: &str) -> bool {
    let digits = digits(text);
    let weights = [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1];
    let sum: u32 = digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum();
    let number = |at: usize| digits.get(at).zip(digits.get(at + 1)).map_or(0, |(a, b)| a * 10 + b);
    digits.len() == 11
        && sum.is_multiple_of(10)
        && matches!(number(2) % 20, 1..=12)
        && matches!(number(4), 1..=31)
}

/// India: twelve digits, the last by Verhoeff's scheme.
pub(super) fn aadhaar(text: &str) -> bool {
    /// The dihedral group of order ten.
    const fn times(a: u32, b: u32) -> u32 {
        match (a < 5, b < 5) {
            (true, true) => (a + b) % 5,
            (true, false) => (a + b - 5) % 5 + 5,
            (false, true) => (a - 5 + 5 - b) % 5 + 5,
            (false, false) => (a - 5 + 5 - (b - 5)) % 5,
        }
    }
    const TURN: [u32; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let digits = digits(text);
    let sum = digits.iter().rev().enumerate().fold(0, |sum, (at, digit)| {
        let turned = (0..at % 8).fold(*digit, |digit, _| {
            usize::try_from(digit).ok().and_then(|at| TURN.get(at)).copied().unwrap_or_default()
        });
        times(sum, turned)
    });
    digits.len() == 12 && sum == 0 && !same(&digits)
}

/// Sweden: a date, and ten digits by Luhn.
pub(super) fn personnummer(text: &str) -> bool {
    let digits = digits(text);
    let Some(ten) = digits.len().checked_sub(10).and_then(|from| digits.get(from..)) else {
        return false;
    };
    let number = |at: usize| ten.get(at).zip(ten.get(at + 1)).map_or(0, |(a, b)| a * 10 + b);
    luhn(ten) && matches!(number(2), 1..=12) && matches!(number(4), 1..=31)
}

/// Switzerland: an EAN-13 that begins with 756.
pub(super) fn ahv(text: &str) -> bool {
    let digits = digits(text);
    let sum: u32 = digits
        .iter()
        .enumerate()
        .map(|(at, digit)| if at % 2 == 0 { *digit } else { digit * 3 })
        .sum();
    digits.len() == 13 && sum.is_multiple_of(10)
}

/// GitHub's and npm's tokens: six digits in base 62 of the CRC-32 of what is before them
/// ("Behind GitHub's new authentication token formats", 2021).
pub(super) fn crc_base62(text: &str) -> bool {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let Some((_, token)) = text.split_once('_') else { return false };
    let Some((body, sum)) = token.split_at_checked(token.len().saturating_sub(6)) else {
        return false;
    };
    let value = sum.bytes().try_fold(0_u64, |value, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        Some(value * 62 + u64::try_from(digit).ok()?)
    });
    value == Some(u64::from(crc32(body.as_bytes())))
}

/// CRC-32 of ISO 3309, bit by bit: tokens are short.
fn crc32(bytes: &[u8]) -> u32 {
    let turn = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0_u32, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), turn))
}

/// Whether a text is as random as keys are: its entropy, and several kinds of characters.
pub(super) fn random(text: &str) -> bool {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "texts of a few hundred bytes")]
    let length = text.len() as f64;
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / length)
        .map(|share| -share * share.log2())
        .sum();
    let has = |kind: fn(&u8) -> bool| text.bytes().any(|byte| kind(&byte));
    let kinds = [has(u8::is_ascii_digit), has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase)];
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let floor = if hex { 3.0 } else { 4.2 };
    bits >= floor && kinds.into_iter().filter(|kind| *kind).count() >= if hex { 2 } else { 3 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sorted() {
        assert!(IBANS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn each_number_proves_itself_and_no_other_does() {
        type Proof = fn(&str) -> bool;
        let cases: &[(Proof, &str)] = &[
            (card, "4111 1111 1111 1111"),
            (card, "5555555555554444"),
            (card, "378282246310005"),
            (card, "6011111111111117"),
            (card, "3530111333300000"),
            (iban, "DE89 3704 0044 0532 0130 00"),
            (iban, "gb82west12345698765432"),
            (iban, "NO9386011117947"),
            (nhs, "943 476 5919"),
            (steuer_id, "86095742719"),
            (dni, "12345678Z"),
            (dni, "X1234567L"),
            (nir, "2 55 08 14 168 025 38"),
            (codice_fiscale, "RSSMRA85T10A562S"),
            (bsn, "111222333"),
            (cpf, "529.982.247-25"),
            (pesel, "44051401359"),
            (aadhaar, "2345 6789 0124"),
            (personnummer, "811218-9876"),
            (ahv, "756.9217.0769.85"),
        ];
        for (proof, text) in cases {
            assert!(proof(text), "{text}");
            // One digit more, and the sum no longer holds.
            let at = text.rfind(|char: char| char.is_ascii_digit()).unwrap();
            let digit = text.as_bytes()[at] - b'0';
            let mut other = (*text).to_owned();
            other.replace_range(at..=at, &((digit + 1) % 10).to_string());
            assert!(!proof(&other), "{other}");
        }
    }

    #[test]
    fn the_sum_of_a_token() {
        let body = "AbCdEfGhIjKlMnOpQrStUvWxYz0123";
        let mut sum = u64::from(crc32(body.as_bytes()));
        let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut text = String::new();
        for _ in 0..6 {
            text.insert(0, char::from(digits[usize::try_from(sum % 62).unwrap()]));
            sum /= 62;
        }
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert!(crc_base62(&format!("ghp_{body}{text}")));
        assert!(!crc_base62(&format!("ghp_{body}000000")));
    }

    #[test]
    fn what_is_no_number_of_its_kind() {
        assert!(ssn("123-45-6789") && !ssn("666-45-6789") && !ssn("123-00-6789"));
        assert!(!ssn("123-45 6789"), "one mark between, not two");
        assert!(ipv6("2001:db8::1") && ipv6("fe80::1") && !ipv6("Face::Bad") && !ipv6("12:30:45"));
        assert!(ipv4("10.1.2.3") && !ipv4("127.0.0.1"));
        assert!(random("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"));
        assert!(!random("the-quick-brown-fox-jumps-over-the-lazy-dog"));
    }
}
