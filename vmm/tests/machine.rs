// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Tiny firmwares under KVM, with a simulated device at 00:02.0. Without `/dev/kvm` the tests count as ignored.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "common/guest.rs"]
mod guest;
#[path = "common/vanishing.rs"]
mod vanishing;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use guest::{Guest, OK};
use igd_quirks::facts::Firmware;
use igd_quirks::plan::{Provisioning, plan};
use igd_quirks::policy::Policy;
use igd_sim::Profile;
use igd_vmm::backend::HostDevice;
use igd_vmm::backend::sim::SimHost;
use igd_vmm::machine::{BoardKind, Boot, End, Hypervisor, Machine, MachineOptions, Outcome, Output};
use igd_vmm::probe::probe;
use libtest_mimic::{Arguments, Trial};
use vanishing::Vanishing;
use vmm_sys_util::eventfd::EventFd;

/// 00:02.0
const IGD: u8 = 0x10;
const BAR0: u32 = 0xe000_0000;
const BAR2: u32 = 0xd000_0000;
const MEMORY: u32 = 2;

fn host() -> Arc<dyn HostDevice> {
    let profile = *Profile::by_name("kbl").unwrap();
    let mut options = igd_sim::Options::default();
    options.shared = true;
    Arc::new(SimHost::new(profile, &options).unwrap())
}

fn machine(kind: BoardKind, cpus: u8, image: Vec<u8>, device: Arc<dyn HostDevice>) -> Machine {
    machine_with(kind, cpus, image, device, Output::None)
}

fn machine_with(kind: BoardKind, cpus: u8, image: Vec<u8>, device: Arc<dyn HostDevice>, serial: Output) -> Machine {
    let options = MachineOptions {
        kind,
        memory: 64 << 20,
        cpus,
        boot: Boot::Firmware {
            image,
            kind: Firmware::SeaBios,
        },
        serial,
        debug_console: Output::None,
    };
    let facts = probe(&*device, options.facts(&*device)).unwrap();
    let wishes = "vfio-pci,host=00:02.0,addr=0x2".parse().unwrap();
    let plan = plan(&facts, &wishes, Policy::Native, Provisioning::FwCfg).unwrap();
    Machine::new(Hypervisor::new().unwrap(), options, &plan, &facts, device, None).unwrap()
}

fn run_for(image: Vec<u8>, limit: Duration) -> Outcome {
    let machine = machine(BoardKind::Pc, 1, image, host());
    machine.run(&EventFd::new(0).unwrap(), Some(limit)).unwrap()
}

/// Runs a firmware to its end, which has to be the good one.
fn run(guest: &mut Guest) -> Outcome {
    let outcome = run_for(guest.build(), Duration::from_secs(20));
    assert_eq!(outcome.end, End::Exit(OK), "{:?}", outcome.status);
    outcome
}

fn bar_accesses(outcome: &Outcome) -> u64 {
    let found = outcome.status.accesses.iter().find(|(name, _)| *name == "bars");
    found.unwrap().1
}

/// A firmware with both BARs placed and decoded.
fn placed() -> Guest {
    let mut guest = Guest::new();
    guest
        .config_write(IGD, 0x10, BAR0)
        .config_write(IGD, 0x14, 0)
        .config_write(IGD, 0x18, BAR2)
        .config_write(IGD, 0x1c, 0)
        .config_write(IGD, 0x04, MEMORY);
    guest
}

/// Memory of BAR0 in the middle of the second half, and of BAR2: no page of a register that answers.
const PLAIN: [u32; 2] = [0x00c0_0000, 0x0012_3000];

fn accesses_to_bars_do_not_exit() {
    let outcome = run(placed().repeat(2000, |guest| {
        for addr in [BAR0 + PLAIN[0], BAR2 + PLAIN[1]] {
            guest.write32(addr, 0x1234_5678).read32(addr).expect(0x1234_5678, 1);
        }
    }));
    assert_eq!(bar_accesses(&outcome), 0);
}

fn the_carved_page_answers_from_the_plan() {
    // GGC of the profile, and BDSM as the guest wrote it.
    let outcome = run(placed()
        .config_write(IGD, 0x5c, 0x0f00_0000)
        .read32(BAR0 + 0x10_80c0)
        .expect(0x0f00_0000, 1)
        .config_read(IGD, 0x5c)
        .expect(0x0f00_0000, 2)
        .read32(BAR0 + 0x10_8040)
        .store(0x9000)
        .config_read(IGD, 0x50)
        .raw(&[0x3b, 0x05, 0x00, 0x90, 0x00, 0x00]) // cmp eax, [9000h]
        .raw(&[0x74, 7, 0xb0, 3, 0x66, 0xba, 0x01, 0x05, 0xee])); // je +; exit 3
    assert_eq!(bar_accesses(&outcome), 2);
    assert_eq!(outcome.status.bdsm, Some(0x0f00_0000));
}

fn a_bar_moves_while_the_guest_runs() {
    const NEW: u32 = 0xc800_0000;
    let outcome = run(placed().write32(BAR0 + PLAIN[0], 0xfeed_0001).repeat(50, |guest| {
        guest
            .config_write(IGD, 0x10, NEW)
            .read32(NEW + PLAIN[0])
            .expect(0xfeed_0001, 1)
            .read32(BAR0 + PLAIN[0])
            .expect(u32::MAX, 2)
            .config_write(IGD, 0x10, BAR0)
            .read32(BAR0 + PLAIN[0])
            .expect(0xfeed_0001, 3);
    }));
    assert_eq!(
        bar_accesses(&outcome),
        0,
        "the old place is nobody's, the new one is backed"
    );
}

fn memory_off_takes_the_bars_away() {
    let outcome = run(placed().write32(BAR2 + PLAIN[1], 0xfeed_0002).repeat(50, |guest| {
        guest
            .config_write(IGD, 0x04, 0)
            .read32(BAR2 + PLAIN[1])
            .expect(u32::MAX, 1)
            .config_write(IGD, 0x04, MEMORY)
            .read32(BAR2 + PLAIN[1])
            .expect(0xfeed_0002, 2);
    }));
    assert_eq!(bar_accesses(&outcome), 0);
    let slots = outcome.status.slots;
    assert!(slots < 16, "{slots} slots: slots are used again");
}

fn memory_of_the_device_that_is_gone_reads_as_ones() {
    let mut guest = placed();
    guest
        .write32(BAR2 + PLAIN[1], 0xfeed_0003)
        .read32(BAR2 + PLAIN[1])
        .expect(0xfeed_0003, 1)
        .config_write(IGD, 0x3c, 0x77)
        .repeat(3, |guest| {
            guest
                .read32(BAR2 + PLAIN[1])
                .expect(u32::MAX, 2)
                .write32(BAR2 + PLAIN[1], 0)
                .read32(BAR0 + PLAIN[0])
                .expect(0, 3);
        });
    let machine = machine(BoardKind::Pc, 1, guest.build(), Arc::new(Vanishing::new(host())));
    let outcome = machine.run(&EventFd::new(0).unwrap(), Some(Duration::from_secs(20)));
    let outcome = outcome.unwrap();
    assert_eq!(outcome.end, End::Exit(OK), "{:?}", outcome.status);
    // A kernel that fails to run the guest is not told which BAR it was: then those of BAR0 exit too.
    let exits = bar_accesses(&outcome);
    assert!(exits == 6 || exits == 9, "{exits} accesses");
}

fn strings_come_from_the_data_port() {
    run(Guest::new()
        .out16(0x510, 0)
        .rep_insb(0x511, 0x9000, 4)
        .read32(0x9000)
        .expect(u32::from_le_bytes(*b"QEMU"), 1));
}

fn the_bridges_are_those_of_the_plan() {
    let mut guest = Guest::new();
    guest.config_read(0, 0).expect(0x1237_8086, 1);
    guest
        .config_read(IGD, 0)
        .raw(&[0x25, 0xff, 0xff, 0, 0])
        .expect(0x8086, 2); // and eax, ffffh
    guest.config_read(0xf8, 8).raw(&[0xc1, 0xe8, 0x10]).expect(0x0601, 3); // shr eax, 16
    guest.config_read(0x18, 0).expect(u32::MAX, 4);
    run(&mut guest);
}

fn a_reset_starts_the_machine_again() {
    // CMOS byte 7Fh outlives the reset and says which time this is.
    let mut guest = placed();
    guest.out8(0x70, 0x7f).in8(0x71);
    // cmp al, 55h; je over the first time
    guest.raw(&[0x3c, 0x55]);
    let body = [
        &[0xb8, 0x55, 0, 0, 0][..],      // mov eax, 55h
        &[0x66, 0xba, 0x71, 0, 0xee],    // out 71h, al
        &[0xb8, 0x06, 0, 0, 0],          // mov eax, 6
        &[0x66, 0xba, 0xf9, 0x0c, 0xee], // out cf9h, al
        &[0xeb, 0xfe],                   // jmp $
    ]
    .concat();
    guest.raw(&[0x74, u8::try_from(body.len()).unwrap()]).raw(&body);
    guest
        .config_write(IGD, 0x10, BAR0)
        .config_write(IGD, 0x14, 0)
        .config_write(IGD, 0x04, MEMORY);
    let outcome = run(&mut guest);
    assert_eq!(outcome.status.resets, 1);
}

/// xorshift in ebp, and ports, configuration space, fw_cfg and memory that get what comes out of it.
fn hostile() -> Vec<u8> {
    let mut guest = placed();
    guest.raw(&[0xbd, 0x39, 0x05, 0x00, 0x00]); // mov ebp, 539h
    guest.forever(|guest| {
        let random = |guest: &mut Guest| {
            // mov eax, ebp; shl eax, 13; xor ebp, eax; mov eax, ebp; shr eax, 17; xor ebp, eax; mov eax, ebp; shl eax, 5; xor ebp, eax
            guest.raw(&[0x89, 0xe8, 0xc1, 0xe0, 13, 0x31, 0xc5]);
            guest.raw(&[0x89, 0xe8, 0xc1, 0xe8, 17, 0x31, 0xc5]);
            guest.raw(&[0x89, 0xe8, 0xc1, 0xe0, 5, 0x31, 0xc5, 0x89, 0xe8]);
        };
        let out = |guest: &mut Guest, port: u16| {
            let [low, high] = port.to_le_bytes();
            guest.raw(&[0x66, 0xba, low, high, 0xef]);
        };
        // A configuration register of a function at random, with the enable bit, on bus 0.
        random(guest);
        guest.raw(&[0x25, 0xff, 0xff, 0x00, 0x00, 0x0d, 0x00, 0x00, 0x00, 0x80]);
        out(guest, 0xcf8);
        random(guest);
        out(guest, 0xcfc);
        // The device, at random.
        random(guest);
        guest.raw(&[0x25, 0xfc, 0x00, 0x00, 0x00, 0x0d, 0x00, 0x10, 0x00, 0x80]);
        out(guest, 0xcf8);
        random(guest);
        out(guest, 0xcfc);
        // A descriptor of fw_cfg DMA in low RAM: control, length, address at random.
        for at in [0x9000_u32, 0x9004, 0x9008, 0x900c] {
            random(guest);
            guest.store(at);
        }
        guest.out32(0x514, 0).out32(0x518, 0x0090_0000);
        // Ports from 0x600 to 0x7ff and 0x60 to 0x6f.
        for (mask, base) in [(0x1ff_u32, 0x600_u32), (0x0b, 0x60)] {
            random(guest);
            let mut bytes = vec![0x25];
            bytes.extend(mask.to_le_bytes());
            bytes.push(0x0d);
            bytes.extend(base.to_le_bytes());
            bytes.extend([0x89, 0xc2, 0xed]); // mov edx, eax; in eax, dx
            guest.raw(&bytes);
        }
        // A page of the device that is carved out, wherever the BAR is now.
        guest.read32(BAR0 + 0x10_80c0).write32(BAR0 + 0x10_8040, 0x1111_1111);
    });
    guest.build()
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn a_hostile_guest_gets_nowhere() {
    let seconds = std::env::var("IGD_VMM_HOSTILE_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let half = Duration::from_secs(seconds.unwrap_or(6)) / 2;
    let image = hostile();
    let grown = |image: &[u8]| {
        let outcome = run_for(image.to_vec(), half);
        assert!(
            matches!(outcome.end, End::TimedOut | End::PowerOff | End::Exit(_)),
            "{:?}",
            outcome.end
        );
        assert!(outcome.status.slots < 64);
        drop(outcome);
        resident()
    };
    let (first, second) = (grown(&image), grown(&image));
    assert!(
        second < first + 4096,
        "resident memory grew from {first} to {second} KiB"
    );
}

fn the_guest_turns_the_machine_off() {
    const PIIX4_PM: u8 = 0x0b;
    let mut guest = Guest::new();
    guest
        .config_write(PIIX4_PM, 0x40, 0x601)
        .config_write(PIIX4_PM, 0x80, 1)
        .out16(0x604, 0x2000);
    // On Q35 the host's identity hides ICH9 from firmware, and the registers are where firmware would put them.
    let image = guest.forever(|_| {}).build();
    for kind in [BoardKind::Pc, BoardKind::Q35] {
        let machine = machine(kind, 1, image.clone(), host());
        let outcome = machine.run(&EventFd::new(0).unwrap(), Some(Duration::from_secs(10)));
        assert_eq!(outcome.unwrap().end, End::PowerOff, "{kind:?}");
    }
}

fn several_processors_start_and_stop() {
    let machine = machine(BoardKind::Q35, 4, Guest::new().build(), host());
    let outcome = machine
        .run(&EventFd::new(0).unwrap(), Some(Duration::from_secs(20)))
        .unwrap();
    assert_eq!(outcome.end, End::Exit(OK));
}

fn what_is_sent_to_the_console_is_read_from_the_serial_port() {
    let mut guest = Guest::new();
    // Waits for data at 3FDh, then ends with the byte at 3F8h: in al, dx; test al, 1; jz -5; in; mov dx, 501h; out dx, al
    guest
        .raw(&[0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 1, 0x74, 0xfb])
        .in8(0x3f8);
    guest.raw(&[0x66, 0xba, 0x01, 0x05, 0xee]);
    let image = guest.forever(|_| {}).build();
    let serial = Output::File(std::fs::File::create("/dev/null").unwrap());
    let machine = machine_with(BoardKind::Pc, 1, image, host(), serial);
    let console = machine.console().unwrap();
    assert_eq!(console.send(b"!x"), Some(2));
    let outcome = machine.run(&EventFd::new(0).unwrap(), Some(Duration::from_secs(20)));
    assert_eq!(outcome.unwrap().end, End::Exit(b'!'));
    assert_eq!(console.send(b"y"), None, "the machine is gone");
}

fn a_machine_is_stopped_from_outside() {
    let stop = EventFd::new(0).unwrap();
    stop.write(1).unwrap();
    let machine = machine(BoardKind::Pc, 2, Guest::new().forever(|_| {}).build(), host());
    assert_eq!(machine.run(&stop, None).unwrap().end, End::Stopped);
}

type Test = (&'static str, fn());

const TESTS: [Test; 13] = [
    (
        "what_is_sent_to_the_console_is_read_from_the_serial_port",
        what_is_sent_to_the_console_is_read_from_the_serial_port,
    ),
    (
        "memory_of_the_device_that_is_gone_reads_as_ones",
        memory_of_the_device_that_is_gone_reads_as_ones,
    ),
    ("the_guest_turns_the_machine_off", the_guest_turns_the_machine_off),
    ("accesses_to_bars_do_not_exit", accesses_to_bars_do_not_exit),
    (
        "the_carved_page_answers_from_the_plan",
        the_carved_page_answers_from_the_plan,
    ),
    ("a_bar_moves_while_the_guest_runs", a_bar_moves_while_the_guest_runs),
    ("memory_off_takes_the_bars_away", memory_off_takes_the_bars_away),
    ("strings_come_from_the_data_port", strings_come_from_the_data_port),
    ("the_bridges_are_those_of_the_plan", the_bridges_are_those_of_the_plan),
    ("a_reset_starts_the_machine_again", a_reset_starts_the_machine_again),
    ("a_hostile_guest_gets_nowhere", a_hostile_guest_gets_nowhere),
    ("several_processors_start_and_stop", several_processors_start_and_stop),
    ("a_machine_is_stopped_from_outside", a_machine_is_stopped_from_outside),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let kvm = kvm_ioctls::Kvm::new();
    if let Err(error) = &kvm
        && !arguments.list
    {
        eprintln!("ignored: /dev/kvm: {error}");
    }
    let trials = TESTS.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
        .with_ignored_flag(kvm.is_err())
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}
