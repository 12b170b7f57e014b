//! Times as people read and write them.

use doorward_core::Timestamp;

/// RFC 3339 in UTC, to the second.
pub(crate) fn shown(at: Timestamp) -> String {
    match jiff::Timestamp::from_microsecond(at.as_micros()) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => "(no such time)".to_owned(),
    }
}

/// Reads a date, which begins at midnight UTC, or a time (RFC 3339).
pub(crate) fn read(text: &str) -> Option<Timestamp> {
    let time = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let date: jiff::civil::Date = text.parse().ok()?;
        jiff::tz::TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()
    })?;
    Some(Timestamp::from_micros(time.as_microsecond()))
}

/// A length of time in the unit that fits.
pub(crate) fn took(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown() {
        assert_eq!(shown(Timestamp::from_micros(0)), "1970-01-01T00:00:00Z");
        assert_eq!(shown(Timestamp::from_micros(i64::MAX)), "(no such time)");
        for (text, micros) in [("1970-01-02", 86_400_000_000), ("1970-01-01T00:00:01Z", 1_000_000)]
        {
            assert_eq!(read(text), Some(Timestamp::from_micros(micros)));
        }
        assert_eq!(read("yesterday"), None);
        for (micros, text) in [(7, "7 µs"), (1_500, "1.5 ms"), (2_340_000, "2.3 s")] {
            assert_eq!(took(micros), text);
        }
    }
}
