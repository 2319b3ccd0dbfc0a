//! Times as programs read and write them. Always UTC: nothing here knows where somebody is.

use super::time::Timestamp;

/// As `Date` fields write them (RFC 9110 section 5.6.7).
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The last second that has four digits for its year.
const LAST: u64 = 253_402_300_799;

/// A civil date in the Gregorian calendar, and a time of that day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// At most 9999.
    pub year: u64,
    /// 1 to 12.
    pub month: u64,
    /// 1 to 31.
    pub day: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 59.
    pub second: u64,
}

impl Civil {
    /// That of a time, in UTC; of one beyond the year 9999, its last second.
    pub const fn of(at: Timestamp) -> Self {
        let seconds = if at.unix() < LAST { at.unix() } else { LAST };
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        // Years that begin in March have their odd day at the end. Day 0 of such a count is 1 March 0000.
        let days = days + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_based = (5 * of_year + 2) / 153;
        let month = if march_based < 10 {
            march_based + 3
        } else {
            march_based - 9
        };
        Self {
            year: era * 400 + year_of_era + (month <= 2) as u64,
            month,
            day: of_year - (153 * march_based + 2) / 5 + 1,
            hour: of_day / 3600,
            minute: of_day % 3600 / 60,
            second: of_day % 60,
        }
    }
}

/// The time of a `Date` field, `Thu, 26 Nov 2026 01:05:09 GMT` (RFC 9110 section 5.6.7); `None` for what
/// is none, the two obsolete forms included.
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    let words: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else {
        return None;
    };
    let month = MONTHS.iter().position(|name| name == month)?;
    civil(year, month + 1, day, time)
}

/// The time of an RFC 3339 text (section 5.6), whatever its offset; parts of a second are cut off.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let Some(local) = text.strip_suffix('Z') else {
        let at = text.len().checked_sub("+00:00".len())?;
        let (local, offset) = text.split_at_checked(at)?;
        let (east, ahead) = (offset.starts_with('+'), offset.get(1..)?);
        let (hours, minutes) = ahead.split_once(':')?;
        let ahead = hours.parse::<u64>().ok()? * 3600 + minutes.parse::<u64>().ok()? * 60;
        let local = parse_utc(local)?.unix();
        let utc = match (east, offset.starts_with('-')) {
            (true, _) => local.checked_sub(ahead)?,
            (false, true) => local + ahead,
            (false, false) => return None,
        };
        return Some(Timestamp::from_unix(utc));
    };
    parse_utc(local)
}

fn parse_utc(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once('T')?;
    let parts: Vec<&str> = date.split('-').collect();
    let [year, month, day] = parts.as_slice() else {
        return None;
    };
    let (time, _) = time.split_once('.').unwrap_or((time, ""));
    civil(year, month.parse().ok()?, day, time)
}

/// The inverse of [`Civil::of`].
fn civil(year: &str, month: usize, day: &str, time: &str) -> Option<Timestamp> {
    let clock: Vec<u64> = time
        .split(':')
        .filter_map(|part| part.parse().ok())
        .collect();
    let [hour, minute, second] = clock.as_slice() else {
        return None;
    };
    let (year, day): (u64, u64) = (year.parse().ok()?, day.parse().ok()?);
    let month = u64::try_from(month).ok()?;
    let known = (1970..=9999).contains(&year) && (1..=12).contains(&month);
    if !known || !(1..=31).contains(&day) || *hour > 23 || *minute > 59 || *second > 60 {
        return None;
    }
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400;
    let days = days + (153 * month + 2) / 5 + day - 1;
    let seconds = days.checked_sub(719_468)? * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Timestamp::from_unix(seconds))
}

/// `2026-11-26T01:05:09Z` (RFC 3339 section 5.6).
pub fn rfc3339(at: Timestamp) -> String {
    let Civil {
        year,
        month,
        day,
        hour,
        minute,
        second,
    } = Civil::of(at);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (1_795_655_109, "2026-11-26T01:05:09Z"),
            (2_147_483_648, "2038-01-19T03:14:08Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (LAST, "9999-12-31T23:59:59Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_unix(unix)), text, "{unix}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for seconds in [
            0,
            951_782_400,
            1_709_164_800,
            1_800_000_000,
            4_102_444_799,
            LAST,
        ] {
            let at = Timestamp::from_unix(seconds);
            assert_eq!(parse_rfc3339(&rfc3339(at)), Some(at), "{seconds}");
        }
        let at = |text: &str| parse_http_date(text).map(Timestamp::unix);
        assert_eq!(at("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(at("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        for text in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
        assert_eq!(
            parse_rfc3339("2026-11-26T01:05:09.123456Z")
                .map(rfc3339)
                .as_deref(),
            Some("2026-11-26T01:05:09Z")
        );
        for text in [
            "2026-11-26T02:05:09+01:00",
            "2026-11-25T20:35:09.5-04:30",
            "2026-11-26T01:05:09+00:00",
        ] {
            let read = parse_rfc3339(text).map(rfc3339);
            assert_eq!(read.as_deref(), Some("2026-11-26T01:05:09Z"), "{text}");
        }
        for text in [
            "",
            "2026-11-26 01:05:09",
            "2026-11-26T01:05:09",
            "2026-11-26T01:05:09 01:00",
            "2026-11-26T01:05:09+0100",
            "1970-01-01T00:00:00+01:00",
            "2026-11-26T01:05:0é+01:00",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
