// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interrupt inputs of the in-kernel controllers, and messages on top of them.
//!
//! ```text
//! GSI 0..15    both 8259s, and the I/O APIC (input 2 for GSI 0)
//! GSI 16..23   the I/O APIC
//! GSI 24..     messages (MSI)
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kvm_bindings::{
    KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI, KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE,
    KvmIrqRouting, kvm_irq_routing_entry,
};
use kvm_ioctls::VmFd;
use pci_model::MsiMessage;
use vmm_sys_util::eventfd::EventFd;

/// First GSI of a message.
const FIRST_MESSAGE: u32 = 24;
/// Most messages at a time: one function has 32 vectors at the most.
const MESSAGES: usize = 32;

/// The routes of a virtual machine's interrupts.
#[derive(Debug)]
pub struct IrqRouter {
    vm: Arc<VmFd>,
    messages: Mutex<[Option<MsiMessage>; MESSAGES]>,
}

/// An interrupt that cannot be routed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IrqError {
    /// All messages are in use.
    #[error("no interrupt left: a machine has {MESSAGES} messages")]
    Full,
    /// KVM refused.
    #[error("{what} of GSI {gsi}: {source}")]
    Kvm {
        /// What was asked.
        what: &'static str,
        /// For which input.
        gsi: u32,
        /// Why.
        source: kvm_ioctls::Error,
    },
}

impl IrqRouter {
    /// The routes of a machine without messages.
    ///
    /// # Errors
    ///
    /// KVM refuses.
    pub fn new(vm: Arc<VmFd>) -> Result<Self, IrqError> {
        let router = Self {
            vm,
            messages: Mutex::new([None; MESSAGES]),
        };
        router.apply(&router.lock())?;
        Ok(router)
    }

    fn lock(&self) -> MutexGuard<'_, [Option<MsiMessage>; MESSAGES]> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, messages: &[Option<MsiMessage>; MESSAGES]) -> Result<(), IrqError> {
        let entries: Vec<_> = fixed().chain(sent(messages)).collect();
        let refused = |source| IrqError::Kvm {
            what: "routing",
            gsi: FIRST_MESSAGE,
            source,
        };
        let routing =
            KvmIrqRouting::from_entries(&entries).map_err(|_| refused(kvm_ioctls::Error::new(libc::ENOMEM)))?;
        self.vm.set_gsi_routing(&routing).map_err(refused)
    }

    /// A GSI that sends this message.
    ///
    /// # Errors
    ///
    /// None is left, or KVM refuses.
    pub fn add_message(&self, message: MsiMessage) -> Result<u32, IrqError> {
        let mut messages = self.lock();
        let free = (FIRST_MESSAGE..).zip(&mut *messages).find(|(_, slot)| slot.is_none());
        let Some((gsi, slot)) = free else {
            return Err(IrqError::Full);
        };
        *slot = Some(message);
        let applied = self.apply(&messages);
        if applied.is_err()
            && let Some(slot) = messages.get_mut(place(gsi))
        {
            *slot = None;
        }
        applied.map(|()| gsi)
    }

    /// Lets a GSI send another message.
    ///
    /// # Errors
    ///
    /// KVM refuses; the old message stays.
    pub fn change_message(&self, gsi: u32, message: MsiMessage) -> Result<(), IrqError> {
        let mut messages = self.lock();
        let mut next = *messages;
        if let Some(slot) = next.get_mut(place(gsi)) {
            *slot = Some(message);
        }
        self.apply(&next)?;
        *messages = next;
        Ok(())
    }

    /// Takes a GSI back.
    pub fn remove_message(&self, gsi: u32) {
        let mut messages = self.lock();
        if let Some(slot) = messages.get_mut(place(gsi)) {
            *slot = None;
        }
        if let Err(error) = self.apply(&messages) {
            log::warn!("{error}");
        }
    }

    /// Lets an eventfd trigger a GSI.
    ///
    /// # Errors
    ///
    /// KVM refuses.
    pub fn connect(&self, gsi: u32, trigger: &EventFd) -> Result<(), IrqError> {
        self.vm.register_irqfd(trigger, gsi).map_err(|source| IrqError::Kvm {
            what: "connecting a trigger",
            gsi,
            source,
        })
    }

    /// Lets an eventfd raise the level of a GSI; `resample` is signalled when the guest has served it.
    ///
    /// # Errors
    ///
    /// KVM refuses.
    pub fn connect_level(&self, gsi: u32, trigger: &EventFd, resample: &EventFd) -> Result<(), IrqError> {
        let connected = self.vm.register_irqfd_with_resample(trigger, resample, gsi);
        connected.map_err(|source| IrqError::Kvm {
            what: "connecting a level",
            gsi,
            source,
        })
    }

    /// Takes a trigger from a GSI.
    pub fn disconnect(&self, gsi: u32, trigger: &EventFd) {
        if let Err(error) = self.vm.unregister_irqfd(trigger, gsi) {
            log::warn!("disconnecting GSI {gsi}: {error}");
        }
    }
}

fn place(gsi: u32) -> usize {
    gsi.checked_sub(FIRST_MESSAGE)
        .and_then(|place| usize::try_from(place).ok())
        .unwrap_or(MESSAGES)
}

/// The routes that are there from the start.
fn fixed() -> impl Iterator<Item = kvm_irq_routing_entry> {
    let pins = (0..16_u32).filter(|gsi| *gsi != 2).map(|gsi| match gsi {
        0..8 => chip(gsi, KVM_IRQCHIP_PIC_MASTER, gsi),
        _ => chip(gsi, KVM_IRQCHIP_PIC_SLAVE, gsi - 8),
    });
    // The timer comes in at input 2, as firmware tables say; ISA interrupt 2 is the cascade and has none.
    let inputs = (0..24_u32).filter(|gsi| *gsi != 2);
    pins.chain(inputs.map(|gsi| chip(gsi, KVM_IRQCHIP_IOAPIC, if gsi == 0 { 2 } else { gsi })))
}

fn chip(gsi: u32, irqchip: u32, pin: u32) -> kvm_irq_routing_entry {
    let mut entry = kvm_irq_routing_entry {
        gsi,
        type_: KVM_IRQ_ROUTING_IRQCHIP,
        ..Default::default()
    };
    entry.u.irqchip.irqchip = irqchip;
    entry.u.irqchip.pin = pin;
    entry
}

fn sent(messages: &[Option<MsiMessage>]) -> impl Iterator<Item = kvm_irq_routing_entry> + '_ {
    (FIRST_MESSAGE..).zip(messages).filter_map(|(gsi, message)| {
        let MsiMessage { address, data } = (*message)?;
        let mut entry = kvm_irq_routing_entry {
            gsi,
            type_: KVM_IRQ_ROUTING_MSI,
            ..Default::default()
        };
        let [high, low] = [address >> 32, address & 0xffff_ffff].map(|half| u32::try_from(half).unwrap_or(0));
        entry.u.msi.address_hi = high;
        entry.u.msi.address_lo = low;
        entry.u.msi.data = data;
        Some(entry)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_is_routed_once_to_each_controller() {
        let entries: Vec<_> = fixed().collect();
        assert_eq!(entries.len(), 15 + 23);
        let mut gsis: Vec<u32> = entries.iter().map(|entry| entry.gsi).collect();
        gsis.sort_unstable();
        assert_eq!(gsis.iter().filter(|gsi| **gsi == 9).count(), 2);
        assert_eq!(gsis.iter().filter(|gsi| **gsi == 20).count(), 1);
        assert!(!gsis.contains(&2));
    }

    #[test]
    fn messages_follow_the_inputs() {
        let mut messages = [None; MESSAGES];
        messages[3] = Some(MsiMessage {
            address: 0xfee0_0000,
            data: 0x41,
        });
        let entries: Vec<_> = sent(&messages).collect();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].gsi, 27);
        assert_eq!(place(27), 3);
        assert_eq!(place(5), MESSAGES);
    }
}
