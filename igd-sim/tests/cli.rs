// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The program: arguments, exit status, messages.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_igd-sim"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_list_has_every_platform() {
    let output = run(&["--list"]);
    assert!(output.status.success());
    let list = text(&output.stdout);
    assert_eq!(list.lines().count(), igd_sim::Profile::all().len() + 1);
    let row = list.lines().find(|line| line.starts_with("kbl ")).unwrap();
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        [
            "kbl", "Kaby", "Lake", "gen9", "9", "5912", "04", "01c0", "32", "MiB", "8", "MiB", "2.1", "591f", "a2c5"
        ]
    );
}

#[test]
fn help_says_what_there_is() {
    let output = run(&["--help"]);
    let help = text(&output.stdout);
    for word in [
        "--profile",
        "--socket",
        "--fault",
        "--opregion-version",
        "vfio-user-pci",
        "rvds-lies",
        "Exit status",
    ] {
        assert!(help.contains(word), "{word}");
    }
    for (name, _) in igd_sim::opregion::OpRegionFault::ALL {
        assert!(help.contains(name), "{name}");
    }
    for (name, _) in igd_sim::rom::RomFault::ALL {
        assert!(help.contains(name), "{name}");
    }
}

#[test]
fn what_cannot_be_is_one_line_and_status_1() {
    let here = env!("CARGO_MANIFEST_DIR");
    let taken = format!("{here}/Cargo.toml");
    let absent = format!("{here}/no/such/folder/socket");
    for (arguments, hint) in [
        (vec![], "--profile"),
        (vec!["--profile", "kbl"], "--socket"),
        (vec!["--profile", "kbl", "--socket", "s", "--stolen", "33"], "33 MiB"),
        (
            vec!["--profile", "kbl", "--socket", "s", "--vbt", "absolute"],
            "RVDA is an offset",
        ),
        (vec!["--profile", "cfl", "--socket", "s", "--vbt", "mailbox"], "8704"),
        (vec!["--profile", "kbl", "--socket", &taken], "no socket"),
        (vec!["--profile", "kbl", "--socket", &absent], "No such file"),
        (vec!["--profile", "ptl", "--dump-rom", "f"], "no region rom"),
    ] {
        let output = run(&arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        assert!(
            message.contains(hint) && message.lines().count() == 1,
            "{arguments:?}: {message}"
        );
    }
}

#[test]
fn wrong_arguments_are_status_2() {
    for (arguments, hint) in [
        (vec!["--profile", "i740"], "kbl"),
        (vec!["--fault", "loud"], "short=REGION"),
        (vec!["--opregion-version", "2"], "such as 2.1"),
        (vec!["--asls", "0x100000000"], "32 bits"),
        (vec!["--stall", "0"], "1..=3600"),
        (vec!["--nonsense"], "--nonsense"),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(hint), "{}", text(&output.stderr));
    }
}

#[test]
fn dumps_are_what_a_guest_would_see() {
    let path = std::env::temp_dir().join(format!("igd-sim-dump-{}", std::process::id()));
    let name = path.to_str().unwrap();
    for (arguments, len, minor) in [
        (vec!["--profile", "cfl"], 0x2000 + 0x2200, 1),
        (vec!["--profile", "skl"], 0x2000, 0),
        (
            vec!["--profile", "cfl", "--opregion-version", "2.0", "--host-opregion"],
            0x2000,
            0,
        ),
        (
            vec!["--profile", "cfl", "--vbt", "relative-gap", "--host-opregion"],
            0x5000 + 0x2200,
            1,
        ),
    ] {
        let output = run(&[&arguments[..], &["--dump-opregion", name]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(
            (bytes.len(), bytes[0x16], bytes[0x17]),
            (len, minor, 2),
            "{arguments:?}"
        );
    }
    assert!(run(&["--profile", "kbl", "--dump-rom", name]).status.success());
    let rom = std::fs::read(&path).unwrap();
    assert_eq!((rom.len(), &rom[..2]), (0x2_0000, &[0x55, 0xaa][..]));
    std::fs::remove_file(&path).unwrap();
}
