// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interrupts in the controllers of a real virtual machine. Without `/dev/kvm` the tests count as ignored.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

#[expect(dead_code, reason = "each test takes what it needs of it")]
#[path = "common/bench.rs"]
mod bench;
#[expect(dead_code, reason = "each test takes what it needs of it")]
#[path = "common/fake.rs"]
mod fake;

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bench::{Bench, write};
use fake::{Fake, MSI, MSIX};
use igd_vmm::irq::IrqRouter;
use kvm_bindings::{KVM_IRQCHIP_IOAPIC, kvm_irqchip, kvm_lapic_state};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use libtest_mimic::{Arguments, Trial};

/// Spurious-interrupt vector register of the local APIC; bit 8 enables it.
const SPURIOUS: usize = 0xf0;
/// Interrupt request register: 32 bits every 16 bytes.
const REQUESTS: usize = 0x200;

struct Guest {
    vm: Arc<VmFd>,
    vcpu: VcpuFd,
}

impl Guest {
    fn new() -> Self {
        let kvm = Kvm::new().unwrap();
        let vm = Arc::new(kvm.create_vm().unwrap());
        vm.create_irq_chip().unwrap();
        let vcpu = vm.create_vcpu(0).unwrap();
        let mut lapic = vcpu.get_lapic().unwrap();
        for (to, from) in lapic.regs[SPURIOUS..].iter_mut().zip(0x1ff_u32.to_le_bytes()) {
            *to = i8::from_le_bytes([from]);
        }
        vcpu.set_lapic(&lapic).unwrap();
        Self { vm, vcpu }
    }

    fn bench(&self) -> Bench {
        let mut bench = Bench::new();
        bench.irq = Arc::new(IrqRouter::new(Arc::clone(&self.vm)).unwrap());
        bench
    }

    /// Whether the processor is asked to serve this vector.
    fn is_requested(&self, vector: usize) -> bool {
        let lapic: kvm_lapic_state = self.vcpu.get_lapic().unwrap();
        let [byte] = lapic.regs[REQUESTS + vector / 32 * 16 + vector % 32 / 8].to_le_bytes();
        byte >> (vector % 8) & 1 != 0
    }

    /// Whether an input of the I/O APIC is asserted.
    fn is_asserted(&self, input: u32) -> bool {
        let mut chip = kvm_irqchip {
            chip_id: KVM_IRQCHIP_IOAPIC,
            ..Default::default()
        };
        self.vm.get_irqchip(&mut chip).unwrap();
        // SAFETY: this chip's state was asked for, and all bits of it are numbers.
        #[expect(unsafe_code, reason = "a union of the kernel's")]
        let irr = unsafe { chip.chip.ioapic.irr };
        irr >> input & 1 != 0
    }
}

/// An eventfd is served by a worker of the kernel.
fn eventually(condition: impl Fn() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(5);
    while !condition() {
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

fn messages_reach_the_processor() {
    let guest = Guest::new();
    let bench = guest.bench();
    let mut applied = bench.start();
    let function = &mut applied.function;
    function.set_intx_gsi(Some(10));
    let _ = write(function, MSI + 4, 4, 0xfee0_0000);
    let _ = write(function, MSI + 12, 2, 0x0041);
    let _ = write(function, MSI + 2, 2, 1);
    bench.device.fire(0);
    assert!(eventually(|| guest.is_requested(0x41)));
    assert!(!guest.is_requested(0x52));

    // A masked vector waits, and takes the message that is valid when it is unmasked.
    let _ = write(function, MSI + 16, 4, 1);
    bench.device.fire(0);
    let _ = write(function, MSI + 12, 2, 0x0052);
    thread::sleep(Duration::from_millis(20));
    assert!(!guest.is_requested(0x52));
    let _ = write(function, MSI + 16, 4, 0);
    assert!(eventually(|| guest.is_requested(0x52)));

    // And back to the pin, which is free again to be connected.
    let _ = write(function, MSI + 2, 2, 0);
    bench.device.fire(0);
    assert!(eventually(|| guest.is_asserted(10)));
}

fn messages_of_the_table_reach_the_processor() {
    let guest = Guest::new();
    let mut bench = Bench::on(Fake::with_msix(3, 2, 0x4000, 0x5000));
    bench.irq = Arc::new(IrqRouter::new(Arc::clone(&guest.vm)).unwrap());
    let mut applied = bench.start();
    let table = |vector: u64, field: u64, value: u32| {
        applied
            .bars
            .bar_write(0, 0x4000 + 16 * vector + field, &value.to_le_bytes());
    };
    for (vector, data) in [(0, 0x43), (2, 0x75)] {
        table(vector, 0, 0xfee0_0000);
        table(vector, 8, data);
        table(vector, 12, 0);
    }
    let _ = write(&mut applied.function, MSIX + 2, 2, 1 << 15);
    bench.device.fire(2);
    assert!(eventually(|| guest.is_requested(0x75)));
    assert!(!guest.is_requested(0x43));

    // Pending while masked, delivered by the unmask, to where it leads by then.
    table(0, 12, 1);
    bench.device.fire(0);
    table(0, 8, 0x54);
    let mut pending = [0; 8];
    applied.bars.bar_read(0, 0x5000, &mut pending);
    assert_eq!(pending[0], 1);
    assert!(!guest.is_requested(0x54));
    table(0, 12, 0);
    assert!(eventually(|| guest.is_requested(0x54)));
    applied.bars.bar_read(0, 0x5000, &mut pending);
    assert_eq!(pending[0], 0);
    assert!(!guest.is_requested(0x43));
}

fn the_level_of_the_pin_follows_its_route() {
    let guest = Guest::new();
    let bench = guest.bench();
    let mut applied = bench.start();
    let function = &mut applied.function;
    function.set_intx_gsi(Some(16));
    bench.device.fire(0);
    assert!(eventually(|| guest.is_asserted(16)));
    function.set_intx_gsi(Some(22));
    assert!(
        eventually(|| !guest.is_asserted(16)),
        "a level falls when its source goes"
    );
    bench.device.fire(0);
    assert!(eventually(|| guest.is_asserted(22)));
    assert!(applied.function.detach().is_empty());
    assert!(eventually(|| !guest.is_asserted(22)));
}

type Test = (&'static str, fn());

const TESTS: [Test; 3] = [
    ("messages_reach_the_processor", messages_reach_the_processor),
    (
        "messages_of_the_table_reach_the_processor",
        messages_of_the_table_reach_the_processor,
    ),
    (
        "the_level_of_the_pin_follows_its_route",
        the_level_of_the_pin_follows_its_route,
    ),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let kvm = Kvm::new();
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
