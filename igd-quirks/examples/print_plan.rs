// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Prints the plan for a facts file, or every reason why there is none.
//!
//! ```text
//! cargo run -p igd-quirks --example print_plan -- \
//!     igd-quirks/examples/facts/kbl-laptop.json vfio-pci,host=0000:00:02.0,addr=0x2
//! ```
//!
//! After the facts file and the options: `--policy native|document-2016|qemu-VERSION`,
//! `--provisioning fw-cfg|direct|identity`, `--json`, `--redacted` to print the facts without serial numbers instead.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use igd_quirks::facts::HostFacts;
use igd_quirks::options::Options;
use igd_quirks::plan::{Provisioning, plan};
use igd_quirks::policy::Policy;

const USAGE: &str = "usage: print_plan FACTS.json [OPTIONS] [--policy P] [--provisioning S] [--json] [--redacted]";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("print_plan: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let path = arguments.next().ok_or(USAGE)?;
    if path == "--help" || path == "-h" {
        return Ok(print(&format!("{USAGE}\n"), ExitCode::SUCCESS));
    }
    let mut options = Options::default();
    let (mut policy, mut provisioning) = (Policy::Native, Provisioning::FwCfg);
    let (mut json, mut redacted) = (false, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--policy" => policy = arguments.next().ok_or(USAGE)?.parse()?,
            "--provisioning" => provisioning = arguments.next().ok_or(USAGE)?.parse()?,
            "--json" => json = true,
            "--redacted" => redacted = true,
            text if text.starts_with("--") => return Err(USAGE.into()),
            text => options = text.parse()?,
        }
    }
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let mut facts: HostFacts = serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
    if redacted {
        facts.redact();
        return Ok(print(
            &(serde_json::to_string_pretty(&facts)? + "\n"),
            ExitCode::SUCCESS,
        ));
    }
    Ok(match plan(&facts, &options, policy, provisioning) {
        Ok(plan) if json => print(&(serde_json::to_string_pretty(&plan)? + "\n"), ExitCode::SUCCESS),
        Ok(plan) => print(&plan.to_string(), ExitCode::SUCCESS),
        Err(refusals) if json => print(&(serde_json::to_string_pretty(&refusals)? + "\n"), ExitCode::FAILURE),
        Err(refusals) => {
            let mut text = String::from("No plan:\n");
            for finding in &refusals {
                text += &format!("   - {}\n     {}\n", finding.fact, finding.remedy);
            }
            print(&text, ExitCode::FAILURE)
        }
    })
}

/// Prints all of it at once. A reader that has seen enough is no failure.
fn print(text: &str, code: ExitCode) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("print_plan: {error}");
            ExitCode::from(2)
        }
        _ => code,
    }
}
