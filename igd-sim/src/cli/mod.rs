// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the program does with its arguments.

mod args;
mod log;

pub(crate) use args::Args;

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use igd_sim::server::{Listener, serve};
use igd_sim::{Options, Profile, RegionKind, SimDevice};
use log::Log;

type Outcome = Result<(), Box<dyn Error>>;

/// An error with its causes, on one line.
pub(crate) fn line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text.replace('\n', " ")
}

/// Lists, dumps or serves.
pub(crate) fn run(args: &Args) -> Outcome {
    if args.list {
        return list();
    }
    let profile = args.profile.ok_or("--profile says which platform; --list names them")?;
    let options = args.options();
    // Made once before anything else, so that a wrong option ends here and not at the first client.
    let mut device = SimDevice::new(profile, &options)?;
    if let Some(path) = &args.dump_opregion {
        dump(&mut device, RegionKind::OpRegion, path)?;
    }
    if let Some(path) = &args.dump_rom {
        dump(&mut device, RegionKind::Rom, path)?;
    }
    match &args.socket {
        Some(path) => listen(args, path, profile, &options, device),
        None if args.dump_opregion.is_some() || args.dump_rom.is_some() => Ok(()),
        None => Err("--socket says where to listen".into()),
    }
}

fn list() -> Outcome {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:5} {:14} {:5} {:>4} {:4} {:4} {:4} {:>9} {:>7} {:6} {:4} {:4}",
        "name", "platform", "class", "disp", "id", "rev", "ggc", "stolen", "gtt", "opregn", "host", "lpc"
    )?;
    for profile in Profile::all() {
        writeln!(
            out,
            "{:5} {:14} {:5} {:>4} {:04x} {:02x}   {:04x} {:>5} MiB {:>3} MiB {:6} {:04x} {:04x}",
            profile.name,
            profile.platform,
            profile.class,
            profile.display,
            profile.device,
            profile.revision,
            profile.ggc()?,
            profile.stolen_mib,
            profile.gtt_mib,
            profile.opregion,
            profile.host_bridge,
            profile.lpc_bridge,
        )?;
    }
    Ok(())
}

fn dump(device: &mut SimDevice, kind: RegionKind, path: &Path) -> Outcome {
    let region = device
        .find_region(kind)
        .ok_or_else(|| format!("the device has no region {kind}"))?;
    // A lie about the size is not written out.
    let mut bytes = vec![0; usize::try_from(region.size)?.min(1 << 20)];
    device.read_exact(kind, 0, &mut bytes)?;
    std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn listen(args: &Args, path: &Path, profile: &Profile, options: &Options, first: SimDevice) -> Outcome {
    let listener = Listener::bind(path)?;
    println!(
        "listening on {}: {} {:04x}",
        path.display(),
        profile.platform,
        profile.device
    );
    let stop = AtomicBool::new(false);
    let mut next = Some(first);
    loop {
        let stream = listener
            .accept()
            .map_err(|error| format!("no client to be had: {error}"))?;
        // Each client gets a device of its own: the one before may still hold its memory.
        let mut device = match next.take() {
            Some(device) => device,
            None => SimDevice::new(profile, options)?,
        };
        let mut log = Log::new(args.log);
        match serve(stream, &mut device, &mut log, Duration::from_secs(args.stall), &stop) {
            Ok(statistics) => {
                println!(
                    "client left: {} messages, {} reads, {} writes, {} DMA maps, {} unmaps, {} resets, {} refused",
                    statistics.messages,
                    statistics.reads,
                    statistics.writes,
                    statistics.dma_maps,
                    statistics.dma_unmaps,
                    statistics.resets,
                    statistics.refused
                );
            }
            Err(error) if args.once => return Err(error.into()),
            Err(error) => eprintln!("igd-sim: {}", line(&error)),
        }
        if args.once {
            return Ok(());
        }
    }
}
