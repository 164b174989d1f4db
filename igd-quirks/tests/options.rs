// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Options as QEMU writes them.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use igd_quirks::options::{OnOffAuto, OptionError, Options};
use pci_model::Bdf;
use proptest::prelude::*;

fn errors(text: &str) -> Vec<String> {
    text.parse::<Options>()
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_whole_device_string() {
    let options: Options = "vfio-pci,id=gpu,bus=pcie.0,host=0000:00:02.0,addr=0x2,x-igd-opregion=on,x-igd-lpc=off,\
                            x-igd-legacy-mode=auto,x-igd-gms=0xf0,x-vga=on,romfile=a,,b.rom,rombar=1"
        .parse()
        .unwrap();
    let expected = Options {
        host: Bdf::new(0, 2, 0),
        addr: Bdf::new(0, 2, 0),
        behind_bridge: false,
        opregion: Some(true),
        lpc: Some(false),
        legacy_mode: OnOffAuto::Auto,
        gms: 0xf0,
        vga: Some(true),
        romfile: Some("a,b.rom".into()),
        rombar: Some(true),
    };
    assert_eq!(options, expected);
    assert!(options.is_at_igd_address());
}

#[test]
fn what_is_left_out_is_left_open() {
    for text in ["", "vfio-pci", "driver=vfio-pci", "vfio-pci-nohotplug", "vfio-pci,"] {
        assert_eq!(text.parse(), Ok(Options::default()), "{text}");
    }
}

#[test]
fn addresses_are_hexadecimal() {
    for (text, device, function) in [
        ("2", 2, 0),
        ("0x2", 2, 0),
        ("02.0", 2, 0),
        ("1f.7", 0x1f, 7),
        ("10", 0x10, 0),
        ("0x1f.0x3", 0x1f, 3),
    ] {
        let options: Options = format!("addr={text}").parse().unwrap();
        assert_eq!(options.addr, Bdf::new(0, device, function), "{text}");
        assert_eq!(options.is_at_igd_address(), (device, function) == (2, 0), "{text}");
    }
    for text in ["", "20", "2.8", "g", "002", "-1", "2.", "+2", "0x", "2.0.0"] {
        let error = errors(&format!("addr={text}"));
        assert!(
            error[0].starts_with(&format!("addr={text} is not understood: expected device and function")),
            "{error:?}"
        );
    }
}

#[test]
fn switches_and_numbers() {
    for (text, on) in [
        ("on", true),
        ("yes", true),
        ("true", true),
        ("off", false),
        ("no", false),
        ("false", false),
    ] {
        let options: Options = format!("x-igd-opregion={text},x-vga={text}").parse().unwrap();
        assert_eq!((options.opregion, options.vga), (Some(on), Some(on)));
    }
    for (text, mode) in [
        ("on", OnOffAuto::On),
        ("off", OnOffAuto::Off),
        ("auto", OnOffAuto::Auto),
    ] {
        assert_eq!(
            format!("x-igd-legacy-mode={text}")
                .parse::<Options>()
                .unwrap()
                .legacy_mode,
            mode
        );
    }
    for (text, gms) in [
        ("0", 0),
        ("2", 2),
        ("16", 16),
        ("0x10", 16),
        ("0XFE", 0xfe),
        ("255", 255),
    ] {
        assert_eq!(format!("x-igd-gms={text}").parse::<Options>().unwrap().gms, gms);
    }
    for (text, shown) in [
        ("0", Some(false)),
        ("1", Some(true)),
        ("off", Some(false)),
        ("auto", None),
    ] {
        assert_eq!(format!("rombar={text}").parse::<Options>().unwrap().rombar, shown);
    }
}

#[test]
fn every_mistake_is_named_with_what_is_allowed() {
    let found = errors("vfio-pci,x-igd-gms=256,x-igd-opregions=on,x-vga,x-igd-lpc=auto,host=0001:00:02.0,x-igd-gms=+1");
    let beginnings = [
        "x-igd-gms=256 is not understood: expected a number from 0 to 0xff",
        "unknown option `x-igd-opregions`: there are host, addr, bus, id, x-igd-opregion, ",
        "`x-vga` is no option: expected key=value",
        "x-igd-lpc=auto is not understood: expected on or off",
        "host=0001:00:02.0 is not understood: expected an address of the host on segment 0",
        "x-igd-gms=+1 is not understood",
    ];
    assert_eq!(found.len(), beginnings.len(), "{found:#?}");
    for (found, beginning) in found.iter().zip(beginnings) {
        assert!(found.starts_with(beginning), "{found}");
    }
    assert_eq!(
        errors("virtio-gpu-pci,addr=2"),
        ["device `virtio-gpu-pci` is not supported: expected vfio-pci or vfio-pci-nohotplug"]
    );
}

#[test]
fn a_switch_survives_text() {
    for (text, switch) in [
        ("auto", OnOffAuto::Auto),
        ("on", OnOffAuto::On),
        ("off", OnOffAuto::Off),
    ] {
        assert_eq!(switch.to_string(), text);
        let options: Options = format!("x-igd-legacy-mode={text}").parse().unwrap();
        assert_eq!(options.legacy_mode, switch);
    }
}

#[test]
fn mistakes_are_counted_by_reference_too() {
    let errors = "addr=x,id=,y".parse::<Options>().unwrap_err();
    assert_eq!((&errors).into_iter().count(), errors.iter().count());
    assert_eq!((&errors).into_iter().count(), 3);
}

#[test]
fn long_text_is_cut_in_errors() {
    let long = "x".repeat(10_000);
    for error in [
        &format!("{long}=1"),
        &format!("addr={long}"),
        &long,
        &format!("addr=2,{long}"),
    ]
    .map(|text| errors(text))
    {
        assert!(error[0].len() < 400, "{}", error[0].len());
    }
}

#[test]
fn keys_are_set_one_by_one_too() {
    let mut options = Options::default();
    options.set("addr", "2").unwrap();
    options.set("addr", "3").unwrap();
    assert_eq!(options.addr, Bdf::new(0, 3, 0));
    let error = options.set("addr", "40").unwrap_err();
    assert!(matches!(error, OptionError::BadValue { key: "addr", .. }), "{error}");
    assert_eq!(options.addr, Bdf::new(0, 3, 0));
}

#[cfg(feature = "serde")]
#[test]
fn structured_options_survive_json() {
    let options: Options = "host=00:02.0,addr=2,x-igd-gms=2,romfile=r".parse().unwrap();
    let json = serde_json::to_string(&options).unwrap();
    assert_eq!(serde_json::from_str::<Options>(&json).unwrap(), options);
    assert_eq!(serde_json::from_str::<Options>("{}").unwrap(), Options::default());
    assert!(serde_json::from_str::<Options>(r#"{"opregions":true}"#).is_err());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(vfio-pci,)?([a-z-]{0,8}=?[,0-9a-fx.:on]{0,12},?){0,6}") {
        if let Err(error) = text.parse::<Options>() {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
