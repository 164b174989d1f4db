// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Calls that `vfio-ioctls` lacks, or whose errors it keeps to itself.

use std::io;
use std::os::fd::AsRawFd;

use vfio_bindings::bindings::vfio::{
    VFIO_BASE, VFIO_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_EVENTFD,
    VFIO_IRQ_SET_DATA_NONE, VFIO_TYPE, vfio_device_info, vfio_irq_set, vfio_region_info,
};
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::ioctl::{ioctl, ioctl_with_mut_ref, ioctl_with_ptr, ioctl_with_ref};
use vmm_sys_util::ioctl_io_nr;

ioctl_io_nr!(VFIO_DEVICE_GET_INFO, VFIO_TYPE.into(), VFIO_BASE + 7);
ioctl_io_nr!(VFIO_DEVICE_GET_REGION_INFO, VFIO_TYPE.into(), VFIO_BASE + 8);
ioctl_io_nr!(VFIO_DEVICE_SET_IRQS, VFIO_TYPE.into(), VFIO_BASE + 10);
ioctl_io_nr!(VFIO_DEVICE_RESET, VFIO_TYPE.into(), VFIO_BASE + 11);

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Flags and numbers of regions and interrupts.
pub(super) fn info(device: &impl AsRawFd) -> io::Result<vfio_device_info> {
    let mut info = vfio_device_info {
        argsz: u32::try_from(size_of::<vfio_device_info>()).unwrap_or(0),
        ..Default::default()
    };
    // SAFETY: the kernel writes no more than `argsz` bytes, which is what the structure has.
    #[expect(unsafe_code, reason = "VFIO_DEVICE_GET_INFO fills a structure")]
    let result = unsafe { ioctl_with_mut_ref(device, VFIO_DEVICE_GET_INFO(), &mut info) };
    checked(result).map(|()| info)
}

/// Whether the kernel tells of a region with this index.
pub(super) fn has_region(device: &impl AsRawFd, index: u32) -> bool {
    let mut info = vfio_region_info {
        argsz: u32::try_from(size_of::<vfio_region_info>()).unwrap_or(0),
        index,
        ..Default::default()
    };
    // SAFETY: the kernel writes no more than `argsz` bytes, which is what the structure has.
    #[expect(unsafe_code, reason = "VFIO_DEVICE_GET_REGION_INFO fills a structure")]
    let result = unsafe { ioctl_with_mut_ref(device, VFIO_DEVICE_GET_REGION_INFO(), &mut info) };
    checked(result).is_ok()
}

/// Resets the function.
pub(super) fn reset(device: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: the call has no argument.
    #[expect(unsafe_code, reason = "VFIO_DEVICE_RESET")]
    let result = unsafe { ioctl(device, VFIO_DEVICE_RESET()) };
    checked(result)
}

/// Lets the interrupts of an index go to these eventfds, and says how many the kernel could set up: all, or none and
/// how many there are.
pub(super) fn trigger(device: &impl AsRawFd, index: u32, triggers: &[&EventFd]) -> io::Result<usize> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let count = u32::try_from(triggers.len()).map_err(invalid)?;
    let header = u32::try_from(size_of::<vfio_irq_set>()).map_err(invalid)?;
    let flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    // The structure's words, then a descriptor each.
    let mut words = vec![header.saturating_add(count.saturating_mul(4)), flags, index, 0, count];
    words.extend(triggers.iter().map(|trigger| trigger.as_raw_fd().cast_unsigned()));
    // SAFETY: the first word says how many bytes there are, and the kernel only reads them.
    #[expect(unsafe_code, reason = "VFIO_DEVICE_SET_IRQS reads a structure and what follows it")]
    let result = unsafe { ioctl_with_ptr(device, VFIO_DEVICE_SET_IRQS(), words.as_ptr()) };
    checked(result)?;
    Ok(match usize::try_from(result) {
        Ok(available) if available > 0 => available,
        _ => triggers.len(),
    })
}

/// Masks the first interrupt of an index.
pub(super) fn mask(device: &impl AsRawFd, index: u32) -> io::Result<()> {
    let set = vfio_irq_set {
        argsz: u32::try_from(size_of::<vfio_irq_set>()).unwrap_or(0),
        flags: VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK,
        index,
        start: 0,
        count: 1,
        ..Default::default()
    };
    // SAFETY: the flags say that no data follows the structure, and the kernel only reads it.
    #[expect(unsafe_code, reason = "VFIO_DEVICE_SET_IRQS reads a structure")]
    let result = unsafe { ioctl_with_ref(device, VFIO_DEVICE_SET_IRQS(), &set) };
    checked(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_five_words() {
        assert_eq!(size_of::<vfio_irq_set>(), 20);
        assert_eq!(VFIO_DEVICE_SET_IRQS(), 0x3b6e);
        let not_a_device = std::fs::File::open("/dev/null").unwrap();
        let trigger = EventFd::new(0).unwrap();
        assert!(super::trigger(&not_a_device, 2, &[&trigger]).is_err());
    }
}
