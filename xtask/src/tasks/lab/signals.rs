// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A guest that has the device interrupt it and reach its memory: MSI through an irqfd, DMA through the IOMMU.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::oracle::asm::{Asm, Width};

const DEVICE: u8 = 2 << 3;
const BAR0: u32 = 0xe000_0000;
/// The page of BAR0 that makes `igd-sim` act by itself.
const PAGE: u32 = BAR0 + 0x7f_f000;
const MAGIC: u32 = 0x1abf_ee1d;
/// The capability of a Kaby Lake.
const MSI: u8 = 0xac;
/// The processor's interrupt controller, and the word of its requests that has the vector.
const APIC: u32 = 0xfee0_0000;
const SPURIOUS: u32 = APIC + 0xf0;
const VECTOR: u32 = 0x41;
const REQUESTS: u32 = APIC + 0x200 + VECTOR / 32 * 0x10;
const BIT: u32 = 1 << (VECTOR % 32);
/// Memory for the device, and how much.
const BUFFER: u32 = 0x20_0000;
const LEN: u32 = 0x3000;
/// How often the controller is asked: seconds of a guest in a machine that is emulated.
const TRIES: u32 = 50_000;

/// What is asked, in the order of the answers, and what has to come.
const ANSWERS: &[(&str, u32)] = &[
    ("the page of BAR0", MAGIC),
    ("interrupts before one is raised", 0),
    ("interrupts after MSI is raised", BIT),
    ("status of the transfer to memory", 0),
    ("first bytes in memory", 0x0302_0100),
    ("last bytes in memory", 0xfffe_fdfc),
    ("the bytes behind", 0),
    ("status of the transfer from memory", 0),
    ("status of a transfer to where no memory is", 1),
];

/// The firmware.
pub(super) fn image() -> Result<Vec<u8>> {
    let mut asm = Asm::new();
    asm.config_write(DEVICE, 0x10, Width::Dword, BAR0)
        .config_write(DEVICE, 0x14, Width::Dword, 0)
        .config_write(DEVICE, 0x04, Width::Word, 6)
        .memory_write(SPURIOUS, Width::Dword, 0x1ff)
        .config_write(DEVICE, MSI + 4, Width::Dword, APIC)
        .config_write(DEVICE, MSI + 8, Width::Word, VECTOR)
        .config_write(DEVICE, MSI + 2, Width::Word, 1);
    asm.memory_read(PAGE + 0x1c, Width::Dword)
        .memory_read(REQUESTS, Width::Dword)
        .memory_write(PAGE, Width::Dword, 1)
        .await_bits(REQUESTS, BIT, TRIES)
        .memory_read(REQUESTS, Width::Dword);
    let transfer = |asm: &mut Asm, address: u32, start: u32| {
        asm.memory_write(PAGE + 0x08, Width::Dword, address)
            .memory_write(PAGE + 0x0c, Width::Dword, 0)
            .memory_write(PAGE + 0x10, Width::Dword, LEN)
            .memory_write(PAGE + 0x14, Width::Dword, start)
            .memory_read(PAGE + 0x18, Width::Dword);
    };
    transfer(&mut asm, BUFFER, 1);
    for address in [BUFFER, BUFFER + LEN - 4, BUFFER + LEN] {
        asm.memory_read(address, Width::Dword);
    }
    transfer(&mut asm, BUFFER, 2);
    transfer(&mut asm, 0xd000_0000, 1);
    asm.flush();
    asm.build()
}

/// Which answers are not as they have to be.
pub(super) fn failures(folder: &Path) -> Vec<String> {
    let written = fs::read(folder.join("log")).unwrap_or_default();
    let (words, rest) = written.as_chunks::<4>();
    if words.len() != ANSWERS.len() || !rest.is_empty() {
        return vec![format!(
            "{} bytes of {} came from the guest",
            written.len(),
            4 * ANSWERS.len()
        )];
    }
    let answers = words.iter().map(|word| u32::from_le_bytes(*word)).zip(ANSWERS);
    let wrong = answers.filter(|(found, (_, expected))| found != expected);
    wrong
        .map(|(found, (name, expected))| format!("{name}: {found:#x} instead of {expected:#x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_counts() {
        assert_eq!(image().unwrap().len(), 0x1_0000);
        let folder = std::env::temp_dir().join(format!("lab-signals-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut words: Vec<u32> = ANSWERS.iter().map(|(_, expected)| *expected).collect();
        let found = |words: &[u32]| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            fs::write(folder.join("log"), bytes).unwrap();
            failures(&folder)
        };
        assert_eq!(found(&words), [""; 0]);
        words[2] = 0;
        assert_eq!(found(&words), ["interrupts after MSI is raised: 0x0 instead of 0x2"]);
        words.pop();
        assert_eq!(found(&words), ["32 bytes of 36 came from the guest"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
