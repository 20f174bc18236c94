//! The clock of the command-line programs: the one place in `bin` that reads it.

use std::time::{Duration, Instant, SystemTime};

/// The wall clock, as time since 1970.
#[must_use]
#[allow(clippy::disallowed_methods)]
pub fn wall() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The monotonic clock.
#[must_use]
#[allow(clippy::disallowed_methods)]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// A time since 1970 as `YYYY-MM-DD HH:MM:SS.mmm` in Coordinated Universal Time.
#[must_use]
pub fn utc_text(time: Duration) -> String {
    let (days, second) = (time.as_secs() / 86400, time.as_secs() % 86400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:03}", time.subsec_millis())
}

/// The date of a number of days since 1970: years are counted from March, so that the leap day is
/// the last one.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00.007"),
            (951_782_400, "2000-02-29 00:00:00.007"),
            (1_795_439_353, "2026-11-23 13:09:13.007"),
            (4_107_542_399, "2100-02-28 23:59:59.007"),
        ] {
            assert_eq!(utc_text(Duration::new(seconds, 7_000_000)), text);
        }
    }
}
