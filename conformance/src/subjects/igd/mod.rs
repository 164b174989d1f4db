// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The devices of this repository as a subject: `pci-model`, `fwcfg` and `lpc-bridge` put together as a machine.

mod board;
mod devices;
mod firmware_config;
mod machine;
mod quirks;
mod ram;
mod setting;

use crate::subject::{Machine, Refusal, Subject};
use crate::trace::Header;
use crate::vectors::{self, Question};

pub use setting::Setting;

/// The devices of this repository.
#[derive(Clone, Copy, Debug, Default)]
pub struct Igd {
    /// The compatibility setting for every trace; without it each trace's header decides.
    pub setting: Option<Setting>,
}

impl Subject for Igd {
    fn name(&self) -> &str {
        "igd"
    }

    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    fn machine(&self, header: &Header) -> Result<Box<dyn Machine + '_>, Refusal> {
        let setting = match self.setting {
            Some(setting) => setting,
            None => Setting::of(header).map_err(Refusal::Error)?,
        };
        Ok(Box::new(machine::IgdMachine::new(header, setting)?))
    }

    fn decide(&self, question: &Question<'_>) -> Result<Vec<(&'static str, String)>, Refusal> {
        vectors::answer(question)
    }
}
