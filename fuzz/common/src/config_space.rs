// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configuration space: any sequence of accesses, on functions of every kind, against a naive model.
//!
//! Input: a header of two bytes that choose function and rules, then steps of eight bytes. After each step all bytes,
//! the BAR map, the interrupt state and the effects are those of the model.

mod access;
mod chipset;
mod drive;
mod kinds;
mod model;
mod passthrough;

use std::sync::LazyLock;

use igd_conformance::trace::{Line, Reader, Space};
use pci_model::host_bridge::{I440Fx, Q35};
use pci_model::{Function, Rules};

use crate::{Target, records};
use access::{LEN, Step};
use chipset::Chipset;
use model::Model;
use passthrough::Pair;

/// The target.
pub const TARGET: Target = Target {
    name: "config_space",
    package: "pci-model",
    summary: "configuration space of every kind of function, against a naive model",
    run,
    describe,
    seeds,
};

const RULES: [Rules; 3] = [Rules::Specification, Rules::Qemu11, Rules::Qemu7];

/// A function before its first access, with its model.
enum Start {
    Conventional(Box<(Function<256>, Model<256>)>),
    Extended(Box<(Function<4096>, Model<4096>)>),
    I440Fx(Box<(I440Fx, Model<256>)>),
    Q35(Box<(Q35, Model<256>)>),
    Passthrough(Box<Pair<256>>),
    ExtendedPassthrough(Box<Pair<4096>>),
}

struct Entry {
    name: String,
    start: Start,
}

/// Built once: building takes longer than a sequence of accesses.
static STARTS: LazyLock<Vec<Entry>> = LazyLock::new(|| match starts() {
    Ok(starts) => starts,
    Err(error) => panic!("a function of the list cannot be built: {error}"),
});

fn starts() -> Result<Vec<Entry>, Box<dyn std::error::Error>> {
    let mut all = Vec::new();
    let mut add = |name: &str, rules: Rules, start| {
        all.push(Entry {
            name: format!("{name}, {rules:?}"),
            start,
        });
    };
    // The rules vary fastest, so that the kind of an entry is its number divided by three.
    for shape in &kinds::CONVENTIONAL {
        for rules in RULES {
            let pair = (kinds::build(shape, rules)?, Model::new(*shape, rules, Chipset::None));
            add(shape.name, rules, Start::Conventional(Box::new(pair)));
        }
    }
    for shape in &kinds::EXTENDED {
        for rules in RULES {
            let pair = (kinds::build(shape, rules)?, Model::new(*shape, rules, Chipset::None));
            add(shape.name, rules, Start::Extended(Box::new(pair)));
        }
    }
    let bridge = kinds::Shape {
        name: "host bridge",
        ..kinds::PLAIN
    };
    for rules in RULES {
        let function = I440Fx::new((0x1af4, 0x1100), 128 << 20, rules)?;
        let model = Model::new(bridge, rules, Chipset::I440Fx { ram_units: 16 });
        add("i440FX", rules, Start::I440Fx(Box::new((function, model))));
    }
    for ext_tseg_mib in [16, 0] {
        for rules in RULES {
            let function = Q35::new((0x1af4, 0x1100), ext_tseg_mib, rules)?;
            let model = Model::new(bridge, rules, Chipset::Q35 { ext_tseg_mib });
            let name = format!("Q35 with {ext_tseg_mib} MiB of extended TSEG");
            add(&name, rules, Start::Q35(Box::new((function, model))));
        }
    }
    for shape in kinds::CONVENTIONAL.iter().filter(|shape| !shape.bridge) {
        for rules in RULES {
            let name = format!("passed-through {}", shape.name);
            add(&name, rules, Start::Passthrough(Box::new(Pair::new(shape, rules)?)));
        }
    }
    let [endpoint, ..] = &kinds::EXTENDED;
    for rules in RULES {
        let pair = Pair::new(endpoint, rules)?;
        add(
            "passed-through endpoint",
            rules,
            Start::ExtendedPassthrough(Box::new(pair)),
        );
    }
    Ok(all)
}

fn entry(header: [u8; 2]) -> Option<&'static Entry> {
    let [kind, rules] = header.map(usize::from);
    let kinds = STARTS.len() / RULES.len();
    STARTS.get(kind % kinds * RULES.len() + rules % RULES.len())
}

/// Runs one input.
///
/// # Panics
///
/// A function differs from its model.
pub fn run(data: &[u8]) {
    let (header, records) = records::split::<2, LEN>(data);
    let steps = records.map(Step::decode);
    match entry(header).map(|entry| &entry.start) {
        Some(Start::Conventional(pair)) => drive::drive(&pair.0, &pair.1, steps),
        Some(Start::Extended(pair)) => drive::drive(&pair.0, &pair.1, steps),
        Some(Start::I440Fx(pair)) => drive::drive(&pair.0, &pair.1, steps),
        Some(Start::Q35(pair)) => drive::drive(&pair.0, &pair.1, steps),
        Some(Start::Passthrough(pair)) => passthrough::drive(pair, steps),
        Some(Start::ExtendedPassthrough(pair)) => passthrough::drive(pair, steps),
        None => {}
    }
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let (header, records) = records::split::<2, LEN>(data);
    let name = entry(header).map_or("", |entry| &entry.name);
    records::lines(name, records.map(|record| Step::decode(record).to_string()))
}

/// Inputs to start from: what firmware does, and the sequences of recorded traces.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let bars = (0x10_u16..0x28).step_by(4).chain([0x30]);
    let mut size: Vec<[u8; LEN]> = vec![Step::write(0x04, 2, 0)];
    for (index, bar) in (0_u32..).zip(bars) {
        let address = 0xe000_0000 | index << 24 | u32::from(bar == 0x30);
        let steps = [(0xffff_ffff, true), (address, false)];
        for (value, reads) in steps {
            size.push(Step::write(bar, 4, value));
            size.extend(reads.then(|| Step::read(bar, 4)));
        }
    }
    size.extend([
        Step::write(0x04, 2, 0x0407),
        Step::other(16, 0),
        Step::write(0x04, 2, 0x0003),
    ]);
    let messages = [
        Step::write(0x54, 4, 0xfee0_1000),
        Step::write(0x5c, 2, 0x4041),
        Step::write(0x60, 4, 0x02),
        Step::write(0x52, 2, 0x0031),
        Step::other(13, 0),
        Step::other(13, 1),
        Step::write(0x60, 4, 0),
        Step::other(14, 0),
        Step::other(12, 1),
        Step::write(0x52, 2, 0),
    ];
    let sleep = [
        Step::write(0x10, 4, 0xe000_0000),
        Step::write(0x04, 2, 0x0006),
        Step::write(0x44, 2, 0x0003),
        Step::other(16, 0),
        Step::write(0x44, 2, 0),
    ];
    let chipset = [
        Step::write(0x60, 4, 0xb000_0001),
        Step::write(0x90, 4, 0x3333_3330),
        Step::write(0x50, 2, 0xffff),
        Step::write(0x9c, 1, 0xff),
        Step::write(0x9c, 4, 0x0087_4a02),
        Step::write(0x9d, 1, 0x1a),
        Step::other(16, 0),
        Step::write(0x59, 4, 0x3130_3330),
        Step::write(0x72, 1, 0x1a),
        Step::write(0x72, 1, 0x4a),
        Step::other(15, 0),
    ];
    let reset = [
        Step::write(0x0c, 1, 0x10),
        Step::write(0x78, 2, 0x8000),
        Step::write(0x48, 2, 0x8000),
        Step::write(0x64, 1, 0x01),
        Step::write(0xff, 4, 0xa5a5_a5a5),
        Step::write(0x104, 4, 0xffff_ffff),
    ];
    let refused = [
        Step::other(19, 1),
        Step::write(0x04, 4, 0xf900_0007),
        Step::read(0x02, 4),
        Step::other(19, 0),
        Step::write(0x04, 4, 0xf900_0007),
        Step::read(0x06, 2),
    ];
    let plans: [(&str, &[[u8; LEN]]); 6] = [
        ("size-bars", &size),
        ("messages", &messages),
        ("sleep", &sleep),
        ("chipset", &chipset),
        ("function-reset", &reset),
        ("host-refuses", &refused),
    ];
    let mut seeds = Vec::new();
    let kinds = u8::try_from(STARTS.len() / RULES.len()).unwrap_or(u8::MAX);
    for (name, steps) in plans {
        for kind in 0..kinds {
            seeds.push((format!("{name}-{kind}"), records::join(&[kind, kind % 3], steps)));
        }
    }
    for (name, kind, text) in TRACES {
        seeds.extend(recorded(name, *kind, text));
    }
    seeds
}

/// Recorded traces, and the kind of function that they fit best.
const TRACES: &[(&str, u8, &[u8])] = &[
    ("edu", 0, include_bytes!("../../../conformance/traces/pci/edu.trace")),
    (
        "e1000",
        0,
        include_bytes!("../../../conformance/traces/pci/e1000.trace"),
    ),
    ("mch", 9, include_bytes!("../../../conformance/traces/q35/mch.trace")),
    (
        "pam-smram",
        8,
        include_bytes!("../../../conformance/traces/i440fx/pam-smram.trace"),
    ),
];

/// The writes of a trace to configuration space, each read back, cut into inputs.
fn recorded(name: &str, kind: u8, text: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut reader = Reader::new(text, name);
    let mut steps = Vec::new();
    while let Ok(Some(entry)) = reader.entry() {
        if let Line::Write {
            space: Space::Cfg,
            addr,
            width,
            value,
        } = entry.line
        {
            let [low, ..] = addr.to_le_bytes();
            let [a, b, c, d, ..] = value.to_le_bytes();
            steps.push(Step::write(low.into(), width.len(), u32::from_le_bytes([a, b, c, d])));
            steps.push(Step::read(low.into(), width.len()));
        }
    }
    let parts = steps.chunks(records::MAX_RECORDS).take(8);
    (0..)
        .zip(parts)
        .map(|(part, steps): (u8, _)| (format!("{name}-{part}"), records::join(&[kind, 1], steps)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_run_and_read_well() {
        let seeds = seeds();
        for (name, seed) in &seeds {
            println!("{name}");
            run(seed);
        }
        assert!(seeds.iter().any(|(name, _)| name == "edu-0"));
        let text = describe(&seeds[0].1);
        assert!(
            text.starts_with("all kinds of BARs, Specification\n  0  w 0x004 2 0x0000\n"),
            "{text}"
        );
        assert!(text.contains("w 0x010 4 0xffffffff\n  2  r 0x010 4\n"), "{text}");
    }

    #[test]
    fn random_inputs_run() {
        crate::util::exercise(&TARGET, 4000);
    }
}
