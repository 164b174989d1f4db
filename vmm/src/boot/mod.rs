// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the guest's firmware or kernel is given and told.

pub mod acpi;
pub mod e820;
pub mod image;
mod items;
pub mod linux;
pub mod smbios;

pub use items::fw_cfg;
