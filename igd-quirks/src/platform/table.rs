// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What each platform is, one row a line.

use super::{Class, PchFamily, Platform};

/// What sets a platform apart.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) class: Option<Class>,
    /// i915 `DISPLAY_VER`.
    pub(super) display_version: u8,
    pub(super) pch: &'static [PchFamily],
}

const fn new(name: &'static str, class: Option<Class>, display_version: u8, pch: &'static [PchFamily]) -> Row {
    Row {
        name,
        class,
        display_version,
        pch,
    }
}

use Class::{Chv, G6, G7, G8, G9, G11, G12, LmemBar};

/// ISA bridges are the families for which drivers accept the platform without a warning: i915 `intel_pch.c`.
#[rustfmt::skip]
pub(super) const fn row(platform: Platform) -> Row {
    match platform {
        Platform::Ilk  => new("Ironlake",       None,          5,  IBX),
        Platform::Snb  => new("Sandy Bridge",   Some(G6),      6,  CPT),
        Platform::Ivb  => new("Ivy Bridge",     Some(G6),      7,  CPT),
        Platform::Hsw  => new("Haswell",        Some(G7),      7,  LPT),
        Platform::Vlv  => new("Valleyview",     Some(G7),      7,  NONE),
        Platform::Bdw  => new("Broadwell",      Some(G8),      8,  LPT),
        Platform::Chv  => new("Cherryview",     Some(Chv),     8,  NONE),
        Platform::Skl  => new("Skylake",        Some(G9),      9,  SKL),
        Platform::Bxt  => new("Broxton",        Some(G9),      9,  NONE),
        Platform::Glk  => new("Gemini Lake",    Some(G9),      10, NONE),
        Platform::Kbl  => new("Kaby Lake",      Some(G9),      9,  SKL),
        Platform::Cfl  => new("Coffee Lake",    Some(G9),      9,  CFL),
        Platform::Whl  => new("Whiskey Lake",   Some(G9),      9,  CFL),
        Platform::Cml  => new("Comet Lake",     Some(G9),      9,  CML),
        Platform::Cnl  => new("Cannon Lake",    Some(G9),      10, CNP),
        Platform::Icl  => new("Ice Lake",       Some(G11),     11, ICL),
        Platform::Ehl  => new("Elkhart Lake",   Some(G11),     11, JSL),
        Platform::Jsl  => new("Jasper Lake",    Some(G11),     11, JSL),
        Platform::Tgl  => new("Tiger Lake",     Some(G12),     12, TGP),
        Platform::Rkl  => new("Rocket Lake",    Some(G12),     12, RKL),
        Platform::AdlS => new("Alder Lake-S",   Some(G12),     12, ADP),
        Platform::AdlP => new("Alder Lake-P",   Some(G12),     13, ADP),
        Platform::AdlN => new("Alder Lake-N",   Some(G12),     13, ADP),
        Platform::RplS => new("Raptor Lake-S",  Some(G12),     12, ADP),
        Platform::RplU => new("Raptor Lake-U",  Some(G12),     13, ADP),
        Platform::RplP => new("Raptor Lake-P",  Some(G12),     13, ADP),
        Platform::Mtl  => new("Meteor Lake",    Some(LmemBar), 14, NONE),
        Platform::Arl  => new("Arrow Lake",     Some(LmemBar), 14, NONE),
        Platform::Lnl  => new("Lunar Lake",     Some(LmemBar), 20, NONE),
        Platform::Ptl  => new("Panther Lake",   Some(LmemBar), 30, NONE),
        Platform::Wcl  => new("Wildcat Lake",   Some(LmemBar), 30, NONE),
        Platform::NvlS => new("Nova Lake-S",    Some(LmemBar), 35, NONE),
        Platform::NvlP => new("Nova Lake-P",    Some(LmemBar), 35, NONE),
    }
}

const fn pch(id: u16) -> PchFamily {
    PchFamily(id)
}

const NONE: &[PchFamily] = &[];
const IBX: &[PchFamily] = &[pch(0x3b00)];
const CPT: &[PchFamily] = &[pch(0x1c00), pch(0x1e00)];
const LPT: &[PchFamily] = &[pch(0x8c00), pch(0x8c80), pch(0x9c00), pch(0x9c80)];
const SKL: &[PchFamily] = &[pch(0xa100), pch(0x9d00), pch(0xa280), pch(0xa080), pch(0x4380)];
const CFL: &[PchFamily] = &[
    pch(0xa300),
    pch(0x9d80),
    pch(0xa100),
    pch(0x9d00),
    pch(0xa280),
    pch(0x0280),
    pch(0x0680),
    pch(0xa380),
    pch(0xa080),
    pch(0x4380),
];
const CML: &[PchFamily] = &[
    pch(0x0280),
    pch(0x0680),
    pch(0xa380),
    pch(0xa300),
    pch(0x9d80),
    pch(0x9d00),
    pch(0xa280),
    pch(0xa080),
    pch(0x4380),
];
const CNP: &[PchFamily] = &[pch(0x9d80), pch(0xa300)];
const ICL: &[PchFamily] = &[pch(0x3480), pch(0x3880)];
const JSL: &[PchFamily] = &[pch(0x4b00), pch(0x4d80)];
const TGP: &[PchFamily] = &[pch(0xa080), pch(0x4380)];
const RKL: &[PchFamily] = &[pch(0xa080), pch(0x4380), pch(0x0280), pch(0x0680)];
const ADP: &[PchFamily] = &[pch(0x7a80), pch(0x5180), pch(0x7a00), pch(0x5480)];
