// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The policies, one table each.

use super::Miss::{Fails, FailsAfterOpRegion, NotChosen};
use super::{AslsRule, ClassRule, GgcRule, GttRule, HotplugRule, IdRule, LegacyFailure, PolicyRules, Requirement};
use crate::plan::Provisioning;
use crate::platform::QemuEra;

const ALL_STRATEGIES: &[Provisioning] = &[Provisioning::FwCfg, Provisioning::Direct, Provisioning::Identity];

pub(super) const NATIVE: PolicyRules = PolicyRules {
    ids: IdRule::Exact,
    classes: ClassRule::Display,
    needs_opregion_region: false,
    opregion_for_unknown: true,
    opregion_default: false,
    separate_options: true,
    legacy: &[
        (Requirement::Address, NotChosen),
        (Requirement::VgaClass, NotChosen),
        (Requirement::Generation { from: 6, to: u8::MAX }, NotChosen),
        (Requirement::VgaClaimed, NotChosen),
        (Requirement::HostBridge, NotChosen),
        (Requirement::IsaSlotUsable, NotChosen),
        (Requirement::Rom, NotChosen),
        (Requirement::VgaRegion, NotChosen),
        (Requirement::SoleVga, NotChosen),
        (Requirement::OpRegion, NotChosen),
        (Requirement::HostBridgeRegion, NotChosen),
        (Requirement::LpcRegion, NotChosen),
        (Requirement::FirmwareFiles, NotChosen),
    ],
    legacy_failure: LegacyFailure::WithoutLegacy,
    hotplug: HotplugRule::Refuse,
    stolen_in_upt: true,
    size_file_for_unknown: false,
    ggc: GgcRule::Always,
    ggc_is_dword: false,
    ggc_mirror: true,
    bdsm_mirror_from: Some(6),
    redirect_mirrors: false,
    bdsm_qword_from: Some(11),
    asls: AslsRule::Always,
    hide_swsci: true,
    translate_gtt_ports: false,
    gtt: GttRule::ClearInBar0,
    strict: true,
    provisioning: ALL_STRATEGIES,
};

/// QEMU `docs/igd-assign.txt`, "Legacy mode", as of QEMU 2.7.
pub(super) const DOCUMENT_2016: PolicyRules = PolicyRules {
    classes: ClassRule::Display,
    separate_options: true,
    legacy: &[
        (Requirement::Address, NotChosen),
        (Requirement::OpRegion, Fails),
        (Requirement::HostBridgeRegion, Fails),
        (Requirement::LpcRegion, Fails),
        (Requirement::VgaRegion, Fails),
        (Requirement::FirmwareFiles, Fails),
        (Requirement::HostBridge, Fails),
        (Requirement::IsaSlotFree, Fails),
        (Requirement::Rom, Fails),
        (Requirement::ColdPlug, Fails),
        (Requirement::Generation { from: 6, to: u8::MAX }, Fails),
    ],
    legacy_failure: LegacyFailure::Refuse,
    ..QEMU_9_1
};

pub(super) const QEMU_9_1: PolicyRules = PolicyRules {
    ids: IdRule::Qemu(QemuEra::UpTo9_1),
    classes: ClassRule::Any,
    needs_opregion_region: false,
    opregion_for_unknown: true,
    opregion_default: false,
    separate_options: false,
    legacy: &[
        (Requirement::VgaClass, NotChosen),
        (Requirement::Address, NotChosen),
        (Requirement::IsaSlotFree, Fails),
        (Requirement::Generation { from: 6, to: u8::MAX }, Fails),
        (Requirement::RomRegion, Fails),
        (Requirement::ColdPlug, Fails),
        (Requirement::OpRegion, Fails),
        (Requirement::HostBridgeRegion, Fails),
        (Requirement::LpcRegion, Fails),
        (Requirement::VgaRegionIfClaimed, Fails),
    ],
    legacy_failure: LegacyFailure::WithoutLegacy,
    hotplug: HotplugRule::RefuseFiles,
    stolen_in_upt: false,
    size_file_for_unknown: false,
    ggc: GgcRule::Always,
    ggc_is_dword: true,
    ggc_mirror: false,
    bdsm_mirror_from: None,
    redirect_mirrors: true,
    bdsm_qword_from: None,
    asls: AslsRule::WithOpRegion,
    hide_swsci: false,
    translate_gtt_ports: true,
    gtt: GttRule::ClearByPorts,
    strict: false,
    provisioning: &[Provisioning::FwCfg],
};

pub(super) const QEMU_9_2: PolicyRules = PolicyRules {
    ids: IdRule::Qemu(QemuEra::V9_2),
    bdsm_mirror_from: Some(11),
    bdsm_qword_from: Some(11),
    ..QEMU_9_1
};

pub(super) const QEMU_10_0: PolicyRules = PolicyRules {
    ids: IdRule::Qemu(QemuEra::V10_0),
    classes: ClassRule::Vga,
    opregion_for_unknown: false,
    separate_options: true,
    legacy: &[
        (Requirement::I440Fx, NotChosen),
        (Requirement::Address, NotChosen),
        (Requirement::RomRegion, Fails),
        (Requirement::VgaRegionIfClaimed, Fails),
        (Requirement::ColdPlug, Fails),
        (Requirement::OpRegion, Fails),
        (Requirement::IsaSlotFree, FailsAfterOpRegion),
        (Requirement::HostBridgeRegion, FailsAfterOpRegion),
        (Requirement::LpcRegion, FailsAfterOpRegion),
    ],
    legacy_failure: LegacyFailure::Abandon,
    stolen_in_upt: true,
    ggc_mirror: true,
    bdsm_mirror_from: Some(6),
    translate_gtt_ports: false,
    gtt: GttRule::Keep,
    ..QEMU_9_2
};

pub(super) const QEMU_10_1: PolicyRules = PolicyRules {
    ids: IdRule::Qemu(QemuEra::From10_1),
    classes: ClassRule::Display,
    needs_opregion_region: true,
    opregion_for_unknown: true,
    opregion_default: true,
    legacy: &[
        (Requirement::VgaClass, NotChosen),
        (Requirement::Generation { from: 6, to: 9 }, NotChosen),
        (Requirement::VgaClaimed, NotChosen),
        (Requirement::I440Fx, NotChosen),
        (Requirement::Address, NotChosen),
        (Requirement::RomRegion, Fails),
        (Requirement::VgaRegion, Fails),
        (Requirement::IsaSlotFree, FailsAfterOpRegion),
        (Requirement::HostBridgeRegion, FailsAfterOpRegion),
        (Requirement::LpcRegion, FailsAfterOpRegion),
    ],
    hotplug: HotplugRule::DoNothing,
    size_file_for_unknown: true,
    ggc: GgcRule::IfOverridden,
    asls: AslsRule::Always,
    ..QEMU_10_0
};
