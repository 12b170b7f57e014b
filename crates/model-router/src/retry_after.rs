//! How long an upstream asks us to wait, in all its spellings.

use std::time::Duration;

use http::HeaderMap;

/// No wait is believed beyond this.
const LONGEST: Duration = Duration::from_hours(1);

/// Reads `retry-after-ms`, `x-ms-retry-after-ms` and `retry-after` in seconds (RFC 9110 §10.2.3).
/// A date form is left to the caller, who gets the header relayed.
pub(crate) fn read(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms")
        .or_else(|| number("x-ms-retry-after-ms"))
        .map(|millis| millis / 1000.0)
        .or_else(|| number("retry-after"))?;
    Duration::try_from_secs_f64(seconds).ok().map(|wait| wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(read(&headers), millis.map(Duration::from_millis), "{name}: {value}");
        }
    }
}
