// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The ACPI registers of PIIX4 and ICH9, and the APM ports B2h and B3h.
//!
//! ```text
//! 00 PM1 status   02 PM1 enable   04 PM1 control (0 SCI_EN, 12:10 SLP_TYP, 13 SLP_EN)   08 PM timer, 3.579545 MHz
//! 20 GPE0 (ICH9)   30 SMI_EN (ICH9; bit 5 set: there is no system management mode to set up)   34 SMI_STS
//! ```
//!
//! *Advanced Configuration and Power Interface* 6.5, section 4.8. Nothing raises the SCI: no button is pressed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::clock::Clock;
use super::{Device, Request};

const PM1_STATUS: u64 = 0x00;
const PM1_ENABLE: u64 = 0x02;
const PM1_CONTROL: u64 = 0x04;
const TIMER: u64 = 0x08;
const SMI_ENABLE: u64 = 0x30;
const SIZE: usize = 0x40;

const SLEEP: u16 = 1 << 13;
const SLEEP_TYPE: u16 = 7 << 10;
/// `SLP_TYP` of S5, soft off, as the firmware tables say.
pub const S5: u16 = 0;
const APM_ENABLED: u32 = 1 << 5;
const TIMER_HZ: u128 = 3_579_545;
const TIMER_MASK: u128 = 0xff_ffff;

/// Commands at port B2h with which an operating system takes ACPI over, and gives it back.
pub const ACPI_ENABLE: u8 = 0xf1;
/// See [`ACPI_ENABLE`].
pub const ACPI_DISABLE: u8 = 0xf0;

/// The ACPI registers.
#[derive(Debug)]
pub struct AcpiPm<C> {
    registers: [u8; SIZE],
    has_sci: Arc<AtomicBool>,
    clock: C,
}

/// The ports B2h and B3h.
#[derive(Debug)]
pub struct Apm {
    command: u8,
    status: u8,
    has_sci: Arc<AtomicBool>,
}

impl<C: Clock> AcpiPm<C> {
    /// The registers, and the ports that enable them.
    pub fn new(clock: C) -> (Self, Apm) {
        let has_sci = Arc::new(AtomicBool::new(false));
        let mut pm = Self {
            registers: [0; SIZE],
            has_sci: Arc::clone(&has_sci),
            clock,
        };
        pm.reset();
        let apm = Apm {
            command: 0,
            status: 0,
            has_sci,
        };
        (pm, apm)
    }

    fn ticks(&self) -> u32 {
        let ticks = self.clock.elapsed().as_nanos() * TIMER_HZ / 1_000_000_000;
        u32::try_from(ticks & TIMER_MASK).unwrap_or(0)
    }

    fn word(&self, at: u64) -> u16 {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = self.registers.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.copied().map_or(0, u16::from_le_bytes)
    }
}

impl<C: Clock> Device for AcpiPm<C> {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        let sci = u8::from(self.has_sci.load(Ordering::Relaxed));
        let timer = self.ticks().to_le_bytes();
        for (at, byte) in (offset..).zip(data) {
            *byte = match at {
                PM1_CONTROL => self.word(at).to_le_bytes()[0] & !1 | sci,
                TIMER..0x0c => usize::try_from(at - TIMER)
                    .ok()
                    .and_then(|lane| timer.get(lane))
                    .copied()
                    .unwrap_or(0),
                _ => usize::try_from(at)
                    .ok()
                    .and_then(|at| self.registers.get(at))
                    .copied()
                    .unwrap_or(0),
            };
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Option<Request> {
        for (at, value) in (offset..).zip(data) {
            let writable = match at {
                // Bits of status are cleared by writing ones; none is ever set.
                PM1_STATUS..PM1_ENABLE | TIMER..0x0c => 0,
                PM1_ENABLE..PM1_CONTROL => 0xff,
                PM1_CONTROL => 0xfe,
                // SLP_EN reads zero.
                0x05 => !0x20,
                SMI_ENABLE..0x38 => 0,
                _ => 0xff,
            };
            let byte = usize::try_from(at).ok().and_then(|at| self.registers.get_mut(at));
            if let Some(byte) = byte {
                *byte = *byte & !writable | value & writable;
            }
        }
        let covers = |at: u64| {
            at.checked_sub(offset)
                .and_then(|at| data.get(usize::try_from(at).ok()?))
        };
        let asked = covers(PM1_CONTROL + 1).map(|high| u16::from(*high) << 8)?;
        (asked & SLEEP != 0 && asked & SLEEP_TYPE == S5 << 10).then_some(Request::PowerOff)
    }

    fn reset(&mut self) {
        self.registers = [0; SIZE];
        self.has_sci.store(false, Ordering::Relaxed);
        let at = usize::try_from(SMI_ENABLE).unwrap_or(0);
        for (to, from) in self.registers.iter_mut().skip(at).zip(APM_ENABLED.to_le_bytes()) {
            *to = from;
        }
    }
}

impl Device for Apm {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if let Some(first) = data.first_mut() {
            *first = if offset == 0 { self.command } else { self.status };
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Option<Request> {
        for (at, value) in (offset..2).zip(data) {
            if at == 1 {
                self.status = *value;
                continue;
            }
            self.command = *value;
            match *value {
                ACPI_ENABLE => self.has_sci.store(true, Ordering::Relaxed),
                ACPI_DISABLE => self.has_sci.store(false, Ordering::Relaxed),
                _ => {}
            }
        }
        None
    }

    fn reset(&mut self) {
        (self.command, self.status) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[derive(Debug)]
    struct Fixed(Duration);

    impl Clock for Fixed {
        fn elapsed(&self) -> Duration {
            self.0
        }

        fn seconds(&self) -> u64 {
            0
        }
    }

    fn read(device: &mut impl Device, offset: u64, len: usize) -> u32 {
        let mut bytes = [0; 4];
        device.read(offset, &mut bytes[..len]);
        u32::from_le_bytes(bytes)
    }

    #[test]
    fn the_timer_counts_and_wraps() {
        let at = |nanos| {
            let (mut pm, _) = AcpiPm::new(Fixed(Duration::from_nanos(nanos)));
            read(&mut pm, TIMER, 4)
        };
        assert_eq!(at(0), 0);
        assert_eq!(at(1_000_000_000), 3_579_545);
        assert_eq!(at(5_000_000_000), 5 * 3_579_545 - (1 << 24));
        let (mut pm, _) = AcpiPm::new(Fixed(Duration::from_secs(1)));
        assert_eq!(read(&mut pm, TIMER + 1, 1), 3_579_545 >> 8 & 0xff);
    }

    #[test]
    fn s5_turns_the_machine_off_and_nothing_else_does() {
        let (mut pm, _) = AcpiPm::new(Fixed(Duration::ZERO));
        assert_eq!(pm.write(PM1_CONTROL, &[0x00, 0x04 | 0x20]), None, "S1");
        assert_eq!(pm.write(PM1_CONTROL, &[0x01, 0x00]), None);
        assert_eq!(pm.write(PM1_CONTROL, &[0x00, 0x20]), Some(Request::PowerOff));
        assert_eq!(pm.write(PM1_CONTROL + 1, &[0x20]), Some(Request::PowerOff));
        assert_eq!(read(&mut pm, PM1_CONTROL, 2) & u32::from(SLEEP), 0);
    }

    #[test]
    fn acpi_is_enabled_through_the_command_port() {
        let (mut pm, mut apm) = AcpiPm::new(Fixed(Duration::ZERO));
        assert_eq!(read(&mut pm, PM1_CONTROL, 2), 0);
        assert_eq!(apm.write(0, &[ACPI_ENABLE]), None);
        assert_eq!(read(&mut pm, PM1_CONTROL, 2), 1);
        assert_eq!(pm.write(PM1_CONTROL, &[0, 0]), None);
        assert_eq!(read(&mut pm, PM1_CONTROL, 2), 1, "only the port changes it");
        pm.reset();
        assert_eq!(read(&mut pm, PM1_CONTROL, 2), 0);
        assert_eq!(apm.write(1, &[0x5a]), None);
        assert_eq!(read(&mut apm, 1, 1), 0x5a);
    }

    #[test]
    fn firmware_finds_system_management_set_up() {
        let (mut pm, _) = AcpiPm::new(Fixed(Duration::ZERO));
        assert_eq!(pm.write(SMI_ENABLE, &[0; 4]), None);
        assert_eq!(read(&mut pm, SMI_ENABLE, 4), APM_ENABLED);
    }
}
