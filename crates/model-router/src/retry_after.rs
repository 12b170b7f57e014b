//! How long an upstream asks us to wait, in all its spellings.

use std::time::Duration;

use doorward_core::Timestamp;
use http::HeaderMap;

use crate::civil::{http_date, rfc3339};

/// No wait is believed beyond this.
const LONGEST: Duration = Duration::from_hours(1);

/// Reads `retry-after-ms`, `x-ms-retry-after-ms` and `retry-after`, in seconds or as a date
/// (RFC 9110 §10.2.3).
pub(crate) fn read(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let number = |name: &str| text(name)?.trim().parse::<f64>().ok();
    let seconds = |number: f64| Duration::try_from_secs_f64(number).ok();
    let number = number("retry-after-ms")
        .or_else(|| number("x-ms-retry-after-ms"))
        .map(|millis| millis / 1000.0)
        .or_else(|| number("retry-after"));
    let date = || http_date(text("retry-after")?).map(|at| until(at, now));
    let wait = number.map_or_else(date, seconds)?;
    Some(wait.min(LONGEST))
}

/// When a limit that is used up is filled again, for a 429 that says no more: the headers
/// `anthropic-ratelimit-*-reset` (RFC 3339), `x-ratelimit-reset-*` (`6m0s`) and
/// `x-ratelimit-reset`, `ratelimit-reset` (seconds, or a Unix time in seconds or milliseconds).
pub(crate) fn reset(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let (mut used_up, mut any) = (None::<Duration>, None::<Duration>);
    for (name, value) in headers {
        let name = name.as_str();
        let limit = name.contains("ratelimit") && name.contains("reset");
        let Some(wait) = limit.then(|| wait(value.to_str().ok()?, now)).flatten() else { continue };
        let left = headers.get(name.replace("reset", "remaining"));
        if left.is_some_and(|left| left.as_bytes() == b"0") {
            used_up = used_up.max(Some(wait));
        } else {
            any = Some(any.map_or(wait, |any| any.min(wait)));
        }
    }
    used_up.or(any).map(|wait| wait.min(LONGEST))
}

fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are small")]
        let unix = now.as_secs() as f64;
        return Duration::try_from_secs_f64(match number {
            // Nobody waits thirty years.
            it if it >= 1e12 => (it / 1000.0 - unix).max(0.0),
            it if it >= 1e9 => (it - unix).max(0.0),
            it => it,
        })
        .ok();
    }
    rfc3339(text).map(|at| until(at, now)).or_else(|| words(text))
}

/// `6ms`, `20s`, `1m30s`, `1h2m`.
fn words(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount: f64 = rest[..end].parse().ok()?;
        let (unit, seconds) = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)]
            .into_iter()
            .find(|(unit, _)| rest[end..].starts_with(unit))?;
        total = total.checked_add(Duration::try_from_secs_f64(amount * seconds).ok()?)?;
        rest = &rest[end + unit.len()..];
    }
    (!text.is_empty()).then_some(total)
}

/// From now until then; nothing where that is past.
fn until(at: Timestamp, now: Timestamp) -> Duration {
    let micros = at.as_micros().saturating_sub(now.as_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-10-21T07:27:30Z.
    const NOW: Timestamp = Timestamp::from_micros(1_792_567_650_000_000);

    #[test]
    fn spellings() {
        for (name, value, millis) in [
            ("retry-after", "2", Some(2000)),
            ("retry-after", "1.5", Some(1500)),
            ("retry-after-ms", "250", Some(250)),
            ("x-ms-retry-after-ms", "40", Some(40)),
            ("retry-after", "-1", None),
            ("retry-after", "NaN", None),
            ("retry-after", "1e30", None),
            ("retry-after", "999999", Some(3_600_000)),
            ("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT", Some(30_000)),
            ("retry-after", "Wed, 21 Oct 2020 07:28:00 GMT", Some(0)),
            ("retry-after", "soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(read(&headers, NOW), millis.map(Duration::from_millis), "{name}: {value}");
        }
    }

    #[test]
    fn the_limit_that_is_used_up_counts() {
        for (headers, millis) in [
            (vec![("x-ratelimit-reset-requests", "1s")], Some(1000)),
            (vec![("x-ratelimit-reset-tokens", "6m0s")], Some(360_000)),
            (
                vec![
                    ("x-ratelimit-reset-requests", "8.64s"),
                    ("x-ratelimit-remaining-requests", "9"),
                    ("x-ratelimit-reset-tokens", "20ms"),
                    ("x-ratelimit-remaining-tokens", "0"),
                ],
                Some(20),
            ),
            (
                vec![
                    ("anthropic-ratelimit-requests-reset", "2026-10-21T07:27:31Z"),
                    ("anthropic-ratelimit-requests-remaining", "4"),
                    ("anthropic-ratelimit-input-tokens-reset", "2026-10-21T07:27:42Z"),
                    ("anthropic-ratelimit-input-tokens-remaining", "0"),
                ],
                Some(12_000),
            ),
            (vec![("x-ratelimit-reset", "1792567655000")], Some(5000)),
            (vec![("x-ratelimit-reset", "1792567655")], Some(5000)),
            (vec![("ratelimit-reset", "7")], Some(7000)),
            (vec![("x-ratelimit-reset", "later")], None),
            (vec![("x-ratelimit-limit-requests", "60")], None),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in &headers {
                map.insert(*name, value.parse().unwrap());
            }
            assert_eq!(reset(&map, NOW), millis.map(Duration::from_millis), "{headers:?}");
        }
    }
}
