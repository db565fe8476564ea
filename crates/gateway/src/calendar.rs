//! Times as RFC 3339 texts: the journal counts microseconds and knows no calendar.

use journal::Timestamp;

/// Such as `2026-11-21T08:15:30.000001Z`.
pub(crate) fn text(time: Timestamp) -> String {
    let nearest = if time.as_micros() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    format!("{:.6}", jiff::Timestamp::from_microsecond(time.as_micros()).unwrap_or(nearest))
}

/// From an RFC 3339 text with an offset; finer digits than microseconds are cut.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp =
        text.parse().map_err(|error| format!("`{text}` is not an RFC 3339 time ({error}); write it like 2026-11-21T08:15:30Z"))?;
    Ok(Timestamp::from_micros(time.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_its_text() {
        let time = Timestamp::from_micros(1_795_000_000_000_001);
        assert_eq!(parse(&text(time)), Ok(time));
        assert_eq!(text(Timestamp::from_micros(0)), "1970-01-01T00:00:00.000000Z");
        assert_eq!(parse("1970-01-01T01:00:00+01:00"), Ok(Timestamp::from_micros(0)));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in ["", "yesterday", "2026-11-21", "2026-11-21T08:15:30", "2026-13-01T00:00:00Z"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
