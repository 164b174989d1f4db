// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The platforms, one a row.
//!
//! Device ids: Linux, `include/drm/intel/pciids.h`, and The PCI ID Repository. Sizes, addresses and the length of the
//! VBT are what firmware of such machines typically chooses; each stays within what the platform can say.

use super::{CapabilityLayout, Class, OpRegionVersion, Profile, RomKind};

macro_rules! profiles {
    ($($name:literal $platform:literal $class:ident $display:literal | $device:literal $revision:literal $caps:ident
        | $stolen:literal $gtt:literal $base:literal | $major:literal $minor:literal $vbt:literal $rom:ident
        | $host:literal $lpc:literal;)*) => {
        /// Oldest first.
        pub(super) const PROFILES: &[Profile] = &[$(Profile {
            name: $name,
            platform: $platform,
            class: Class::$class,
            display: $display,
            device: $device,
            revision: $revision,
            capabilities: CapabilityLayout::$caps,
            stolen_mib: $stolen,
            gtt_mib: $gtt,
            stolen_base: $base,
            opregion: OpRegionVersion::new($major, $minor),
            vbt_len: $vbt,
            rom: RomKind::$rom,
            host_bridge: $host,
            lpc_bridge: $lpc,
        }),*];
    };
}

// Name, platform, class, display | device, revision, capabilities | stolen MiB, GTT MiB, stolen base
// | OpRegion major, minor, VBT bytes, ROM | host bridge, ISA bridge
profiles! {
    "snb"  "Sandy Bridge"  Gen6        6  | 0x0116 0x09 Legacy  |  64 2 0xdba0_0000 | 2 0 0x1080 LegacyAndEfi | 0x0104 0x1c4f;
    "ivb"  "Ivy Bridge"    Gen6        7  | 0x0166 0x09 Legacy  |  64 2 0xdba0_0000 | 2 0 0x1080 LegacyAndEfi | 0x0154 0x1e55;
    "hsw"  "Haswell"       Gen7        7  | 0x0412 0x06 Legacy  |  32 2 0xdd20_0000 | 2 0 0x1200 LegacyAndEfi | 0x0c00 0x8c50;
    "vlv"  "Valleyview"    Gen7        7  | 0x0f31 0x0e Atom    |  64 2 0x7ba0_0000 | 2 0 0x1000 LegacyAndEfi | 0x0f00 0x0f1c;
    "bdw"  "Broadwell"     Gen8        8  | 0x1616 0x09 Legacy  |  32 4 0xdd60_0000 | 2 0 0x1400 LegacyAndEfi | 0x1604 0x9cc3;
    "chv"  "Cherryview"    Cherryview  8  | 0x22b1 0x35 Atom    |  32 4 0x7d00_0000 | 2 0 0x1600 LegacyAndEfi | 0x2280 0x229c;
    "skl"  "Skylake"       Gen9        9  | 0x1912 0x06 Express |  32 8 0x8b80_0000 | 2 0 0x1700 LegacyAndEfi | 0x191f 0xa146;
    "bxt"  "Broxton"       Gen9        9  | 0x5a85 0x0b Express |  64 8 0x7c00_0000 | 2 0 0x1800 LegacyAndEfi | 0x5af0 0x5ae8;
    "glk"  "Gemini Lake"   Gen9        9  | 0x3185 0x03 Express |  64 8 0x7c00_0000 | 2 0 0x1e00 LegacyAndEfi | 0x31f0 0x31e8;
    "kbl"  "Kaby Lake"     Gen9        9  | 0x5912 0x04 Express |  32 8 0x8b80_0000 | 2 1 0x2000 LegacyAndEfi | 0x591f 0xa2c5;
    "cfl"  "Coffee Lake"   Gen9        9  | 0x3e92 0x00 Express |  64 8 0x8b80_0000 | 2 1 0x2200 LegacyAndEfi | 0x3ec2 0xa305;
    "cml"  "Comet Lake"    Gen9        9  | 0x9bc5 0x03 Express |  64 8 0x8b80_0000 | 2 1 0x2200 LegacyAndEfi | 0x9b43 0x0685;
    "icl"  "Ice Lake"      Gen11       11 | 0x8a52 0x07 Express |  60 8 0x7c80_0000 | 2 1 0x2200 Efi          | 0x8a12 0x3482;
    "ehl"  "Elkhart Lake"  Gen11       11 | 0x4571 0x01 Express |  60 8 0x7c80_0000 | 2 1 0x2200 Efi          | 0x4514 0x4b00;
    "jsl"  "Jasper Lake"   Gen11       11 | 0x4e61 0x01 Express |  60 8 0x7c80_0000 | 2 1 0x2200 Efi          | 0x4e24 0x4d87;
    "tgl"  "Tiger Lake"    Gen12       12 | 0x9a49 0x01 Express |  64 8 0x4c80_0000 | 2 1 0x2200 Efi          | 0x9a14 0xa082;
    "rkl"  "Rocket Lake"   Gen12       12 | 0x4c8a 0x04 Express |  64 8 0x8b80_0000 | 2 1 0x2200 Efi          | 0x4c43 0x4385;
    "adl"  "Alder Lake-S"  Gen12       12 | 0x4680 0x0c Express |  60 8 0x7c80_0000 | 2 1 0x2400 Efi          | 0x4660 0x7a84;
    "adlp" "Alder Lake-P"  Gen12       13 | 0x46a6 0x0c Express |  60 8 0x7c80_0000 | 2 1 0x2400 Efi          | 0x4641 0x5182;
    "adln" "Alder Lake-N"  Gen12       13 | 0x46d1 0x00 Express |  60 8 0x7c80_0000 | 2 1 0x2400 Efi          | 0x461c 0x5481;
    "rpl"  "Raptor Lake-S" Gen12       12 | 0xa780 0x04 Express |  60 8 0x7c80_0000 | 2 1 0x2400 Efi          | 0xa700 0x7a04;
    "rplp" "Raptor Lake-P" Gen12       13 | 0xa7a0 0x04 Express |  60 8 0x7c80_0000 | 2 1 0x2400 Efi          | 0xa706 0x519d;
    "mtl"  "Meteor Lake"   LocalMemory 14 | 0x7d55 0x08 Express | 128 8 0x7400_0000 | 2 4 0x2400 Efi          | 0x7d01 0x7e02;
    "lnl"  "Lunar Lake"    LocalMemory 20 | 0x64a0 0x04 Express |  60 8 0x7480_0000 | 3 0 0x2400 None         | 0x6400 0xa807;
    "ptl"  "Panther Lake"  LocalMemory 30 | 0xb080 0x04 Express |  60 8 0x7480_0000 | 3 0 0x2400 None         | 0xb000 0xe302;
}
