// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Fw_cfg DMA over sparse guest memory, against a naive model.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "fw_cfg_dma",
    package: "fwcfg",
    summary: "fw_cfg DMA over sparse guest memory, against a naive model",
    run,
    describe,
};

/// Runs one input.
pub fn run(_data: &[u8]) {}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    format!("{data:02x?}")
}
