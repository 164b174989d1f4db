// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The ways to configuration space: ports 0xCF8 to 0xCFF and the memory-mapped window, on a bus of several functions.
//!
//! Input: a header of two bytes (rules and chipset, number of the bus), then steps of ten bytes. The functions are plain
//! storage, so that a byte that goes astray is seen.

mod naive;

use std::fmt;
use std::sync::LazyLock;

use pci_model::{
    Bdf, Bus, ConfigAccess, ConfigMechanism, ConfigMechanismStateV1, ConfigRouter, Ecam, PortEffects, ResetControl,
    Rules, Width,
};

use crate::{Target, records};
use naive::{Done, Naive, Storage};

/// The target.
pub const TARGET: Target = Target {
    name: "config_mechanism",
    package: "pci-model",
    summary: "both configuration mechanisms on a bus, against a naive decoder",
    run,
    describe,
    seeds,
};

const HEADER: usize = 2;
const STEP: usize = 10;
const RULES: [Rules; 3] = [Rules::Specification, Rules::Qemu11, Rules::Qemu7];

/// Device and function numbers and sizes. Device 5 has no function 0, device 2 has a second one.
const FUNCTIONS: [(u8, u16); 6] = [
    (0x00, 256),
    (2 << 3, 4096),
    (2 << 3 | 1, 256),
    (5 << 3 | 2, 256),
    (0x1f << 3, 256),
    (0x1f << 3 | 7, 4096),
];

type Buses = Bus<Storage, 6>;

static STORAGE: LazyLock<Vec<(u8, Storage)>> = LazyLock::new(|| {
    FUNCTIONS
        .map(|(devfn, size)| (devfn, Storage::new(devfn, size)))
        .to_vec()
});

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    PortRead {
        offset: u16,
        len: usize,
    },
    PortWrite {
        offset: u16,
        len: usize,
        value: u32,
    },
    /// Leads the data ports to a register of a function, mostly one that is there.
    Aim {
        address: u32,
    },
    EcamRead {
        offset: u64,
        len: usize,
    },
    EcamWrite {
        offset: u64,
        len: usize,
        value: u32,
    },
    /// Reads a dword both ways.
    BothWays {
        bdf: Bdf,
        register: u8,
    },
    Remove {
        devfn: u8,
    },
    Insert {
        devfn: u8,
    },
    Reset,
    SaveAndRestore,
    RestoreOther {
        address: u32,
        reset_control: u8,
    },
}

/// The bytes of a write of up to eight: the value, then its complement.
fn bytes_of(value: u32) -> [u8; 8] {
    (u64::from(!value) << 32 | u64::from(value)).to_le_bytes()
}

impl Step {
    fn decode([what, len, a, b, c, d, value @ ..]: [u8; STEP], bus: u8) -> Self {
        let value = u32::from_le_bytes(value);
        let len = match len % 16 {
            len @ 0..9 => usize::from(len),
            9..11 => 1,
            11..13 => 2,
            _ => 4,
        };
        // Most places are in functions that there are.
        let devfn = FUNCTIONS.get(usize::from(c)).map_or(c, |(devfn, _)| *devfn);
        let bus = if d < 0xe0 { bus } else { d & 0xf };
        let bdf = Bdf::from_bits(u16::from_be_bytes([bus, devfn]));
        let port = u16::from(a % 10);
        let beyond = if d == 0xff { 1 << 28 } else { 0 };
        let offset = u64::from(bdf.to_bits()) << 12 | u64::from(b & 0x0f) << 8 | u64::from(a) | beyond;
        match what % 18 {
            0..3 => Self::PortRead { offset: port, len },
            3..7 => Self::PortWrite {
                offset: port,
                len,
                value,
            },
            7..9 => Self::Aim {
                address: u32::from(b | 0x80) << 24 | u32::from(bdf.to_bits()) << 8 | u32::from(a),
            },
            9..11 => Self::EcamRead { offset, len },
            11..13 => Self::EcamWrite { offset, len, value },
            13 => Self::BothWays {
                bdf,
                register: a & 0xfc,
            },
            14 if a % 2 == 0 => Self::Remove { devfn },
            14 => Self::Insert { devfn },
            15 => Self::Reset,
            16 => Self::SaveAndRestore,
            _ => Self::RestoreOther {
                address: value,
                reset_control: a,
            },
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::PortRead { offset, len } => write!(f, "r io {:#x} {len}", 0xcf8 + offset),
            Self::PortWrite { offset, len, value } => {
                write!(
                    f,
                    "w io {:#x} {len} {:02x?}",
                    0xcf8 + offset,
                    bytes_of(value).get(..len).unwrap_or(&[])
                )
            }
            Self::Aim { address } => write!(f, "w io 0xcf8 4 {address:#010x}"),
            Self::EcamRead { offset, len } => write!(f, "r ecam {offset:#x} {len}"),
            Self::EcamWrite { offset, len, value } => {
                write!(
                    f,
                    "w ecam {offset:#x} {len} {:02x?}",
                    bytes_of(value).get(..len).unwrap_or(&[])
                )
            }
            Self::BothWays { bdf, register } => write!(f, "both ways {bdf} register {register:#04x}"),
            Self::Remove { devfn } => write!(f, "remove {:02x}.{}", devfn >> 3, devfn & 7),
            Self::Insert { devfn } => write!(f, "insert {:02x}.{}", devfn >> 3, devfn & 7),
            Self::Reset => f.write_str("reset"),
            Self::SaveAndRestore => f.write_str("save, restore into a new one"),
            Self::RestoreOther { address, reset_control } => {
                write!(f, "restore address {address:#010x}, reset control {reset_control:#04x}")
            }
        }
    }
}

struct Machine {
    chipset: ResetControl,
    ports: ConfigMechanism,
    ecam: Ecam,
    bus: Buses,
    naive: Naive,
}

impl Machine {
    fn new([rules, number]: [u8; HEADER]) -> Self {
        let ich9 = rules & 0x80 != 0;
        let chipset = if ich9 { ResetControl::Ich9 } else { ResetControl::Piix3 };
        let rules = RULES.get(usize::from(rules & 0x7f) % 3).copied().unwrap_or_default();
        let mut bus = Buses::new(number);
        for (devfn, function) in STORAGE.iter() {
            let bdf = Bdf::from_bits(u16::from_be_bytes([number, *devfn]));
            let inserted = bus.insert(bdf, function.clone());
            assert_eq!(inserted, Ok(()), "{bdf} is put on bus {number:#x}");
        }
        Self {
            chipset,
            ports: ConfigMechanism::new(chipset, rules),
            ecam: Ecam::new(rules),
            bus,
            naive: Naive {
                rules,
                ich9,
                bus: number,
                functions: STORAGE.clone(),
                address: 0,
                reset_control: 0,
            },
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::PortRead { offset, len } => {
                let mut data = vec![0x5c; len];
                self.ports.port_read(offset, &mut data, &mut self.bus);
                assert_eq!(data, self.naive.port_read(offset.into(), len), "{step}");
            }
            Step::PortWrite { offset, len, value } => {
                let bytes = bytes_of(value);
                let data = bytes.get(..len).unwrap_or(&bytes);
                let done = self.ports.port_write(offset, data, &mut self.bus);
                check_done(done, self.naive.port_write(offset.into(), data), step);
            }
            Step::Aim { address } => {
                let data = address.to_le_bytes();
                let done = self.ports.port_write(0, &data, &mut self.bus);
                check_done(done, self.naive.port_write(0, &data), step);
            }
            Step::EcamRead { offset, len } => {
                let mut data = vec![0x5c; len];
                self.ecam.read(offset, &mut data, &mut self.bus);
                assert_eq!(data, self.naive.ecam_read(offset, len), "{step}");
            }
            Step::EcamWrite { offset, len, value } => {
                let bytes = bytes_of(value);
                let data = bytes.get(..len).unwrap_or(&bytes);
                let done = self.ecam.write(offset, data, &mut self.bus);
                check_done(done, self.naive.ecam_write(offset, data), step);
            }
            Step::BothWays { bdf, register } => {
                let address = 1 << 31 | u32::from(bdf.to_bits()) << 8 | u32::from(register);
                let mut ports = ConfigMechanism::new(self.chipset, self.naive.rules);
                let _ = ports.port_write(0, &address.to_le_bytes(), &mut self.bus);
                let (mut one, mut other) = ([0; 4], [0; 4]);
                ports.port_read(4, &mut one, &mut self.bus);
                let offset = u64::from(bdf.to_bits()) << 12 | u64::from(register);
                self.ecam.read(offset, &mut other, &mut self.bus);
                assert_eq!(one, other, "{step}: by ports and by the window");
            }
            Step::Remove { devfn } => self.remove(devfn, step),
            Step::Insert { devfn } => self.insert(devfn, step),
            Step::Reset => {
                self.ports.reset();
                self.naive.reset_control = 0;
                if self.naive.rules == Rules::Specification {
                    self.naive.address = 0;
                }
            }
            Step::SaveAndRestore => {
                let mut other = ConfigMechanism::new(self.chipset, self.naive.rules);
                other.restore(&self.ports.state());
                assert_eq!(other, self.ports, "{step}");
                self.ports = other;
            }
            Step::RestoreOther { address, reset_control } => {
                self.ports.restore(&ConfigMechanismStateV1 { address, reset_control });
                // What a guest cannot write, it finds not either.
                let _ = self.naive.port_write(0, &address.to_le_bytes());
                let _ = self.naive.port_write(1, &[reset_control & !4]);
            }
        }
        let expected = ConfigMechanismStateV1 {
            address: self.naive.address,
            reset_control: self.naive.reset_control,
        };
        assert_eq!(
            self.ports.state(),
            expected,
            "after {step}: CONFIG_ADDRESS and reset control"
        );
        for (devfn, function) in &self.naive.functions {
            let bdf = self.bdf(*devfn);
            assert!(
                self.bus.get(bdf) == Some(function),
                "after {step}: bytes of {bdf} differ"
            );
        }
    }

    fn bdf(&self, devfn: u8) -> Bdf {
        Bdf::from_bits(u16::from_be_bytes([self.naive.bus, devfn]))
    }

    fn remove(&mut self, devfn: u8, step: Step) {
        let bdf = self.bdf(devfn);
        let place = self.naive.functions.iter().position(|(held, _)| *held == devfn);
        let expected = place.map(|place| self.naive.functions.remove(place).1);
        assert!(
            self.bus.remove(bdf) == expected,
            "{step}: another function than the one that was there"
        );
        let first = ConfigAccess::new(0, Width::Dword).and_then(|at| self.bus.config_read(bdf, at));
        assert_eq!(first, None, "{step}: it still answers");
    }

    fn insert(&mut self, devfn: u8, step: Step) {
        let function = Storage::new(!devfn, 256);
        let taken = self.naive.functions.iter().any(|(held, _)| *held == devfn);
        let full = self.naive.functions.len() == FUNCTIONS.len();
        let inserted = self.bus.insert(self.bdf(devfn), function.clone());
        assert_eq!(inserted.is_ok(), !taken && !full, "{step}: {inserted:?}");
        if inserted.is_ok() {
            self.naive.functions.push((devfn, function));
        }
    }
}

fn check_done(done: PortEffects, (bdf, effects): Done, step: Step) {
    let PortEffects {
        function,
        effects: found,
    } = done;
    assert_eq!(
        function,
        bdf.map(Bdf::from_bits),
        "{step}: the function that was written"
    );
    assert_eq!(found, effects, "{step}: effects");
}

/// Runs one input.
///
/// # Panics
///
/// An access ends elsewhere than the naive decoder says.
pub fn run(data: &[u8]) {
    let (header, records) = records::split::<HEADER, STEP>(data);
    let mut machine = Machine::new(header);
    let [_, bus] = header;
    for record in records {
        machine.step(Step::decode(record, bus));
    }
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let (header, records) = records::split::<HEADER, STEP>(data);
    let [rules, bus] = header;
    let chipset = if rules & 0x80 != 0 { "ICH9" } else { "PIIX3" };
    let rules = RULES.get(usize::from(rules & 0x7f) % 3);
    let head = format!("{:?}, {chipset}, bus {bus:#04x}", rules.copied().unwrap_or_default());
    records::lines(&head, records.map(|record| Step::decode(record, bus).to_string()))
}

/// Inputs to start from: under each rule a walk through ports, windows and their edges.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    const READ: u8 = 0;
    const WRITE: u8 = 3;
    const AIM: u8 = 7;
    const ECAM_READ: u8 = 9;
    const ECAM_WRITE: u8 = 11;
    let lanes: [[u8; STEP]; 9] = [
        [AIM, 0, 0x10, 0, 1, 0, 0, 0, 0, 0],
        [WRITE, 4, 4, 0, 0, 0, 0x78, 0x56, 0x34, 0x12],
        [READ, 4, 4, 0, 0, 0, 0, 0, 0, 0],
        [WRITE, 1, 6, 0, 0, 0, 0xaa, 0, 0, 0],
        [READ, 2, 6, 0, 0, 0, 0, 0, 0, 0],
        [READ, 2, 5, 0, 0, 0, 0, 0, 0, 0],
        [READ, 8, 0, 0, 0, 0, 0, 0, 0, 0],
        [AIM, 0, 0x0c, 0, 1, 0, 0, 0, 0, 0],
        [READ, 1, 6, 0, 0, 0, 0, 0, 0, 0],
    ];
    let latch: [[u8; STEP]; 8] = [
        [AIM, 0, 0xff, 0x7f, 4, 0, 0, 0, 0, 0],
        [READ, 4, 0, 0, 0, 0, 0, 0, 0, 0],
        [READ, 1, 2, 0, 0, 0, 0, 0, 0, 0],
        [READ, 4, 4, 0, 0, 0, 0, 0, 0, 0],
        [WRITE, 2, 1, 0, 0, 0, 0x0a, 0, 0, 0],
        [WRITE, 1, 1, 0, 0, 0, 0x0e, 0, 0, 0],
        [16, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [15, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    let window: [[u8; STEP]; 8] = [
        [ECAM_READ, 4, 0x00, 0, 1, 0, 0, 0, 0, 0],
        [ECAM_WRITE, 8, 0xfc, 0xf, 1, 0, 1, 2, 3, 4],
        [ECAM_WRITE, 4, 0x00, 1, 2, 0, 1, 2, 3, 4],
        [ECAM_READ, 4, 0xff, 0, 2, 0, 0, 0, 0, 0],
        [ECAM_READ, 4, 0x00, 0, 0x33, 0, 0, 0, 0, 0],
        [13, 0, 0x0c, 0, 1, 0, 0, 0, 0, 0],
        [14, 0, 0, 0, 2, 0, 0, 0, 0, 0],
        [13, 0, 0x0c, 0, 1, 0, 0, 0, 0, 0],
    ];
    let mut seeds = Vec::new();
    for (name, steps) in [("lanes", &lanes[..]), ("latch", &latch), ("window", &window)] {
        for rules in [0, 1, 2, 0x80, 0x81, 0x82] {
            seeds.push((format!("{name}-{rules:02x}"), records::join(&[rules, 0], steps)));
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_run_and_read_well() {
        let seeds = seeds();
        for (name, seed) in &seeds {
            println!("{name}");
            run(seed);
        }
        let text = describe(&seeds[0].1);
        let head = "Specification, PIIX3, bus 0x00\n  0  w io 0xcf8 4 0x80001010\n  1  w io 0xcfc 4 [78, 56, 34, 12]\n";
        assert!(text.starts_with(head), "{text}");
    }

    #[test]
    fn random_inputs_run() {
        crate::util::exercise(&TARGET, 8000);
    }
}
