// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! QEMU's command line from the header of a trace.
//!
//! A trace may come from anyone, and options of QEMU can name files, sockets and devices of the host. So nothing of the
//! header reaches QEMU but what the tables here admit; contents come from the trace itself.

use crate::subject::Refusal;
use crate::trace::{Header, Rom};

use super::process::{Launcher, escape_commas};
use super::qemu::rom_image;
use super::shim::FUNCTION;
use super::work_dir::WorkDir;

type Check = fn(&str) -> Result<(), String>;

enum Rule {
    /// The option stands alone.
    Flag,
    /// Its value must pass.
    Value(Check),
    /// A device of QEMU, or one of the host whose files the launcher provides.
    Device,
    /// `name=NAME,file=...`: the content is that of the item in the header.
    Item,
    /// The firmware image that the header describes.
    Firmware,
}

const OPTIONS: [(&str, Rule); 9] = [
    ("-nodefaults", Rule::Flag),
    ("-machine", Rule::Value(check_machine)),
    ("-m", Rule::Value(check_memory)),
    ("-vga", Rule::Value(check_none)),
    ("-nic", Rule::Value(check_none)),
    ("-device", Rule::Device),
    ("-global", Rule::Value(check_global)),
    ("-fw_cfg", Rule::Item),
    ("-bios", Rule::Firmware),
];

const MACHINE_PROPERTIES: [&str; 10] = [
    "acpi", "graphics", "hpet", "i8042", "pit", "sata", "smbus", "smm", "usb", "vmport",
];

const DEVICE_PROPERTIES: [&str; 7] = ["addr", "bus", "edid", "id", "multifunction", "rombar", "vgamem_mb"];

/// Drivers that take hold of something on the host; all but the bridge, which only bears the name.
const HOST_DRIVERS: [&str; 8] = [
    "vfio-",
    "vhost-",
    "usb-host",
    "u2f-",
    "ccid-",
    "xen-",
    "igd-passthrough-",
    "virtio-input-host",
];
const LPC_BRIDGE: &str = "vfio-pci-igd-lpc-bridge";
const ASSIGNED: &str = "vfio-pci,";
/// Properties of an assigned device that name files; a trace holds the names without their folders.
const FILE_PROPERTIES: [&str; 2] = [SYSFSDEV, "romfile="];
const SYSFSDEV: &str = "sysfsdev=";
const ASSIGNED_PROPERTIES: [&str; 4] = ["addr=", "rombar=", "x-igd-", "x-vga="];
/// Start of the names of a made-up host device's properties.
const HOST_PROPERTY: &str = "IGD_";

/// The launcher with what a trace asks for: the files of an assigned device, and properties of a made-up host in the
/// environment.
pub(crate) fn launcher_for(header: &Header, launcher: &Launcher) -> Result<Launcher, String> {
    let mut launcher = match header.devices.iter().any(|device| device.starts_with(ASSIGNED)) {
        true => launcher.with_assigned_device()?,
        false => launcher.clone(),
    };
    for (name, value) in &header.igd_host {
        if !name.starts_with(HOST_PROPERTY) || !is_word(name) || !is_word(value) {
            return Err(format!(
                "host property {name}={value:?} is not one that is safe to take from a trace"
            ));
        }
        launcher.env.push(format!("{name}={value}"));
    }
    Ok(launcher)
}

/// The arguments of QEMU; files go to `dir`.
pub(super) fn arguments(header: &Header, launcher: &Launcher, dir: &WorkDir) -> Result<Vec<String>, Refusal> {
    if header.cmdline.is_empty() {
        return Err(Refusal::Skip(
            "no @cmdline: the trace is not a recording, and its machine need not be one of QEMU's".to_owned(),
        ));
    }
    let mut words = header.cmdline.split(' ').skip(1);
    let mut args = Vec::new();
    while let Some(option) = words.next() {
        let Some((_, rule)) = OPTIONS.iter().find(|(name, _)| *name == option) else {
            return Err(skip(
                option,
                "an option that is not replayed, for it may name files or devices of the host",
            ));
        };
        args.push(option.to_owned());
        if matches!(rule, Rule::Flag) {
            continue;
        }
        let value = words
            .next()
            .ok_or_else(|| Refusal::Error(format!("option {option} has no value")))?;
        args.push(match rule {
            Rule::Flag => continue,
            Rule::Value(check) => {
                check(value).map_err(|reason| skip(&format!("{option} {value}"), &reason))?;
                value.to_owned()
            }
            Rule::Device => device(value, launcher.files.as_deref())
                .map_err(|reason| skip(&format!("{option} {value}"), &reason))?,
            Rule::Item => item(header, value, dir)?,
            Rule::Firmware => firmware(header.rom, dir)?,
        });
    }
    Ok(args)
}

fn skip(what: &str, reason: &str) -> Refusal {
    Refusal::Skip(format!("recorded with {what:?}: {reason}"))
}

fn stored(result: Result<String, std::io::Error>) -> Result<String, Refusal> {
    result.map_err(|error| Refusal::Error(format!("cannot write a file: {error}")))
}

fn item(header: &Header, value: &str, dir: &WorkDir) -> Result<String, Refusal> {
    let name = value
        .strip_prefix("name=")
        .and_then(|rest| rest.split_once(",file="))
        .map(|(name, _)| name)
        .filter(|name| !name.contains(','))
        .ok_or_else(|| skip(&format!("-fw_cfg {value}"), "only name=NAME,file=FILE is understood"))?;
    let (index, item) = header
        .items
        .iter()
        .enumerate()
        .find(|(_, item)| item.name == name)
        .ok_or_else(|| Refusal::Error(format!("the header does not hold fw_cfg item {name:?}")))?;
    let path = stored(dir.store(&format!("item{index}"), &item.bytes))?;
    Ok(format!("name={name},file={}", escape_commas(&path)))
}

fn firmware(rom: Option<Rom>, dir: &WorkDir) -> Result<String, Refusal> {
    let rom = rom.ok_or_else(|| skip("-bios", "the header does not say what is in the image"))?;
    let image = rom_image(rom).map_err(Refusal::Error)?;
    stored(dir.store("rom.bin", &image))
}

fn is_word(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte))
}

/// The first part of an option, when the others are `NAME=VALUE` with names of the table.
fn checked<'a>(value: &'a str, names: &[&str]) -> Result<&'a str, String> {
    let mut parts = value.split(',');
    let first = parts.next().unwrap_or_default();
    if first.is_empty() || !is_word(first) {
        return Err(format!("{first:?} is not a plain name"));
    }
    for part in parts {
        let (name, setting) = part.split_once('=').unwrap_or((part, ""));
        let empty_rom = name == "romfile" && setting.is_empty();
        let known = names.contains(&name) && is_word(setting);
        if !empty_rom && !known {
            return Err(format!(
                "property {part:?} is not one that is safe to take from a trace"
            ));
        }
    }
    Ok(first)
}

/// Admits the `-machine` value of a trace.
pub(crate) fn check_machine(value: &str) -> Result<(), String> {
    checked(value, &MACHINE_PROPERTIES).map(drop)
}

/// The `-device` value of a trace, if it is admitted; files of an assigned device are found in the folder `files`.
pub(crate) fn device(value: &str, files: Option<&str>) -> Result<String, String> {
    match (files, value.strip_prefix(ASSIGNED)) {
        (Some(files), Some(properties)) => assigned(properties, files),
        _ => check_device(value).map(|()| value.to_owned()),
    }
}

/// Whether a `-device` value of the user is about the function of the made-up host: a device that names no other, or has
/// a name without a folder as in a trace.
pub(crate) fn is_made_up(value: &str) -> bool {
    let Some(properties) = value.strip_prefix(ASSIGNED) else {
        return false;
    };
    let mut parts = properties.split(',');
    !parts.clone().any(|part| part.starts_with("host="))
        && parts.all(|part| part.strip_prefix(SYSFSDEV).is_none_or(|name| !name.contains('/')))
}

/// The value with the files of the made-up host in the folder `files`.
pub(crate) fn on_made_up_host(value: &str, files: &str) -> String {
    let properties = value.strip_prefix(ASSIGNED).unwrap_or(value);
    let mut parts: Vec<String> = properties.split(',').map(str::to_owned).collect();
    if !parts.iter().any(|part| part.starts_with(SYSFSDEV)) {
        parts.insert(0, format!("{SYSFSDEV}{FUNCTION}"));
    }
    for part in &mut parts {
        for property in FILE_PROPERTIES {
            if let Some(name) = part.strip_prefix(property)
                && !name.is_empty()
                && !name.contains('/')
            {
                *part = format!("{property}{files}/{name}");
                break;
            }
        }
    }
    format!("{ASSIGNED}{}", parts.join(","))
}

fn assigned(properties: &str, files: &str) -> Result<String, String> {
    let parts = properties.split(',').map(|part| {
        if let Some((property, name)) = FILE_PROPERTIES
            .iter()
            .find_map(|property| Some((property, part.strip_prefix(property)?)))
            && is_word(name)
            && !["", ".", ".."].contains(&name)
        {
            return Ok(format!("{property}{files}/{name}"));
        }
        if ASSIGNED_PROPERTIES.iter().any(|property| part.starts_with(property)) && is_word(&part.replacen('=', "", 1))
        {
            return Ok(part.to_owned());
        }
        Err(format!(
            "property {part:?} is not one that is safe to take from a trace"
        ))
    });
    Ok(format!("{ASSIGNED}{}", parts.collect::<Result<Vec<_>, _>>()?.join(",")))
}

fn check_device(value: &str) -> Result<(), String> {
    if value.contains("vfio-user-pci") {
        return Err("it needs a vfio-user server".to_owned());
    }
    let driver = checked(value, &DEVICE_PROPERTIES);
    let name = value.split(',').next().unwrap_or_default();
    if name != LPC_BRIDGE && HOST_DRIVERS.iter().any(|host| name.starts_with(host)) {
        return Err("it needs a device of the host, or a library that makes one up".to_owned());
    }
    driver.map(drop)
}

fn check_memory(value: &str) -> Result<(), String> {
    if value.is_empty() || value.len() > 6 || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("not a number of MiB below a million".to_owned());
    }
    Ok(())
}

fn check_none(value: &str) -> Result<(), String> {
    if value == "none" {
        Ok(())
    } else {
        Err("only \"none\" is taken from a trace".to_owned())
    }
}

fn check_global(value: &str) -> Result<(), String> {
    if value.starts_with("fw_cfg.") {
        let (name, setting) = value.split_once('=').unwrap_or((value, ""));
        if is_word(name) && is_word(setting) {
            return Ok(());
        }
    }
    Err("only fw_cfg's properties are taken from a trace".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Item;

    fn args(cmdline: &str) -> Result<Vec<String>, Refusal> {
        let header = Header {
            cmdline: format!("qemu-system-x86_64 {cmdline}"),
            items: vec![Item {
                key: 0x20,
                name: "opt/test".to_owned(),
                bytes: b"hello".to_vec(),
            }],
            rom: Some(Rom {
                start: 0xe0000,
                size: 0x20000,
            }),
            ..Header::default()
        };
        let launcher = Launcher::default();
        arguments(&header, &launcher, &launcher.work_dir().unwrap())
    }

    #[test]
    fn options_that_describe_the_machine_pass() {
        let line = "-machine pc,acpi=off -m 128 -nodefaults -vga none -nic none -device vfio-pci-igd-lpc-bridge,addr=1f.0 \
                    -device e1000,addr=6.0,romfile= -global fw_cfg.dma_enabled=off";
        assert_eq!(args(line).unwrap().join(" "), line);
    }

    #[test]
    fn contents_come_from_the_trace() {
        let words = args("-fw_cfg name=opt/test,file=/etc/hostname -bios rom.bin").unwrap();
        assert_eq!(words.len(), 4);
        assert!(
            words[1].starts_with("name=opt/test,file=/") && words[1].ends_with("/item0"),
            "{words:?}"
        );
        assert!(words[3].ends_with("/rom.bin"), "{words:?}");
        assert!(matches!(args("-fw_cfg name=opt/other,file=x"), Err(Refusal::Error(_))));
    }

    #[test]
    fn nothing_reaches_the_host() {
        for line in [
            "-drive if=pflash,file=/etc/passwd",
            "-readconfig /etc/passwd",
            "-device vfio-pci,host=00:02.0",
            "-device vfio-pci,sysfsdev=0000:00:02.0,romfile=igd.rom,addr=2.0",
            "-device {\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\",\"path\":\"igd.sock\"}}",
            "-device loader,file=/etc/passwd,addr=0",
            "-device e1000,romfile=/etc/passwd",
            "-device e1000,,romfile=/etc/passwd",
            "-device usb-host",
            "-machine pc,firmware=/etc/passwd",
            "-machine pc,dumpdtb=/tmp/file",
            "-m 1G",
            "-vga qxl",
            "-nic tap,script=/bin/true",
            "-global vfio-pci.host=00:02.0",
            "-fw_cfg name=opt/test,string=x",
            "--nodefaults",
            "",
        ] {
            assert!(matches!(args(line), Err(Refusal::Skip(_))), "{line}: {:?}", args(line));
        }
        assert!(matches!(args("-machine"), Err(Refusal::Error(_))));
    }

    #[test]
    fn files_of_an_assigned_device_stay_in_their_folder() {
        assert_eq!(
            device(
                "vfio-pci,sysfsdev=0000:00:02.0,romfile=igd.rom,addr=2.0,x-igd-gms=2",
                Some("/d")
            )
            .unwrap(),
            "vfio-pci,sysfsdev=/d/0000:00:02.0,romfile=/d/igd.rom,addr=2.0,x-igd-gms=2"
        );
        for value in [
            "romfile=..",
            "romfile=/etc/passwd",
            "romfile=",
            "host=00:02.0",
            "addr=2.0/",
            "",
        ] {
            assert!(device(&format!("vfio-pci,{value}"), Some("/d")).is_err(), "{value}");
        }
        assert!(device("vhost-vsock-pci", Some("/d")).is_err());
    }

    #[test]
    fn a_user_names_files_of_the_made_up_host_without_a_folder() {
        for (value, made_up, expected) in [
            ("vfio-pci,addr=2.0", true, "vfio-pci,sysfsdev=/d/0000:00:02.0,addr=2.0"),
            (
                "vfio-pci,sysfsdev=0000:00:02.0,romfile=igd.rom,addr=2.0",
                true,
                "vfio-pci,sysfsdev=/d/0000:00:02.0,romfile=/d/igd.rom,addr=2.0",
            ),
            (
                "vfio-pci,addr=2.0,romfile=/own,bootindex=1",
                true,
                "vfio-pci,sysfsdev=/d/0000:00:02.0,addr=2.0,romfile=/own,bootindex=1",
            ),
            ("vfio-pci,romfile=", true, "vfio-pci,sysfsdev=/d/0000:00:02.0,romfile="),
            (
                "vfio-pci,sysfsdev=/sys/x,addr=2.0",
                false,
                "vfio-pci,sysfsdev=/sys/x,addr=2.0",
            ),
        ] {
            assert_eq!(is_made_up(value), made_up, "{value}");
            assert_eq!(on_made_up_host(value, "/d"), expected);
        }
        for value in ["vfio-pci,host=00:02.0", "vfio-pci-igd-lpc-bridge", "e1000,addr=2.0"] {
            assert!(!is_made_up(value), "{value}");
        }
    }

    #[test]
    fn host_properties_cannot_set_the_environment() {
        let header = |name: &str, value: &str| Header {
            igd_host: vec![(name.to_owned(), value.to_owned())],
            ..Header::default()
        };
        let launcher = Launcher::default();
        assert_eq!(
            launcher_for(&header("IGD_DEVICE", "0x1616"), &launcher).unwrap().env,
            ["IGD_DEVICE=0x1616"]
        );
        for (name, value) in [("LD_PRELOAD", "x"), ("IGD_X", "a b"), ("IGD_A=B", "c")] {
            assert!(launcher_for(&header(name, value), &launcher).is_err(), "{name} {value}");
        }
    }
}
