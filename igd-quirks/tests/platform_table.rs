// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Device ids, platforms, QEMU's prefix maps and Linux's search for a platform controller hub, against lists of their
//! own.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use igd_quirks::platform::{
    BdsmKind, Class, DISCRETE_IDS, Identified, IsaBridge, PCH_IDS, PLATFORM_IDS, Pch, PchDetection, PchFamily,
    Platform, QemuEra, detect_pch, identify, qemu_generation,
};
use proptest::prelude::*;

/// Ids of all platforms but Haswell, as pciids.h lists them.
#[rustfmt::skip]
const IDS: &[(Platform, &str)] = &[
    (Platform::Ilk, "0042 0046"),
    (Platform::Snb, "0102 0106 010a 0112 0116 0122 0126"),
    (Platform::Ivb, "0152 0156 015a 0162 0166 016a"),
    (Platform::Vlv, "0f30 0f31 0f32 0f33"),
    (Platform::Bdw, "1602 1606 160a 160b 160d 160e 1612 1616 161a 161b 161d 161e 1622 1626 162a 162b 162d \
        162e 1632 1636 163a 163b 163d 163e"),
    (Platform::Chv, "22b0 22b1 22b2 22b3"),
    (Platform::Skl, "1902 1906 190a 190b 190e 1912 1913 1915 1916 1917 191a 191b 191d 191e 1921 1923 1926 \
        1927 192a 192b 192d 1932 193a 193b 193d"),
    (Platform::Bxt, "0a84 1a84 1a85 5a84 5a85"),
    (Platform::Glk, "3184 3185"),
    (Platform::Kbl, "5902 5906 5908 590a 590b 590e 5912 5913 5915 5916 5917 591a 591b 591c 591d 591e 5921 \
        5923 5926 5927 593b 87c0"),
    (Platform::Cfl, "3e90 3e91 3e92 3e93 3e94 3e96 3e98 3e99 3e9a 3e9b 3e9c 3ea5 3ea6 3ea7 3ea8 3ea9 87ca"),
    (Platform::Whl, "3ea0 3ea1 3ea2 3ea3 3ea4"),
    (Platform::Cml, "9b21 9b41 9ba2 9ba4 9ba5 9ba8 9baa 9bac 9bc2 9bc4 9bc5 9bc6 9bc8 9bca 9bcc 9be6 9bf6"),
    (Platform::Cnl, "5a40 5a41 5a42 5a44 5a49 5a4a 5a4c 5a50 5a51 5a52 5a54 5a59 5a5a 5a5c"),
    (Platform::Icl, "8a50 8a51 8a52 8a53 8a54 8a56 8a57 8a58 8a59 8a5a 8a5b 8a5c 8a5d 8a70 8a71"),
    (Platform::Ehl, "4541 4551 4555 4557 4570 4571"),
    (Platform::Jsl, "4e51 4e55 4e57 4e61 4e71"),
    (Platform::Tgl, "9a40 9a49 9a59 9a60 9a68 9a70 9a78 9ac0 9ac9 9ad9 9af8"),
    (Platform::Rkl, "4c80 4c8a 4c8b 4c8c 4c90 4c9a"),
    (Platform::AdlS, "4680 4682 4688 468a 468b 4690 4692 4693"),
    (Platform::AdlP, "4626 4628 462a 46a0 46a1 46a2 46a3 46a6 46a8 46aa 46b0 46b1 46b2 46b3 46c0 46c1 46c2 \
        46c3"),
    (Platform::AdlN, "46d0 46d1 46d2 46d3 46d4"),
    (Platform::RplS, "a780 a781 a782 a783 a788 a789 a78a a78b"),
    (Platform::RplU, "a721 a7a1 a7a9 a7ac a7ad"),
    (Platform::RplP, "a720 a7a0 a7a8 a7aa a7ab"),
    (Platform::Mtl, "7d40 7d45 7d55 7d60 7dd5"),
    (Platform::Arl, "7d41 7d51 7d67 7dd1 b640"),
    (Platform::Lnl, "6420 64a0 64b0"),
    (Platform::Ptl, "b080 b081 b082 b083 b084 b085 b086 b087 b08f b090 b0a0 b0b0"),
    (Platform::Wcl, "fd80 fd81"),
    (Platform::NvlS, "d740 d741 d742 d743 d744 d745 d74a d74b"),
    (Platform::NvlP, "d750 d751 d752 d753 d754 d755 d756 d757 d75f"),
];

/// High and low bytes of Haswell's ids.
const HASWELL: (&str, &str) = ("04 0a 0c 0d", "02 06 0a 0b 0e 12 16 1a 1b 1e 22 26 2a 2b 2e");

fn hex(text: &str) -> impl Iterator<Item = u16> + '_ {
    text.split_whitespace()
        .map(|word| u16::from_str_radix(word, 16).unwrap())
}

fn expected() -> Vec<(u16, Platform)> {
    let haswell = hex(HASWELL.0).flat_map(|high| hex(HASWELL.1).map(move |low| (high << 8 | low, Platform::Hsw)));
    let others = IDS
        .iter()
        .flat_map(|(platform, ids)| hex(ids).map(|id| (id, *platform)));
    haswell.chain(others).collect()
}

#[test]
fn every_id_has_the_platform_of_its_list_and_no_other_id_has_one() {
    let expected = expected();
    assert_eq!(
        expected
            .iter()
            .filter(|(_, platform)| *platform == Platform::Hsw)
            .count(),
        60
    );
    for device in 0..=u16::MAX {
        let listed = expected
            .iter()
            .find(|(id, _)| *id == device)
            .map(|(_, platform)| *platform);
        let found = match identify(device) {
            Identified::Igd(platform) => Some(platform),
            _ => None,
        };
        assert_eq!(found, listed, "{device:04x}");
    }
}

#[test]
fn no_id_is_listed_twice() {
    let mut ids: Vec<u16> = PLATFORM_IDS.iter().flat_map(|(_, ids)| ids.iter().copied()).collect();
    ids.extend(DISCRETE_IDS.iter().flat_map(|(_, first, last)| *first..=*last));
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn discrete_cards_are_named_and_their_neighbours_unknown() {
    for (ids, family) in [
        ("4905 4909", "DG1"),
        ("5690 5697 56a0 56a6 56b0 56b3 56ba 56bf", "DG2"),
        ("56c0 56c2", "ATS-M"),
        ("e202 e209 e20d e210 e212 e216 e220 e223", "Battlemage"),
        ("0b69 0b6e 0bd4 0bdb 0be0 0be1 0be5", "Ponte Vecchio"),
        ("674c 6750", "Crescent Island"),
    ] {
        for id in hex(ids) {
            assert_eq!(identify(id), Identified::Discrete(family), "{id:04x}");
        }
    }
    for id in hex(
        "4904 490a 568f 5698 569f 56a7 56af 56b4 56b9 56c3 e201 e203 e208 e20e e20f e213 e215 e217 e21f e224 \
                   0b68 0b6a 0b6d 0b6f 0bd3 0bdc 0bdf 0be2 0be4 0be6 674b 6751 fff0 0000 ffff",
    ) {
        assert_eq!(identify(id), Identified::Unknown, "{id:04x}");
    }
}

/// Class, register of BDSM, version of the display engine.
#[rustfmt::skip]
const PLATFORMS: &[(&[Platform], Option<Class>, u8)] = {
    use Class as C;
    use Platform as P;
    &[
        (&[P::Ilk],                                     None,             5),
        (&[P::Snb],                                     Some(C::G6),      6),
        (&[P::Ivb],                                     Some(C::G6),      7),
        (&[P::Hsw, P::Vlv],                             Some(C::G7),      7),
        (&[P::Bdw],                                     Some(C::G8),      8),
        (&[P::Chv],                                     Some(C::Chv),     8),
        (&[P::Skl, P::Bxt, P::Kbl, P::Cfl, P::Whl, P::Cml], Some(C::G9),  9),
        (&[P::Glk, P::Cnl],                             Some(C::G9),      10),
        (&[P::Icl, P::Ehl, P::Jsl],                     Some(C::G11),     11),
        (&[P::Tgl, P::Rkl, P::AdlS, P::RplS],           Some(C::G12),     12),
        (&[P::AdlP, P::AdlN, P::RplU, P::RplP],         Some(C::G12),     13),
        (&[P::Mtl, P::Arl],                             Some(C::LmemBar), 14),
        (&[P::Lnl],                                     Some(C::LmemBar), 20),
        (&[P::Ptl, P::Wcl],                             Some(C::LmemBar), 30),
        (&[P::NvlS, P::NvlP],                           Some(C::LmemBar), 35),
    ]
};

#[test]
fn every_platform_has_its_class() {
    let mut seen = 0;
    for (platforms, class, display_version) in PLATFORMS {
        for platform in *platforms {
            assert_eq!(platform.class(), *class, "{platform}");
            assert_eq!(platform.display_version(), *display_version, "{platform}");
            seen += 1;
        }
    }
    let mut platforms: Vec<Platform> = PLATFORM_IDS.iter().map(|(platform, _)| *platform).collect();
    platforms.dedup();
    assert_eq!(
        platforms.len(),
        seen,
        "rows of a platform stand together, and each is in the list above"
    );
}

#[test]
fn classes_differ_in_bdsm_table_entries_and_bar0() {
    for class in Class::ALL {
        let (bdsm, pte, bar0) = match class {
            Class::G6 | Class::G7 => (BdsmKind::Dword, 4, 0x40_0000),
            Class::G8 | Class::Chv | Class::G9 => (BdsmKind::Dword, 8, 0x100_0000),
            Class::G11 | Class::G12 => (BdsmKind::Qword, 8, 0x100_0000),
            Class::LmemBar => (BdsmKind::None, 8, 0x100_0000),
        };
        assert_eq!(
            (class.bdsm(), class.pte_size(), class.typical_bar0_size()),
            (bdsm, pte, bar0),
            "{class}"
        );
    }
}

const NONE: i8 = -1;

fn generation(era: QemuEra, device: u16) -> i8 {
    qemu_generation(era, device).map_or(NONE, |generation| i8::try_from(generation).unwrap())
}

#[test]
fn qemu_from_10_0_maps_ids_to_generations() {
    for (ids, expected) in [
        ("0102 0166", 6),
        ("0412 0a16 0d22 0f31 0c02", 7),
        ("1616 22b1", 8),
        ("0a84 1912 5a85 1a84 1a85 5a84 3184 5917 591c 3e9b 3ea0 9bc5", 9),
        ("8a52 4571 4e61", 11),
        ("9a49 4c8a 4680 46d1 a780 a7a0", 12),
        ("5a40 87c0 87ca 7d55 b640 64a0 b080 0046 56a0 fff0", NONE),
        // The rule for Broxton looks at the low twelve bits only.
        ("fa84 fa85", 9),
    ] {
        for id in hex(ids) {
            assert_eq!(generation(QemuEra::V10_0, id), expected, "{id:04x}");
            assert_eq!(generation(QemuEra::From10_1, id), expected, "{id:04x}");
        }
    }
}

#[test]
fn qemu_up_to_9_1_takes_unknown_ids_for_generation_8() {
    for (ids, expected) in [
        ("0102 0412 0a16 0c02 0d22 0f31", 6),
        ("0a84 5a84 1616 1912 22b1 5917 3e92 8a52 9a49 7d55 fff0 0a85", 8),
        ("0046 2562 2772 2972 2a02 2e12 3577 a001", NONE),
    ] {
        for id in hex(ids) {
            // 0A85 is Haswell by its prefix: the rule for Broxton compares all twelve bits.
            let expected = if id == 0x0a85 { 6 } else { expected };
            assert_eq!(generation(QemuEra::UpTo9_1, id), expected, "{id:04x}");
        }
    }
}

#[test]
fn qemu_9_2_knows_few_generations() {
    for (ids, expected) in [
        ("0166 0412 0a16 0c02 0d22 0f31 0a85", 6),
        ("0a84 5a84 1616 1912 22b1 5917", 8),
        ("3e92", 9),
        ("4571", 11),
        ("9a49", 12),
        (
            "0046 2562 2772 2972 2a02 2e12 3577 a001 9bc5 8a52 3184 46a6 7d55 fff0 5a85",
            NONE,
        ),
    ] {
        for id in hex(ids) {
            assert_eq!(generation(QemuEra::V9_2, id), expected, "{id:04x}");
        }
    }
}

/// A chipset's bridge, not QEMU's.
fn bridge(device: u16) -> IsaBridge {
    IsaBridge {
        device,
        subsystem_vendor: 0x8086,
        subsystem: 0x7270,
    }
}

fn qemu_bridge(device: u16) -> IsaBridge {
    IsaBridge {
        device,
        subsystem_vendor: 0x1af4,
        subsystem: 0x1100,
    }
}

fn found(family: u16, kind: Pch) -> PchDetection {
    PchDetection::Found(PchFamily(family), kind)
}

fn guessed(family: u16, kind: Pch) -> PchDetection {
    PchDetection::Guessed(PchFamily(family), kind)
}

#[test]
fn linux_takes_the_first_bridge_it_knows() {
    #[rustfmt::skip]
    let cases: &[(Platform, u16, &[IsaBridge], PchDetection)] = &[
        (Platform::Cml,  0x9b41, &[bridge(0x9d84)],                       found(0x9d80, Pch::Cnp)),
        (Platform::Cml,  0x9bc5, &[bridge(0xa3c8)],                       found(0xa380, Pch::Spt)),
        (Platform::AdlS, 0x4680, &[bridge(0x7a86)],                       found(0x7a80, Pch::Adp)),
        (Platform::Cfl,  0x3e92, &[qemu_bridge(0x2918)],                  guessed(0xa300, Pch::Cnp)),
        (Platform::Cfl,  0x3e92, &[bridge(0x2918), bridge(0xa305)],       found(0xa300, Pch::Cnp)),
        (Platform::Cfl,  0x3e92, &[qemu_bridge(0x2918), bridge(0x7a86)],  guessed(0xa300, Pch::Cnp)),
        (Platform::Skl,  0x1912, &[bridge(0x7000)],                       guessed(0xa100, Pch::Spt)),
        (Platform::Skl,  0x1912, &[bridge(0x7110), bridge(0x7a86)],       guessed(0xa100, Pch::Spt)),
        (Platform::Tgl,  0x9a49, &[],                                     guessed(0xa080, Pch::Tgp)),
        (Platform::Lnl,  0x64a0, &[bridge(0x7a86)],                       PchDetection::Ignored),
        (Platform::Mtl,  0x7d55, &[],                                     PchDetection::Ignored),
        (Platform::Bxt,  0x5a85, &[bridge(0x7000)],                       PchDetection::None),
    ];
    for (platform, device, bridges, expected) in cases {
        assert_eq!(
            detect_pch(*platform, *device, bridges),
            *expected,
            "{platform} with {bridges:04x?}"
        );
    }
}

#[test]
fn linux_guesses_by_the_graphics_id() {
    for (ids, family, kind) in [
        ("4680 46a6 46d1 a780 a7a1 a7a0", 0x7a80, Pch::Adp),
        ("9a49 4c8a", 0xa080, Pch::Tgp),
        ("4e61 4571", 0x4b00, Pch::Tgp),
        ("8a52", 0x3480, Pch::Icp),
        ("3e92 3ea0 9bc5", 0xa300, Pch::Cnp),
        ("1912 5917", 0xa100, Pch::Spt),
        ("0a16 1616 160b 160e", 0x9c00, Pch::Lpt),
        ("0412 0d22 1612 162a", 0x8c00, Pch::Lpt),
        ("0112 0166", 0x1c00, Pch::Cpt),
        ("0046", 0x3b00, Pch::Ibx),
    ] {
        for id in hex(ids) {
            let Identified::Igd(platform) = identify(id) else {
                panic!("{id:04x}")
            };
            assert_eq!(detect_pch(platform, id, &[]), guessed(family, kind), "{id:04x}");
        }
    }
}

/// Masked device ids by kind, as `intel_pch.c` recognises them.
const KINDS: &[(Pch, &str)] = &[
    (Pch::Ibx, "3b00"),
    (Pch::Cpt, "1c00 1e00"),
    (Pch::Lpt, "8c00 8c80 9c00 9c80"),
    (Pch::Spt, "a100 9d00 a280 a380"),
    (Pch::Cnp, "a300 9d80 0280 0680"),
    (Pch::Icp, "3480 3880 4d80"),
    (Pch::Tgp, "4b00 a080 4380"),
    (Pch::Adp, "7a80 5180 7a00 5480"),
];

#[test]
fn families_of_bridges_have_their_kind() {
    let mut count = 0;
    let mut names = std::collections::BTreeSet::new();
    for (kind, families) in KINDS {
        for family in hex(families) {
            assert_eq!(PchFamily::of(family | 0x7f), PchFamily(family));
            assert_eq!(PchFamily(family).kind(), Some(*kind), "{family:04x}");
            let name = PchFamily(family).name().unwrap();
            assert!(name.len() > 2 && names.insert(name), "{family:04x} {name}");
            count += 1;
        }
    }
    assert_eq!(PCH_IDS.len(), count);
}

/// Families of bridges that drivers accept with a platform.
#[rustfmt::skip]
const FITTING: &[(&[Platform], &str)] = {
    use Platform as P;
    &[
        (&[P::Ilk],                 "3b00"),
        (&[P::Snb, P::Ivb],         "1c00 1e00"),
        (&[P::Hsw, P::Bdw],         "8c00 8c80 9c00 9c80"),
        (&[P::Skl, P::Kbl],         "a100 9d00 a280 a080 4380"),
        (&[P::Cfl, P::Whl],         "a100 9d00 a280 a300 9d80 0280 0680 a380 a080 4380"),
        (&[P::Cml],                 "9d00 a280 a300 9d80 0280 0680 a380 a080 4380"),
        (&[P::Cnl],                 "a300 9d80"),
        (&[P::Icl],                 "3480 3880"),
        (&[P::Ehl, P::Jsl],         "4b00 4d80"),
        (&[P::Tgl],                 "a080 4380"),
        (&[P::Rkl],                 "a080 4380 0280 0680"),
        (&[P::AdlS, P::AdlP, P::AdlN, P::RplS, P::RplU, P::RplP], "7a80 5180 7a00 5480"),
        (&[P::Vlv, P::Chv, P::Bxt, P::Glk, P::Mtl, P::Arl, P::Lnl, P::Ptl, P::Wcl, P::NvlS, P::NvlP], ""),
    ]
};

#[test]
fn platforms_have_their_families_of_bridges() {
    for (platforms, families) in FITTING {
        let mut expected: Vec<PchFamily> = hex(families).map(PchFamily).collect();
        expected.sort_unstable();
        for platform in *platforms {
            let mut found = platform.pch_families().to_vec();
            found.sort_unstable();
            assert_eq!(found, expected, "{platform}");
            assert!(found.iter().all(|family| family.kind().is_some()), "{platform}");
        }
    }
}

proptest! {
    #[test]
    fn a_bridge_that_is_known_is_found_behind_any_that_is_not(
        unknown in proptest::collection::vec(0x2000_u16..0x2900, 0..8),
        known in proptest::sample::select(PCH_IDS),
        low in 0_u16..0x80,
    ) {
        let mut bridges: Vec<IsaBridge> = unknown.into_iter().map(bridge).collect();
        bridges.push(bridge(known.0.0 | low));
        prop_assert_eq!(detect_pch(Platform::Skl, 0x1912, &bridges), PchDetection::Found(known.0, known.2));
    }
}
