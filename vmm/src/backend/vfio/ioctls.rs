// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Calls that `vfio-ioctls` lacks, or whose errors it keeps to itself.

use std::io;
use std::os::fd::AsRawFd;

use vfio_bindings::bindings::vfio::{
    VFIO_BASE, VFIO_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_DATA_NONE, VFIO_TYPE, vfio_device_info, vfio_irq_set,
};
use vmm_sys_util::ioctl::{ioctl, ioctl_with_mut_ref, ioctl_with_ref};
use vmm_sys_util::ioctl_io_nr;

ioctl_io_nr!(VFIO_DEVICE_GET_INFO, VFIO_TYPE.into(), VFIO_BASE + 7);
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

/// Resets the function.
pub(super) fn reset(device: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: the call has no argument.
    #[expect(unsafe_code, reason = "VFIO_DEVICE_RESET")]
    let result = unsafe { ioctl(device, VFIO_DEVICE_RESET()) };
    checked(result)
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
