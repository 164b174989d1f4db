// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The program from outside: exit codes, messages, files.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_igd-conformance"));
    command
        .args(args)
        .env_remove("IGD_CONFORMANCE_CORPUS")
        .env("NO_COLOR", "1");
    command
}

fn run(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = program(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().expect("no signal"), text(stdout), text(stderr))
}

/// A file in a folder of its own.
fn file(name: &str, content: &[u8]) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

const FAILING: &str =
    "@trace 1\nsection a.x the port holds one\nr io 0x0060 1 0x01\nsection a.y zero\nr io 0x0060 1 0x00\n";

#[test]
fn wrong_arguments_are_2() {
    for args in [
        &["nonsense"] as &[&str],
        &["run", "--nonsense"],
        &["run", "--shard", "4/3"],
        &["run", "--shard", "x"],
        &["run", "--jobs", "0"],
        &["run", "--timeout", "0"],
        &["run", "--timeout", "99999999999999"],
        &["run", "--kind", "other"],
        &["run", "--subject", "other"],
        &["run", "--subject", "qtest"],
        &["run", "--subject", "qemu:"],
        &["run", "--report", "xml=x"],
        &["run", "--report", "json"],
        &["run", "--report", "json="],
        &["run", "--report", "json=same", "--report", "html=same"],
        &["run", "--color", "maybe"],
        &["show"],
        &["diff", "one"],
        &["merge"],
    ] {
        let (code, out, err) = run(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.starts_with("error: "), "{args:?} {err}");
    }
}

#[test]
fn help_and_version_are_0() {
    for args in [
        &["--help"] as &[&str],
        &["--version"],
        &["run", "--help"],
        &["help", "show"],
    ] {
        let (code, out, err) = run(args);
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
        assert!(!out.is_empty());
    }
    assert!(run(&["--help"]).1.contains("100  unexpected results"));
}

#[test]
fn what_cannot_be_read_is_1() {
    let empty = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli/empty");
    std::fs::create_dir_all(&empty).unwrap();
    let empty = empty.to_str().unwrap();
    let reason = file(
        "no-reason.toml",
        b"[[expect]]\ntrace = 'a'\nsubject = 's'\nstatus = 'skip'\nreason = ''\n",
    );
    let garbage = file("garbage.json", b"{");
    let fine = file("fine.trace", b"@trace 1\nreset\n");
    for (args, message) in [
        (
            &["run", "no/such/file"] as &[&str],
            "error: no/such/file: no such file or folder",
        ),
        (&["run", empty], "no *.trace file in this folder"),
        (
            &["run", "--corpus", "no/such/folder"],
            "error: the corpus no/such/folder is not a folder",
        ),
        (
            &["run", "/dev/null"],
            "error: /dev/null: neither a regular file nor a folder",
        ),
        (
            &["run", &fine, "--expect", "no-such.toml"],
            "error: cannot read no-such.toml: ",
        ),
        (&["run", &fine, "--expect", &reason], "the entry for `a` has no reason"),
        (
            &[
                "run",
                &fine,
                "--subject",
                "storage",
                "--report",
                "json=/no/such/folder/x",
            ],
            "cannot write /no/such/folder/x",
        ),
        (
            &["run", &fine, "--subject", "qemu:/no/such/program"],
            "error: cannot start /no/such/program",
        ),
        (&["list", "no/such/file"], "no such file or folder"),
        (&["show", "no/such/file"], "no such file or folder"),
        (&["check", "no/such/file"], "no such file or folder"),
        (&["diff", &garbage, &garbage], "garbage.json"),
        (&["merge", &garbage], "garbage.json"),
    ] {
        let (code, _, err) = run(args);
        assert_eq!(code, 1, "{args:?} {err}");
        assert!(err.contains(message), "{args:?} {err}");
    }
}

#[test]
fn hostile_traces_are_1_and_named() {
    let long = [
        b"@trace 1\nsection a.x x\nwb ram 0x0 1 0x".as_slice(),
        &[b'0'; 20 << 20],
        b"\n",
    ]
    .concat();
    let huge = "@trace 1\nr io 0x0060 1 0xffffffffffffffffffffffffffffffff\n";
    for (name, content, place, scanned) in [
        ("cut.trace", b"@trace 1\nr io 0x0060 1 0x".as_slice(), ":2:17: ", true),
        ("binary.trace", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0", ":1:14: ", true),
        ("binary2.trace", b"\x7fELF\x02\n\x01\0\0\0\0\0\0", ":1:1: ", true),
        ("empty.trace", b"", ":1:1: ", true),
        (
            "header.trace",
            b"@trace 1\n@kind qtest\n",
            "the trace has no accesses",
            true,
        ),
        ("late.trace", b"@trace 1\nreset\n@ram 1\n", ":3:1: ", false),
        ("huge.trace", huge.as_bytes(), ":2:15: expected a value", true),
        (
            "fill.trace",
            b"@trace 1\nfb ram 0x0 0xffffffffffffffff 0x00 0\n",
            ":2:36: more than this line may hold: `0`",
            true,
        ),
        (
            "crlf.trace",
            b"@trace 1\r\nreset\r\n",
            ":1:9: the line ends in CR LF",
            true,
        ),
        ("version.trace", b"@trace 2\nreset\n", ":1:8: this version", true),
        (
            "long.trace",
            &long,
            ":3:1: the line is longer than 16777216 bytes",
            true,
        ),
    ] {
        let path = file(name, content);
        let (code, _, err) = run(&["run", &path, "--subject", "storage"]);
        assert_eq!(code, 1, "{name} {err}");
        assert!(
            err.contains("error: ") && err.contains(name) && err.contains(place),
            "{name} {err}"
        );
        if scanned {
            assert_eq!(run(&["check", &path]).0, 1, "{name}");
        }
    }
}

#[test]
fn huge_claims_cost_nothing() {
    let text = "@trace 1\n@ram 0xffffffffffff\nfb ram 0x00000000 1099511627776 0x00\nr mem 0xfffffffffffffff8 8 0x0\n";
    let (code, _, err) = run(&["run", &file("claims.trace", text.as_bytes()), "--subject", "storage"]);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn nothing_selected_is_4() {
    for args in [
        &["run", "--filter", "no-such-trace"] as &[&str],
        &["run", "--section", "no.such.section"],
        &["run", "fwcfg/basic", "--kind", "firmware"],
        &["run", "fwcfg/basic", "--shard", "2/2"],
        &["run", "--list", "--filter", "no-such-trace"],
    ] {
        let (code, out, err) = run(args);
        assert_eq!((code, out.as_str()), (4, ""), "{args:?}");
        assert!(err.starts_with("error: nothing selected"), "{err}");
    }
    assert_eq!(run(&["list", "--filter", "no-such-trace"]).0, 4);
}

#[test]
fn a_difference_is_100_and_explained() {
    let path = file("failing.trace", FAILING.as_bytes());
    let json = file("failing.json", b"");
    let target = format!("json={json}");
    let (code, out, err) = run(&["run", &path, "--subject", "storage", "--report", &target]);
    assert_eq!(code, 100, "{err}");
    for part in [
        "a.x",
        "failing.trace:3",
        "r io 0x0060 1 0x01",
        "port 0x60, 1 byte",
        "0x01",
        "0x00",
        "exit 100",
        &json,
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(
        out.contains(&format!("run {path} --section a.x --subject storage")),
        "{out}"
    );
    assert!(std::fs::read_to_string(&json).unwrap().contains("\"status\": \"fail\""));

    let (code, out, _) = run(&["run", &path, "--subject", "storage", "--section", "a.y"]);
    assert_eq!(code, 0, "{out}");
    let (code, out, _) = run(&["run", &path, "--subject", "storage", "--section", "a.x", "--trace"]);
    assert_eq!(code, 100);
    assert!(out.contains("failing:3: r io 0x0060 1 0x01  -> 0x00  DIFFERS"), "{out}");
    assert!(!out.contains(":5: "), "{out}");
}

#[test]
fn a_report_may_go_to_standard_output() {
    let path = file("stdout.trace", FAILING.as_bytes());
    let (code, out, err) = run(&["run", &path, "--subject", "storage", "--report", "json=-"]);
    assert_eq!(code, 100);
    assert!(out.starts_with('{') && out.ends_with("}\n"), "{out}");
    assert!(err.contains("exit 100"), "{err}");
}

#[test]
fn lists_shows_and_checks() {
    let path = file("listed.trace", FAILING.as_bytes());
    let (code, out, _) = run(&["run", &path, "--list"]);
    assert_eq!(code, 0);
    assert_eq!(
        out.lines()
            .map(|line| line.split(' ').next_back().unwrap())
            .collect::<Vec<_>>(),
        ["a.x", "a.y"]
    );
    assert!(run(&["list", &path]).1.contains("2 sections"));
    assert!(run(&["show", &path]).1.contains("the port holds one"));
    assert_eq!(run(&["check", &path]).0, 0);
    let (code, _, err) = run(&["check", &file("spelt.trace", b"@trace 1\nr io 0x60 1 0x0A\n")]);
    assert_eq!(code, 1);
    assert!(
        err.contains("spelt.trace:2:1: not in the canonical form, which is `r io 0x0060 1 0x0a`"),
        "{err}"
    );
}

#[test]
fn reports_are_compared_and_joined() {
    let mut files = Vec::new();
    for part in ["1/2", "2/2"] {
        let json = file(&format!("part{}.json", part.replace('/', "of")), b"");
        let target = format!("json={json}");
        let args = [
            "run",
            "cfg1",
            "q35",
            "--subject",
            "storage",
            "--shard",
            part,
            "--report",
            &target,
        ];
        assert_eq!(run(&args).0, 100);
        files.push(json);
    }
    let joined = file("joined.json", b"");
    let (target, whole) = (format!("json={joined}"), file("whole.json", b""));
    assert_eq!(run(&["merge", &files[0], &files[1], "--report", &target]).0, 100);
    let target = format!("json={whole}");
    assert_eq!(
        run(&["run", "cfg1", "q35", "--subject", "storage", "--report", &target]).0,
        100
    );
    let (code, out, err) = run(&["diff", &whole, &joined]);
    assert_eq!(code, 0, "{out} {err}");
    let (code, _, err) = run(&["merge", &files[0]]);
    assert_eq!(code, 1);
    assert!(err.contains("1 of 2 shards missing"), "{err}");
}

#[test]
fn a_closed_pipe_is_no_panic() {
    for args in [
        &["list"] as &[&str],
        &["--help"],
        &["run", "fwcfg", "--subject", "storage", "--trace"],
        &["run", "--list"],
    ] {
        let mut child = program(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.code().is_some_and(|code| [0, 100].contains(&code)),
            "{args:?} {output:?}"
        );
        assert!(
            !String::from_utf8_lossy(&output.stderr).contains("panicked"),
            "{args:?}"
        );
    }
}

#[test]
fn the_corpus_may_be_elsewhere() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli/elsewhere/group");
    std::fs::create_dir_all(&folder).unwrap();
    let mut trace = std::fs::File::create(folder.join("one.trace")).unwrap();
    trace.write_all(FAILING.as_bytes()).unwrap();
    let corpus = folder.parent().unwrap().to_str().unwrap();
    let (code, out, _) = run(&["run", "--corpus", corpus, "--subject", "storage"]);
    assert_eq!(code, 100);
    assert!(out.contains("group/one"), "{out}");
    let output = program(&["run", "group/one", "--list"])
        .env("IGD_CONFORMANCE_CORPUS", corpus)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "group/one a.x\ngroup/one a.y\n"
    );
}
