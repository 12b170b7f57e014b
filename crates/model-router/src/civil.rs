//! Points in time as upstreams write them.

use doorward_core::Timestamp;

/// An HTTP date, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7; the two forms that it calls
/// obsolete are not read).
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: &[&str] =
        &["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.trim().split_once(", ")?;
    let rest = rest.strip_suffix(" GMT")?;
    let mut words = rest.split(' ');
    let day = number(words.next()?)?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? + 1;
    let year = number(words.next()?)?;
    let time = clock(words.next()?)?;
    if words.next().is_some() {
        return None;
    }
    at(year, i64::try_from(month).ok()?, day, time)
}

/// An RFC 3339 time, `2024-01-01T00:00:00Z`, as Anthropic's `anthropic-ratelimit-*-reset` have it.
pub(crate) fn rfc3339(text: &str) -> Option<Timestamp> {
    let (date, time) = text.trim().split_once('T')?;
    let mut parts = date.splitn(3, '-');
    let (year, month, day) =
        (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    let (time, offset) = if let Some(time) = time.strip_suffix('Z') {
        (time, 0)
    } else {
        let sign = time.rfind(['+', '-'])?;
        let (hours, minutes) = time[sign + 1..].split_once(':')?;
        let offset = number(hours)? * 3600 + number(minutes)? * 60;
        (&time[..sign], if time.as_bytes()[sign] == b'-' { -offset } else { offset })
    };
    // A fraction of a second says nothing about a wait.
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    at(year, month, day, clock(time)? - offset)
}

fn number(text: &str) -> Option<i64> {
    let digits = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// Seconds into the day.
fn clock(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let (hours, minutes, seconds) =
        (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    (hours < 24 && minutes < 60 && seconds <= 60).then_some(hours * 3600 + minutes * 60 + seconds)
}

/// Days are counted from 1 March of year 0, so that a leap day is the last of its year.
fn at(year: i64, month: i64, day: i64, seconds: i64) -> Option<Timestamp> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = year * 365 + leaps + day_of_year - 719_468;
    Some(Timestamp::from_micros((days * 86_400 + seconds) * 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        for (text, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 12:00:00 GMT", Some(1_709_208_000)),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Foo 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 25:49:37 GMT", None),
            ("", None),
        ] {
            assert_eq!(http_date(text).map(Timestamp::as_secs), seconds, "{text}");
        }
        for (text, seconds) in [
            ("2024-02-29T12:00:00Z", Some(1_709_208_000)),
            ("2024-02-29T12:00:00.25Z", Some(1_709_208_000)),
            ("2024-02-29T14:00:00+02:00", Some(1_709_208_000)),
            ("2024-02-29T07:30:00-04:30", Some(1_709_208_000)),
            ("2024-13-01T00:00:00Z", None),
            ("2024-02-29", None),
            ("T", None),
        ] {
            assert_eq!(rfc3339(text).map(Timestamp::as_secs), seconds, "{text}");
        }
    }
}
