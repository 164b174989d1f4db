// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interrupt inputs of the in-kernel controllers, and messages on top of them.
//!
//! ```text
//! GSI 0..15    both 8259s, and the I/O APIC (input 2 for GSI 0)
//! GSI 16..23   the I/O APIC
//! GSI 24..     messages (MSI)
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use kvm_bindings::{
    KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI, KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE,
    KvmIrqRouting, kvm_irq_routing_entry,
};
use kvm_ioctls::VmFd;
use pci_model::MsiMessage;
use vmm_sys_util::eventfd::EventFd;

/// First GSI of a message.
pub const FIRST_MESSAGE: u32 = 24;
/// Most messages at a time: one function has 2048 vectors of MSI-X at the most. KVM takes 4096 routes.
const MESSAGES: usize = 2048;

/// The hypervisor's side of an [`IrqRouter`].
pub trait IrqBackend: Send + Sync + fmt::Debug {
    /// Routes these GSIs to messages, and the inputs of the controllers as ever. Other messages end.
    ///
    /// # Errors
    ///
    /// The hypervisor refuses; the routes are as before.
    fn set_messages(&self, messages: &[(u32, MsiMessage)]) -> io::Result<()>;

    /// Lets an eventfd trigger a GSI. With `resample` it raises a level, which falls when the guest has served it;
    /// `resample` is signalled then. What was signalled before counts.
    ///
    /// # Errors
    ///
    /// The hypervisor refuses.
    fn connect(&self, gsi: u32, trigger: &EventFd, resample: Option<&EventFd>) -> io::Result<()>;

    /// Takes a trigger from a GSI; a level that it raised falls.
    ///
    /// # Errors
    ///
    /// The hypervisor refuses.
    fn disconnect(&self, gsi: u32, trigger: &EventFd) -> io::Result<()>;
}

/// The routes of a virtual machine's interrupts.
#[derive(Debug)]
pub struct IrqRouter {
    backend: Box<dyn IrqBackend>,
    messages: Mutex<Messages>,
}

/// By GSI, as far as there was ever one.
type Messages = Vec<Option<MsiMessage>>;

/// An interrupt that cannot be routed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IrqError {
    /// All messages are in use.
    #[error("no interrupt left: a machine has {MESSAGES} messages")]
    Full,
    /// No message has this GSI.
    #[error("GSI {0} is not that of a message")]
    NoMessage(u32),
    /// The hypervisor refused.
    #[error("{what} GSI {gsi}: {source}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// For which input.
        gsi: u32,
        /// Why.
        source: io::Error,
    },
}

fn refused(what: &'static str, gsi: u32) -> impl FnOnce(io::Error) -> IrqError {
    move |source| IrqError::Refused { what, gsi, source }
}

impl IrqRouter {
    /// The routes of a KVM machine with in-kernel controllers, which has no messages yet.
    ///
    /// # Errors
    ///
    /// KVM refuses.
    pub fn new(vm: Arc<VmFd>) -> Result<Self, IrqError> {
        Self::with_backend(Box::new(Kvm(vm)))
    }

    /// The routes of a machine under another hypervisor.
    ///
    /// # Errors
    ///
    /// It refuses.
    pub fn with_backend(backend: Box<dyn IrqBackend>) -> Result<Self, IrqError> {
        backend.set_messages(&[]).map_err(refused("routing", 0))?;
        Ok(Self {
            backend,
            messages: Mutex::default(),
        })
    }

    /// Makes a change to the message of `gsi`, unless the hypervisor refuses.
    fn change(&self, messages: &mut Messages, gsi: u32, message: Option<MsiMessage>) -> Result<(), IrqError> {
        let slot = slot(messages, gsi).ok_or(IrqError::NoMessage(gsi))?;
        let before = std::mem::replace(slot, message);
        let routes = (FIRST_MESSAGE..).zip(&*messages);
        let routes: Vec<_> = routes.filter_map(|(gsi, message)| Some((gsi, (*message)?))).collect();
        let set = self.backend.set_messages(&routes).map_err(refused("routing", gsi));
        if let (Err(_), Some(slot)) = (&set, self::slot(messages, gsi)) {
            *slot = before;
        }
        set
    }

    fn lock(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A GSI that sends this message.
    ///
    /// # Errors
    ///
    /// None is left, or the hypervisor refuses.
    pub fn add_message(&self, message: MsiMessage) -> Result<u32, IrqError> {
        let mut messages = self.lock();
        let free = messages.iter().position(Option::is_none).unwrap_or(messages.len());
        if free == MESSAGES {
            return Err(IrqError::Full);
        }
        if free == messages.len() {
            messages.push(None);
        }
        let gsi = u32::try_from(free).map_or(u32::MAX, |free| FIRST_MESSAGE + free);
        self.change(&mut messages, gsi, Some(message))?;
        Ok(gsi)
    }

    /// Lets a GSI send another message.
    ///
    /// # Errors
    ///
    /// It is not that of a message, or the hypervisor refuses; the old message stays.
    pub fn change_message(&self, gsi: u32, message: MsiMessage) -> Result<(), IrqError> {
        let mut messages = self.lock();
        slot(&mut messages, gsi)
            .and_then(|slot| *slot)
            .ok_or(IrqError::NoMessage(gsi))?;
        self.change(&mut messages, gsi, Some(message))
    }

    /// Takes a GSI back.
    pub fn remove_message(&self, gsi: u32) {
        if let Err(error) = self.change(&mut self.lock(), gsi, None) {
            log::warn!("{error}");
        }
    }

    /// Lets an eventfd trigger a GSI.
    ///
    /// # Errors
    ///
    /// The hypervisor refuses.
    pub fn connect(&self, gsi: u32, trigger: &EventFd) -> Result<(), IrqError> {
        let connected = self.backend.connect(gsi, trigger, None);
        connected.map_err(refused("connecting a trigger to", gsi))
    }

    /// Lets an eventfd raise the level of a GSI; `resample` is signalled when the guest has served it.
    ///
    /// # Errors
    ///
    /// The hypervisor refuses.
    pub fn connect_level(&self, gsi: u32, trigger: &EventFd, resample: &EventFd) -> Result<(), IrqError> {
        let connected = self.backend.connect(gsi, trigger, Some(resample));
        connected.map_err(refused("connecting a level to", gsi))
    }

    /// Takes a trigger from a GSI.
    pub fn disconnect(&self, gsi: u32, trigger: &EventFd) {
        if let Err(error) = self.backend.disconnect(gsi, trigger) {
            log::warn!("disconnecting GSI {gsi}: {error}");
        }
    }
}

fn slot(messages: &mut Messages, gsi: u32) -> Option<&mut Option<MsiMessage>> {
    messages.get_mut(usize::try_from(gsi.checked_sub(FIRST_MESSAGE)?).ok()?)
}

#[derive(Debug)]
struct Kvm(Arc<VmFd>);

fn errno(error: kvm_ioctls::Error) -> io::Error {
    io::Error::from_raw_os_error(error.errno())
}

impl IrqBackend for Kvm {
    fn set_messages(&self, messages: &[(u32, MsiMessage)]) -> io::Result<()> {
        let sent = messages.iter().map(|(gsi, message)| sends(*gsi, *message));
        let entries: Vec<_> = inputs().chain(sent).collect();
        let routing = KvmIrqRouting::from_entries(&entries).map_err(|error| io::Error::other(format!("{error:?}")))?;
        self.0.set_gsi_routing(&routing).map_err(errno)
    }

    fn connect(&self, gsi: u32, trigger: &EventFd, resample: Option<&EventFd>) -> io::Result<()> {
        let connected = match resample {
            None => self.0.register_irqfd(trigger, gsi),
            Some(resample) => self.0.register_irqfd_with_resample(trigger, resample, gsi),
        };
        connected.map_err(errno)
    }

    fn disconnect(&self, gsi: u32, trigger: &EventFd) -> io::Result<()> {
        self.0.unregister_irqfd(trigger, gsi).map_err(errno)
    }
}

/// The routes of the controllers' inputs.
fn inputs() -> impl Iterator<Item = kvm_irq_routing_entry> {
    // ISA interrupt 2 is the cascade, and the timer comes in at input 2 of the I/O APIC, as firmware tables say.
    let gsis = |count| (0..count).filter(|gsi| *gsi != 2);
    let pins = gsis(16).map(|gsi: u32| match gsi {
        0..8 => input(gsi, KVM_IRQCHIP_PIC_MASTER, gsi),
        _ => input(gsi, KVM_IRQCHIP_PIC_SLAVE, gsi - 8),
    });
    pins.chain(gsis(FIRST_MESSAGE).map(|gsi| input(gsi, KVM_IRQCHIP_IOAPIC, if gsi == 0 { 2 } else { gsi })))
}

fn input(gsi: u32, irqchip: u32, pin: u32) -> kvm_irq_routing_entry {
    let mut entry = kvm_irq_routing_entry {
        gsi,
        type_: KVM_IRQ_ROUTING_IRQCHIP,
        ..Default::default()
    };
    entry.u.irqchip.irqchip = irqchip;
    entry.u.irqchip.pin = pin;
    entry
}

fn sends(gsi: u32, MsiMessage { address, data }: MsiMessage) -> kvm_irq_routing_entry {
    let mut entry = kvm_irq_routing_entry {
        gsi,
        type_: KVM_IRQ_ROUTING_MSI,
        ..Default::default()
    };
    let [a, b, c, d, high @ ..] = address.to_le_bytes();
    entry.u.msi.address_lo = u32::from_le_bytes([a, b, c, d]);
    entry.u.msi.address_hi = u32::from_le_bytes(high);
    entry.u.msi.data = data;
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Table {
        routes: Mutex<Vec<(u32, MsiMessage)>>,
        refuses: Mutex<bool>,
    }

    impl IrqBackend for Arc<Table> {
        fn set_messages(&self, messages: &[(u32, MsiMessage)]) -> io::Result<()> {
            if *self.refuses.lock().unwrap() {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            *self.routes.lock().unwrap() = messages.to_vec();
            Ok(())
        }

        fn connect(&self, _: u32, _: &EventFd, _: Option<&EventFd>) -> io::Result<()> {
            Ok(())
        }

        fn disconnect(&self, _: u32, _: &EventFd) -> io::Result<()> {
            Ok(())
        }
    }

    fn message(data: u32) -> MsiMessage {
        MsiMessage {
            address: 0x1_fee0_0000,
            data,
        }
    }

    /// Controller, its pin, by GSI.
    fn chips() -> Vec<(u32, u32, u32)> {
        inputs()
            .map(|entry| {
                // SAFETY: inputs are routes of this kind, and all bits of it are numbers.
                #[expect(unsafe_code, reason = "a union of the kernel's")]
                let chip = unsafe { entry.u.irqchip };
                (entry.gsi, chip.irqchip, chip.pin)
            })
            .collect()
    }

    #[test]
    fn every_input_is_routed_once_to_each_controller() {
        let chips = chips();
        assert_eq!(chips.len(), 15 + 23);
        let of = |gsi| -> Vec<_> {
            chips
                .iter()
                .filter(|chip| chip.0 == gsi)
                .map(|chip| (chip.1, chip.2))
                .collect()
        };
        assert_eq!(of(0), [(KVM_IRQCHIP_PIC_MASTER, 0), (KVM_IRQCHIP_IOAPIC, 2)]);
        assert_eq!(of(2), []);
        assert_eq!(of(11), [(KVM_IRQCHIP_PIC_SLAVE, 3), (KVM_IRQCHIP_IOAPIC, 11)]);
        assert_eq!(of(23), [(KVM_IRQCHIP_IOAPIC, 23)]);
        assert_eq!(of(24), []);
    }

    #[test]
    fn messages_get_the_lowest_free_gsi() {
        let table = Arc::new(Table::default());
        let router = IrqRouter::with_backend(Box::new(Arc::clone(&table))).unwrap();
        let gsis: Vec<u32> = (0..2048)
            .map(|data| router.add_message(message(data)).unwrap())
            .collect();
        assert_eq!(gsis, (24..2072).collect::<Vec<_>>());
        assert!(matches!(router.add_message(message(2048)), Err(IrqError::Full)));
        router.remove_message(30);
        router.change_message(25, message(99)).unwrap();
        assert_eq!(table.routes.lock().unwrap().len(), 2047);
        assert_eq!(table.routes.lock().unwrap()[1], (25, message(99)));
        assert_eq!(router.add_message(message(7)).unwrap(), 30);
    }

    #[test]
    fn a_refused_change_changes_nothing() {
        let table = Arc::new(Table::default());
        let router = IrqRouter::with_backend(Box::new(Arc::clone(&table))).unwrap();
        router.add_message(message(1)).unwrap();
        *table.refuses.lock().unwrap() = true;
        assert!(router.add_message(message(2)).is_err());
        assert!(router.change_message(24, message(3)).is_err());
        *table.refuses.lock().unwrap() = false;
        assert_eq!(router.add_message(message(4)).unwrap(), 25);
        assert_eq!(*table.routes.lock().unwrap(), [(24, message(1)), (25, message(4))]);
        for wrong in [0, 23, 26, 2072, u32::MAX] {
            assert!(matches!(router.change_message(wrong, message(0)), Err(IrqError::NoMessage(gsi)) if gsi == wrong));
        }
    }

    #[test]
    fn addresses_have_64_bits() {
        // SAFETY: the entry is a message, and all bits of it are numbers.
        #[expect(unsafe_code, reason = "a union of the kernel's")]
        let sent = unsafe { sends(24, message(0x41)).u.msi };
        assert_eq!((sent.address_hi, sent.address_lo, sent.data), (1, 0xfee0_0000, 0x41));
    }
}
