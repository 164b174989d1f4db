// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Every device with a saved state, behind one set of verbs.

use fwcfg::{FwCfg, FwCfgBuilder, FwCfgStateV1, GuestMemory, Item, MemoryError};
use igd_quirks::device::{BdsmSetup, DeviceSetup, GttPortSetup, IgdDevice, IgdDeviceStateV1};
use lpc_bridge::{LpcBridge, LpcBridgeStateV1};
use pci_model::host_bridge::{I440Fx, Q35, Q35StateV1};
use pci_model::isa_bridge::{Ich9, Piix3, Piix4Pm};
use pci_model::{
    Bar, BarKind, Bdf, Bus, Capability, ConfigAccess, ConfigMechanism, ConfigMechanismStateV1, ConfigSpace, Express,
    ExpressKind, Function, FunctionBuilder, FunctionStateV1, Identity, Msi, Msix, MsixTable, MsixTableStateV1,
    PowerManagement, ResetControl, Rules,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An access of a guest; each device takes of it what it has a use for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    pub(super) at: ConfigAccess,
    pub(super) value: u32,
    pub(super) is_write: bool,
}

/// A device that saves and restores.
pub(super) trait Device: Sized {
    type State: Serialize + DeserializeOwned + PartialEq + core::fmt::Debug;
    /// Whether a restored device saves exactly what it was given; else it may drop what no guest could have written.
    const EXACT: bool;
    /// The device at power-on.
    fn new() -> Option<Self>;
    fn state(&self) -> Self::State;
    fn restore(&mut self, state: &Self::State) -> Result<(), String>;
    /// What the guest sees of an access.
    fn access(&mut self, access: Access) -> u64;
}

fn config(space: &mut impl ConfigSpace, access: Access) -> u64 {
    let Access { at, value, is_write } = access;
    if is_write {
        return space.config_write(at, value).bits().into();
    }
    let ranges = space.bar_map().claim(pci_model::BarSpace::Memory, value.into());
    u64::from(space.config_read(at)) | u64::from(ranges.is_some()) << 32
}

macro_rules! config_space {
    ($device:ty, $state:ty, $exact:literal, $new:expr) => {
        impl Device for $device {
            type State = $state;
            const EXACT: bool = $exact;

            fn new() -> Option<Self> {
                $new
            }

            fn state(&self) -> Self::State {
                Self::state(self)
            }

            fn restore(&mut self, state: &Self::State) -> Result<(), String> {
                Self::restore(self, state)
                    .map(drop)
                    .map_err(|error| error.to_string())
            }

            fn access(&mut self, access: Access) -> u64 {
                config(self, access)
            }
        }
    };
}

const SUBSYSTEM: (u16, u16) = (0x1af4, 0x1100);

config_space!(Function<256>, FunctionStateV1<256>, false, plain());
config_space!(Function<4096>, FunctionStateV1<4096>, false, express());
config_space!(
    I440Fx,
    FunctionStateV1<256>,
    false,
    Self::new(SUBSYSTEM, 128 << 20, Rules::Specification).ok()
);
config_space!(Q35, Q35StateV1, false, Self::new(SUBSYSTEM, 16, Rules::Qemu11).ok());
config_space!(
    Piix3,
    FunctionStateV1<256>,
    false,
    Self::new(SUBSYSTEM, Rules::Specification).ok()
);
config_space!(
    Ich9,
    FunctionStateV1<256>,
    false,
    Self::new(SUBSYSTEM, Rules::Specification).ok()
);
config_space!(
    Piix4Pm,
    FunctionStateV1<256>,
    false,
    Self::new(SUBSYSTEM, Rules::Qemu7).ok()
);
config_space!(
    LpcBridge,
    LpcBridgeStateV1,
    true,
    Self::new(Self::ADDRESS, Rules::Specification).ok()
);

/// A function with MSI, power management, and a BAR of each kind.
fn plain() -> Option<Function<256>> {
    let bar = |kind, size| Bar::new(kind, size).ok();
    FunctionBuilder::new(Identity {
        vendor: 0x8086,
        device: 0x5912,
        class: 0x03_0000,
        interrupt_pin: 1,
        ..Identity::default()
    })
    .bar(0, bar(BarKind::Memory64 { prefetchable: false }, 16 << 20)?)
    .and_then(|builder| builder.bar(2, Bar::new(BarKind::Memory32 { prefetchable: true }, 4096)?))
    .and_then(|builder| builder.bar(4, Bar::new(BarKind::Io, 64)?))
    .and_then(|builder| builder.bar(6, Bar::new(BarKind::Rom, 2048)?))
    .ok()?
    .capability(Capability::Msi(Msi::new(4, true, true).ok()?))
    .and_then(|builder| {
        builder.capability(Capability::PowerManagement(PowerManagement {
            pmc: 0x0003,
            no_soft_reset: false,
        }))
    })
    .and_then(FunctionBuilder::build)
    .ok()
}

/// A function with extended configuration space and MSI-X.
fn express() -> Option<Function<4096>> {
    let msix = Msix::new(8, (0, 0), (0, 0x800)).ok()?;
    FunctionBuilder::new(Identity {
        vendor: 0x8086,
        device: 0x9a49,
        class: 0x03_0000,
        ..Identity::default()
    })
    .bar(0, Bar::new(BarKind::Memory64 { prefetchable: true }, 1 << 16).ok()?)
    .ok()?
    .capability(Capability::Express(Express {
        kind: ExpressKind::RootComplexIntegratedEndpoint,
        device_capabilities: 1 << 28,
        device_capabilities_2: 0,
    }))
    .and_then(|builder| builder.capability(Capability::Msix(msix)))
    .and_then(FunctionBuilder::build)
    .ok()
}

/// Where the function behind the ports is.
const BEHIND: Bdf = Bdf::new(0, 2, 0).unwrap();

/// The configuration ports, with a function behind them.
pub(super) struct Ports {
    ports: ConfigMechanism,
    bus: Bus<Function<256>, 4>,
}

impl Device for Ports {
    /// The function's too: what the ports read is its.
    type State = (ConfigMechanismStateV1, Option<FunctionStateV1<256>>);
    const EXACT: bool = false;

    fn new() -> Option<Self> {
        let mut bus = Bus::new(0);
        bus.insert(BEHIND, plain()?).ok()?;
        Some(Self {
            ports: ConfigMechanism::new(ResetControl::Ich9, Rules::Specification),
            bus,
        })
    }

    fn state(&self) -> Self::State {
        (self.ports.state(), self.bus.get(BEHIND).map(Function::state))
    }

    fn restore(&mut self, (ports, function): &Self::State) -> Result<(), String> {
        let function = function.as_ref().ok_or("no state of the function")?;
        let behind = self.bus.get_mut(BEHIND).ok_or("no function")?;
        let _ = behind.restore(function).map_err(|error| error.to_string())?;
        self.ports.restore(ports);
        Ok(())
    }

    fn access(&mut self, Access { at, value, is_write }: Access) -> u64 {
        let offset = at.offset() & 0xf;
        let mut bytes = value.to_le_bytes();
        let data = bytes.get_mut(..at.width().len()).unwrap_or_default();
        if is_write {
            self.ports.port_write(offset, data, &mut self.bus).effects.bits().into()
        } else {
            self.ports.port_read(offset, data, &mut self.bus);
            u32::from_le_bytes(bytes).into()
        }
    }
}

impl Device for MsixTable<8> {
    type State = MsixTableStateV1<8>;
    const EXACT: bool = true;

    fn new() -> Option<Self> {
        Some(Self::default())
    }

    fn state(&self) -> Self::State {
        Self::state(self)
    }

    fn restore(&mut self, state: &Self::State) -> Result<(), String> {
        *self = Self::from_state(state).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn access(&mut self, Access { at, value, is_write }: Access) -> u64 {
        let mut bytes = u64::from(value).to_le_bytes();
        let data = bytes.get_mut(..2 * at.width().len()).unwrap_or_default();
        let offset = u64::from(at.offset() & 0x1ff);
        if is_write {
            self.write(offset, data);
        } else {
            self.read(offset, data);
        }
        let control = pci_model::MsixControl {
            enabled: true,
            function_mask: value & 1 != 0,
            vectors: 8,
        };
        let fired = self.fire(at.offset(), control);
        let pending = self.take_pending(control);
        assert!(
            pending.is_none() || !control.function_mask,
            "{pending:?} is delivered though all are masked"
        );
        self.read_pending(0, data);
        u64::from_le_bytes(bytes) ^ u64::from(matches!(fired, pci_model::MsixDelivery::Send(_)))
    }
}

/// Memory without RAM: every DMA fails.
struct Nowhere;

impl GuestMemory for Nowhere {
    fn read(&self, _gpa: u64, _buf: &mut [u8]) -> Result<(), MemoryError> {
        Err(MemoryError)
    }

    fn write(&self, _gpa: u64, _buf: &[u8]) -> Result<(), MemoryError> {
        Err(MemoryError)
    }
}

impl Device for FwCfg {
    type State = FwCfgStateV1;
    const EXACT: bool = false;

    fn new() -> Option<Self> {
        let mut builder = FwCfgBuilder::new();
        builder.add_item(0x0005, 2_u16.to_le_bytes()).ok()?;
        builder
            .add_file("etc/igd-bdsm-size", 0x0400_0000_u64.to_le_bytes())
            .ok()?;
        builder.add_file("etc/w", Item::writable(vec![7; 8])).ok()?;
        builder
            .add_file("etc/p", Item::writable(vec![1; 4]).paused_on_select())
            .ok()?;
        Some(builder.build())
    }

    fn state(&self) -> Self::State {
        Self::state(self)
    }

    fn restore(&mut self, state: &Self::State) -> Result<(), String> {
        Self::restore(self, state).map_err(|error| error.to_string())
    }

    fn access(&mut self, Access { at, value, is_write }: Access) -> u64 {
        let mut bytes = value.to_le_bytes();
        let data = bytes.get_mut(..at.width().len()).unwrap_or_default();
        let offset = at.offset() & 0xf;
        if self.is_paused() {
            return self.resume(&Nowhere).fault.is_some().into();
        }
        if is_write {
            return self.port_write(offset, data, &Nowhere).paused.into();
        }
        assert!(
            self.port_read(offset, data).is_ok(),
            "content in memory fails to be read"
        );
        u32::from_le_bytes(bytes).into()
    }
}

impl Device for IgdDevice {
    type State = IgdDeviceStateV1;
    const EXACT: bool = true;

    fn new() -> Option<Self> {
        Some(Self::new(&DeviceSetup {
            ggc: Some(0x02c1),
            bdsm: BdsmSetup::Dword(0),
            asls: Some(0),
            ggc_mirror: true,
            bdsm_mirror: true,
            gtt_port: Some(GttPortSetup {
                host_bdsm: 0x8b80_0000,
                entry_size: 8,
                index_end: 0x80_0000,
            }),
            ..DeviceSetup::default()
        }))
    }

    fn state(&self) -> Self::State {
        Self::state(self)
    }

    fn restore(&mut self, state: &Self::State) -> Result<(), String> {
        Self::restore(self, state).map_err(|error| error.to_string())
    }

    fn access(&mut self, Access { at, value, is_write }: Access) -> u64 {
        match (is_write, at.offset() & 0x400 != 0) {
            (true, false) => self
                .config_write(at, value)
                .forwards()
                .map(|(_, value)| u64::from(value))
                .sum(),
            (true, true) => self
                .bar4_write((at.offset() & 7).into(), at.width().len(), value)
                .value
                .into(),
            (false, false) => self.config_read(at, 0).into(),
            (false, true) => self.bar0_read(0x10_8000 + u64::from(at.offset() & 0xff), at.width().len(), 0),
        }
    }
}
