// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![forbid(unsafe_code)]
//! Fuzzing targets as functions of bytes, each with an oracle, and a reader's view of their inputs.
//!
//! A target panics when an oracle is broken, and never otherwise. What it does with an input depends on nothing
//! but the input, so a crash found by libFuzzer is a failing test here, on a stable compiler.

pub mod bar_carving;
pub mod config_mechanism;
pub mod config_space;
pub mod facts_file;
mod fw_cfg;
pub mod fw_cfg_dma;
pub mod fw_cfg_ports;
pub mod ggc;
pub mod igd_device;
pub mod lpc_bridge;
pub mod opregion;
pub mod option_rom;
pub mod plan;
pub mod records;
pub mod snapshot;
pub mod trace_file;
mod util;
pub mod vbt;
pub mod vfio_user_client;
pub mod vfio_user_server;
pub mod vmm_machine;

/// A target: what the fuzzer calls and what a person reads.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, also that of its folder of seeds, of regressions and of its dictionary.
    pub name: &'static str,
    /// The package whose code it exercises; coverage is counted there.
    pub package: &'static str,
    /// What is fuzzed, and what it is compared with.
    pub summary: &'static str,
    /// Runs one input; panics when an oracle is broken.
    pub run: fn(&[u8]),
    /// The accesses or fields that an input stands for, one a line.
    pub describe: fn(&[u8]) -> String,
    /// Inputs worth starting from, with a file name each.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
}

/// Every target, in alphabetical order.
pub const TARGETS: &[Target] = &[
    bar_carving::TARGET,
    config_mechanism::TARGET,
    config_space::TARGET,
    facts_file::TARGET,
    fw_cfg_dma::TARGET,
    fw_cfg_ports::TARGET,
    ggc::TARGET,
    igd_device::TARGET,
    lpc_bridge::TARGET,
    opregion::TARGET,
    option_rom::TARGET,
    plan::TARGET,
    snapshot::TARGET,
    trace_file::TARGET,
    vbt::TARGET,
    vfio_user_client::TARGET,
    vfio_user_server::TARGET,
    vmm_machine::TARGET,
];
