// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interrupts: the pin, messages, and from one to the other.

use igd_vmm::backend::InterruptKind;
use pci_model::{Effects, MsiMessage};

use super::fake::MSI;
use super::{Bench, write};

#[test]
fn the_pin_is_connected_in_six_steps_and_moved() {
    let bench = Bench::new();
    let mut applied = bench.start();
    let function = &mut applied.function;
    function.set_intx_gsi(Some(10));
    let connect = [
        "enable INTx",
        "mask INTx",
        "connect level 10",
        "resample INTx",
        "unmask INTx",
    ];
    assert_eq!(bench.log(), connect);
    function.set_intx_gsi(Some(10));
    assert!(bench.log().is_empty());
    function.set_intx_gsi(Some(11));
    assert_eq!(
        bench.log(),
        ["mask INTx", "disconnect 10", "connect level 11", "unmask INTx"]
    );
    function.set_intx_gsi(None);
    assert_eq!(bench.log(), ["disable INTx", "disconnect 11"]);
    assert!(bench.connected.lock().unwrap().0.is_empty());
}

#[test]
fn a_pin_that_cannot_be_connected_leaves_nothing_behind() {
    for call in 0..4 {
        let bench = Bench::new();
        let mut applied = bench.start();
        bench.device.fail_after(call);
        applied.function.set_intx_gsi(Some(10));
        assert!(bench.device.has_failed());
        assert!(bench.device.state().interrupts.is_empty(), "call {call}");
        assert!(bench.connected.lock().unwrap().0.is_empty(), "call {call}");
        applied.function.set_intx_gsi(Some(11));
        assert_eq!(bench.device.state().interrupts, [(InterruptKind::Intx, 1)].into());
    }
}

#[test]
fn messages_take_the_place_of_the_pin() {
    let bench = Bench::new();
    let mut applied = bench.start();
    let function = &mut applied.function;
    function.set_intx_gsi(Some(10));
    bench.log();
    let _ = write(function, MSI + 4, 4, 0xfee0_1000);
    let _ = write(function, MSI + 12, 2, 0x4020);
    assert!(bench.log().is_empty());
    let effects = write(function, MSI + 2, 2, 1);
    assert!(effects.contains(Effects::MSI));
    let enable = [
        "disable INTx",
        "disconnect 10",
        "enable MSI",
        "write configuration space ae+2 185",
        "connect trigger 24",
    ];
    assert_eq!(bench.log(), enable);
    let message = |data| MsiMessage {
        address: 0xfee0_1000,
        data,
    };
    assert_eq!(bench.connected.lock().unwrap().1, [(24, message(0x4020))].into());

    // The pin may be rerouted meanwhile; it stays quiet.
    function.set_intx_gsi(Some(11));
    let _ = write(function, MSI + 12, 2, 0x4030);
    assert!(bench.log().is_empty(), "the message changes, and nothing else");
    assert_eq!(bench.connected.lock().unwrap().1, [(24, message(0x4030))].into());

    // A masked vector fires into its eventfd.
    let _ = write(function, MSI + 16, 4, 1);
    assert_eq!(bench.log(), ["disconnect 24"]);
    let _ = write(function, MSI + 16, 4, 0);
    assert_eq!(bench.log(), ["connect trigger 24"]);

    // More vectors than the host has: as many as it has.
    let _ = write(function, MSI + 2, 2, 0x21);
    assert_eq!(bench.device.state().interrupts, [(InterruptKind::Msi, 2)].into());
    assert_eq!(
        bench.connected.lock().unwrap().1,
        [(24, message(0x4030)), (25, message(0x4031))].into()
    );
    bench.log();

    let _ = write(function, MSI + 2, 2, 0);
    let disable = [
        "write configuration space ae+2 184",
        "disable MSI",
        "disconnect 24",
        "disconnect 25",
        "enable INTx",
        "mask INTx",
        "connect level 11",
        "resample INTx",
        "unmask INTx",
    ];
    assert_eq!(bench.log(), disable);
    assert!(bench.connected.lock().unwrap().1.is_empty());
}

#[test]
fn messages_that_cannot_be_set_up_leave_nothing_behind() {
    for call in 0..3 {
        let bench = Bench::new();
        let mut applied = bench.start();
        bench.device.fail_after(call);
        let _ = write(&mut applied.function, MSI + 2, 2, 1);
        assert!(bench.device.has_failed());
        assert!(bench.device.state().interrupts.is_empty(), "call {call}");
        let (triggers, messages) = bench.connected.lock().unwrap().clone();
        assert!(triggers.is_empty() && messages.is_empty(), "call {call}");
    }
}
