// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Real-time clock and CMOS memory, ports 70h and 71h.
//!
//! ```text
//! 00 02 04 06 07 08 09 32   second, minute, hour, day of week, day, month, year, century, in BCD
//! 0A 0B 0C 0D               status A (80h while the time changes), B (02h: 24 hours), C, D (80h: valid)
//! 14 equipment   15 KiB of base memory   17, 30 KiB above 1 MiB   34 64 KiB above 16 MiB   5B 64 KiB above 4 GiB
//! 38, 3D boot order   5F processors - 1
//! ```
//!
//! *Motorola MC146818A*; the memory sizes are those that QEMU leaves for SeaBIOS.

use igd_quirks::facts::Extent;

use super::clock::Clock;
use super::{Device, Request};
use crate::machine::BoardInfo;

const SIZE: usize = 128;
const GIB_4: u64 = 1 << 32;

/// Real-time clock and CMOS memory.
#[derive(Debug)]
pub struct Cmos<C> {
    index: u8,
    memory: [u8; SIZE],
    clock: C,
}

/// A date and a time of day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Time {
    year: u64,
    month: u64,
    day: u64,
    weekday: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Time {
    /// The Gregorian date of this second since 1970 (H. Hinnant, *chrono-compatible low-level date algorithms*).
    const fn from_seconds(seconds: u64) -> Self {
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let of_era = shifted % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        Self {
            year: year_of_era + era * 400 + if month <= 2 { 1 } else { 0 },
            month,
            day: of_year - (153 * from_march + 2) / 5 + 1,
            // 1970-01-01 was a Thursday; Sunday is 1.
            weekday: (days + 4) % 7 + 1,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }
}

/// Two digits as binary-coded decimal.
fn bcd(value: u64) -> u8 {
    u8::try_from(value / 10 % 10 * 16 + value % 10).unwrap_or(0)
}

impl<C: Clock> Cmos<C> {
    /// The memory of a board.
    pub fn new(board: &BoardInfo, clock: C) -> Self {
        let sum = |parts: &mut dyn Iterator<Item = u64>| parts.fold(0, u64::saturating_add);
        let below = |extent: &Extent| extent.end().min(GIB_4).saturating_sub(extent.start);
        let low = sum(&mut board.ram.iter().filter(|part| part.start < GIB_4).map(below));
        let high = sum(&mut board.ram.iter().filter(|part| part.start >= GIB_4).map(|part| part.len));
        let extended = (low.saturating_sub(1 << 20) >> 10).min(0xffff);
        let above_16m = (low.saturating_sub(16 << 20) >> 16).min(0xffff);
        let above_4g = (high >> 16).min(0xff_ffff);
        let mut memory = [0; SIZE];
        let fields: [(usize, u64, usize); 9] = [
            // Processor with a coprocessor, a mouse.
            (0x14, 0x06, 1),
            (0x15, 640, 2),
            (0x17, extended, 2),
            (0x30, extended, 2),
            (0x34, above_16m, 2),
            (0x5b, above_4g, 3),
            (0x5f, u64::from(board.cpus.saturating_sub(1)), 1),
            // Hard disk, then CD.
            (0x38, 0x30, 1),
            (0x3d, 0x32, 1),
        ];
        for (at, value, len) in fields {
            let bytes = value.to_le_bytes();
            for (to, from) in memory.iter_mut().skip(at).zip(bytes).take(len) {
                *to = from;
            }
        }
        Self {
            index: 0,
            memory,
            clock,
        }
    }

    fn register(&self) -> u8 {
        let time = || Time::from_seconds(self.clock.seconds());
        match self.index {
            0x00 => bcd(time().second),
            0x02 => bcd(time().minute),
            0x04 => bcd(time().hour),
            0x06 => bcd(time().weekday),
            0x07 => bcd(time().day),
            0x08 => bcd(time().month),
            0x09 => bcd(time().year % 100),
            0x32 => bcd(time().year / 100),
            0x0a => self.byte() & 0x7f | self.changing(),
            0x0b => self.byte() | 0x02,
            0x0c => 0,
            0x0d => 0x80,
            _ => self.byte(),
        }
    }

    fn byte(&self) -> u8 {
        self.memory.get(usize::from(self.index)).copied().unwrap_or(0xff)
    }

    /// Set in the last 244 us of a second, which firmware waits for before it reads the time.
    fn changing(&self) -> u8 {
        let within = self.clock.elapsed().subsec_micros();
        if within >= 1_000_000 - 244 { 0x80 } else { 0 }
    }
}

impl<C: Clock> Device for Cmos<C> {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        if let [value] = data
            && offset == 1
        {
            *value = self.register();
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Option<Request> {
        match (offset, data.first()) {
            // Bit 7 gates the non-maskable interrupt, which nobody raises.
            (0, Some(index)) => self.index = index & 0x7f,
            (1, Some(value)) if !matches!(self.index, 0x0c | 0x0d) => {
                if let Some(byte) = self.memory.get_mut(usize::from(self.index)) {
                    *byte = *value;
                }
            }
            _ => {}
        }
        None
    }

    fn reset(&mut self) {
        self.index = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::BoardKind;
    use std::time::Duration;

    #[derive(Debug)]
    struct Fixed(u64);

    impl Clock for Fixed {
        fn elapsed(&self) -> Duration {
            Duration::from_micros(999_900)
        }

        fn seconds(&self) -> u64 {
            self.0
        }
    }

    fn cmos(seconds: u64) -> Cmos<Fixed> {
        let board = BoardInfo {
            kind: BoardKind::Pc,
            ram: vec![Extent::new(0, 0x8000_0000), Extent::new(1 << 32, 3 << 30)],
            cpus: 4,
        };
        Cmos::new(&board, Fixed(seconds))
    }

    fn read(cmos: &mut Cmos<Fixed>, index: u8) -> u8 {
        let mut value = [0];
        assert_eq!(cmos.write(0, &[index]), None);
        cmos.read(1, &mut value);
        value[0]
    }

    #[test]
    fn the_time_is_the_clocks() {
        // 2024-02-29 12:34:56 UTC, a Thursday.
        let mut cmos = cmos(1_709_210_096);
        let time = [0x32, 0x09, 0x08, 0x07, 0x06, 0x04, 0x02, 0x00].map(|index| read(&mut cmos, index));
        assert_eq!(time, [0x20, 0x24, 0x02, 0x29, 0x05, 0x12, 0x34, 0x56]);
        assert_eq!(read(&mut cmos, 0x0a) & 0x80, 0x80, "the second is about to change");
        assert_eq!(read(&mut cmos, 0x0d), 0x80);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let date = |seconds| {
            let time = Time::from_seconds(seconds);
            (time.year, time.month, time.day, time.weekday)
        };
        assert_eq!(date(0), (1970, 1, 1, 5));
        assert_eq!(date(951_782_400), (2000, 2, 29, 3));
        assert_eq!(date(4_107_542_400), (2100, 3, 1, 2));
    }

    #[test]
    fn the_memory_is_the_boards() {
        let mut cmos = cmos(0);
        let word = |cmos: &mut Cmos<Fixed>, at| u16::from_le_bytes([read(cmos, at), read(cmos, at + 1)]);
        assert_eq!(word(&mut cmos, 0x15), 640);
        assert_eq!(word(&mut cmos, 0x30), 0xffff);
        assert_eq!(word(&mut cmos, 0x34), 0x7f00);
        assert_eq!(word(&mut cmos, 0x5b), 0xc000);
        assert_eq!(read(&mut cmos, 0x5f), 3);
    }

    #[test]
    fn bytes_are_kept_and_any_access_is_safe() {
        let mut cmos = cmos(0);
        assert_eq!(cmos.write(0, &[0x80 | 0x7f]), None);
        assert_eq!(cmos.write(1, &[0x55]), None);
        assert_eq!(read(&mut cmos, 0x7f), 0x55);
        let mut wide = [0; 4];
        cmos.read(1, &mut wide);
        assert_eq!(wide, [0xff; 4]);
        assert_eq!(cmos.write(7, &[]), None);
    }
}
