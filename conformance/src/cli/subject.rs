// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `--subject`: what is tested.

use std::str::FromStr;
use std::sync::Arc;

use crate::runner::{SharedSubject, Storage};
use crate::subjects::igd::{Igd, Setting};
use crate::subjects::qtest::{Launcher, Qemu, Qtest};

/// The subject that is tested unless another is named: the device models of this repository.
#[must_use]
pub fn default_subject() -> SharedSubject {
    Arc::new(Igd::default())
}

/// What is tested.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum SubjectArg {
    /// The device models of this repository, under a compatibility setting if not under the one a trace asks for.
    Igd(Option<Setting>),
    /// A running program that speaks qtest; the text is what [`Qtest`] parses.
    Qtest(String),
    /// A QEMU started for each trace; the text is what [`Launcher`] parses.
    Qemu(String),
    /// Plain storage.
    Storage,
}

impl Default for SubjectArg {
    fn default() -> Self {
        Self::Igd(None)
    }
}

impl FromStr for SubjectArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text
            .split_once(':')
            .map_or((text, None), |(name, rest)| (name, Some(rest)))
        {
            ("igd", setting) => Ok(Self::Igd(setting.map(str::parse).transpose()?)),
            ("storage", None) => Ok(Self::Storage),
            ("qemu", None) => Ok(Self::Qemu(String::new())),
            ("qemu", Some(launcher)) if !launcher.is_empty() => {
                launcher.parse::<Launcher>().map(|_| Self::Qemu(launcher.to_owned()))
            }
            ("qtest", Some(socket)) => socket.parse::<Qtest>().map(|_| Self::Qtest(socket.to_owned())),
            _ => Err("expected igd, igd:SETTING, qtest:SOCKET, qemu, qemu:BINARY or storage".to_owned()),
        }
    }
}

impl SubjectArg {
    /// The subject.
    pub(super) fn open(&self) -> anyhow::Result<SharedSubject> {
        Ok(match self {
            Self::Igd(setting) => Arc::new(Igd { setting: *setting }),
            Self::Storage => Arc::new(Storage),
            Self::Qemu(launcher) => Arc::new(launcher.parse().and_then(Qemu::new).map_err(anyhow::Error::msg)?),
            Self::Qtest(socket) => Arc::new(socket.parse::<Qtest>().map_err(anyhow::Error::msg)?),
        })
    }

    /// The option that chooses this subject, with a space before it; nothing for the default.
    pub(super) fn option(&self) -> String {
        match self {
            Self::Igd(None) => String::new(),
            Self::Igd(Some(setting)) => format!(" --subject igd:{setting}"),
            Self::Storage => " --subject storage".to_owned(),
            Self::Qemu(binary) if binary.is_empty() => " --subject qemu".to_owned(),
            Self::Qemu(binary) => format!(" --subject qemu:{binary}"),
            Self::Qtest(socket) => format!(" --subject qtest:{socket}"),
        }
    }
}
