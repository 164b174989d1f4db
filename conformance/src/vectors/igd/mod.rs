// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The decisions of `igd-quirks`, table by table.

mod decision;
mod identity;
mod opregion;
mod ports;
mod registers;
mod sizes;

use igd_quirks::platform::Class;

use super::{Answers, Decision, Question, REFUSED};

/// What the crate decides, by `@about`.
pub(super) const TABLES: [(&str, Decision); 8] = [
    ("ggc", sizes::ggc),
    ("gms-override", sizes::gms_override),
    ("qemu-generation", identity::qemu_generation),
    ("pch", identity::pch),
    ("opregion", opregion::presented),
    ("legacy-decision", decision::legacy),
    ("registers", registers::registers),
    ("bar4", ports::bar4),
];

const CLASSES: [(&str, Class); 8] = [
    ("G6", Class::G6),
    ("G7", Class::G7),
    ("G8", Class::G8),
    ("CHV", Class::Chv),
    ("G9", Class::G9),
    ("G11", Class::G11),
    ("G12", Class::G12),
    ("LMEMBAR", Class::LmemBar),
];
