// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Text for people: numbers, times, and strings that may come from anywhere.

use std::borrow::Cow;

/// Characters shown of a string that has no reason to be long.
pub(crate) const LONG: usize = 240;
/// Characters shown of a command.
pub(crate) const COMMAND: usize = 4096;

const SECONDS_PER_DAY: u64 = 86_400;
/// Start of the year 10000.
const FIVE_DIGIT_YEARS: u64 = 253_402_300_800;

/// Whether a character would act on the terminal or the page instead of being shown.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// One line of `text` in which each character that acts is written as its escape.
///
/// A report is data from elsewhere: it must not move a terminal's cursor, reorder a line, or break XML.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if acts(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// `printable` text of at most `max` characters; what is cut off is counted.
pub(crate) fn shorten(text: &str, max: usize) -> Cow<'_, str> {
    let Some((end, _)) = text.char_indices().nth(max) else {
        return printable(text);
    };
    let head = text.get(..end).unwrap_or_default();
    let rest = text.get(end..).unwrap_or_default().chars().count();
    Cow::Owned(format!(
        "{}… and {}",
        printable(head),
        count(u64::try_from(rest).unwrap_or(u64::MAX), "more character")
    ))
}

/// Digits in groups of three.
pub(crate) fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number and its noun: `1 section`, `2 sections`.
pub(crate) fn count(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(value), if value == 1 { "" } else { "s" })
}

/// A duration to about three digits.
pub(crate) fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..100_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        100_000..1_000_000 => format!("{} ms", us / 1_000),
        1_000_000..60_000_000 => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
        60_000_000..3_600_000_000 => format!("{} min {:02} s", us / 60_000_000, us / 1_000_000 % 60),
        _ => format!("{} h {:02} min", thousands(us / 3_600_000_000), us / 60_000_000 % 60),
    }
}

/// Date and time in UTC of a number of seconds since the Unix epoch: `2026-01-31 12:00:00 UTC`.
pub(crate) fn date(unix: u64) -> String {
    match clock(unix) {
        Some((year, month, day, h, m, s)) => format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02} UTC"),
        None => format!("{unix} s after 1970-01-01 UTC"),
    }
}

/// Date and time as ISO 8601 has them, for machines: `2026-01-31T12:00:00Z`.
pub(crate) fn iso_date(unix: u64) -> Option<String> {
    clock(unix).map(|(year, month, day, h, m, s)| format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z"))
}

fn clock(unix: u64) -> Option<(u64, u64, u64, u64, u64, u64)> {
    (unix < FIVE_DIGIT_YEARS).then(|| {
        let (year, month, day) = civil_from_days(unix / SECONDS_PER_DAY);
        (year, month, day, unix / 3600 % 24, unix / 60 % 60, unix % 60)
    })
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
///
/// Counts in years that begin on 1 March, so that the leap day is the last one, and in eras of 400 years.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    // Days from 0000-03-01 to 1970-01-01.
    let days = days + 719_468;
    let day_of_era = days % ERA;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = days / ERA * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// Escape sequences, or none.
#[derive(Clone, Copy)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates() {
        for (unix, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_709_164_800, "2024-02-29 00:00:00 UTC"),
            (1_767_225_599, "2025-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (FIVE_DIGIT_YEARS - 1, "9999-12-31 23:59:59 UTC"),
            (FIVE_DIGIT_YEARS, "253402300800 s after 1970-01-01 UTC"),
            (u64::MAX, "18446744073709551615 s after 1970-01-01 UTC"),
        ] {
            assert_eq!(date(unix), text);
        }
        assert_eq!(iso_date(1_709_164_800).as_deref(), Some("2024-02-29T00:00:00Z"));
        assert_eq!(iso_date(FIVE_DIGIT_YEARS), None);
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..FIVE_DIGIT_YEARS / SECONDS_PER_DAY {
            assert_eq!(civil_from_days(days), (year, month, day));
            let last = match month {
                2 => 28 + u64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (year, month, day) = match (month, day == last) {
                (12, true) => (year + 1, 1, 1),
                (_, true) => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }

    #[test]
    fn durations() {
        for (us, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_200, "1.2 ms"),
            (99_999, "99.9 ms"),
            (123_456, "123 ms"),
            (1_234_567, "1.23 s"),
            (61_000_000, "1 min 01 s"),
            (3_660_000_000, "1 h 01 min"),
            (u64::MAX, "5,124,095,576 h 01 min"),
        ] {
            assert_eq!(duration(us), text);
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(count(1, "section"), "1 section");
        assert_eq!(count(0, "section"), "0 sections");
    }

    #[test]
    fn acting_characters_are_shown_not_obeyed() {
        assert_eq!(printable("a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(printable("a\u{202e}b\n"), "a\\u{202e}b\\u{a}");
        assert_eq!(printable("\u{ffff}\u{1fffe}\u{7f}"), "\\u{ffff}\\u{1fffe}\\u{7f}");
        assert_eq!(printable("naïve · ✓ שלום"), "naïve · ✓ שלום");
        assert_eq!(shorten("äöü", 2), "äö… and 1 more character");
        assert_eq!(shorten("äöü", 3), "äöü");
    }

    proptest! {
        #[test]
        fn printable_is_one_safe_line(text in any::<String>(), max in 0usize..40) {
            prop_assert!(!printable(&text).contains(acts));
            prop_assert!(!shorten(&text, max).contains(acts));
        }
    }
}
