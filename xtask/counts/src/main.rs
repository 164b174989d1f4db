// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what should not happen")]
//! Runs each hot path a known number of times, for a tool that counts instructions: see `docs/performance.md`.
//!
//! A line on standard output names each case and how many operations are counted. `cargo xtask bench --counts` starts
//! this program under callgrind, which counts in functions of the modules `counted` only, and dumps and clears its
//! counters at each [`boundary`]. Arguments are names of cases, to run no others.

mod config;
mod firmware;
mod graphics;
mod interrupts;
mod machine;

use std::env;
use std::hint::black_box;

/// One path to count.
struct Case {
    /// As in the baseline.
    name: &'static str,
    /// How often it runs.
    runs: u64,
    /// Operations a run: bytes of a string, say.
    operations: u64,
    run: Box<dyn FnMut()>,
}

impl Case {
    /// A path that is one operation.
    fn new(name: &'static str, run: impl FnMut() + 'static) -> Self {
        Self {
            name,
            runs: 1000,
            operations: 1,
            run: Box::new(run),
        }
    }

    /// Counts a run of the path as so many operations, and runs it less often.
    fn bulk(self, runs: u64, operations: u64) -> Self {
        Self {
            runs,
            operations,
            ..self
        }
    }
}

fn main() {
    let wanted: Vec<String> = env::args().skip(1).collect();
    let groups = [
        config::cases(),
        firmware::cases(),
        graphics::cases(),
        interrupts::cases(),
        machine::cases(),
    ];
    for mut case in groups.into_iter().flatten() {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == case.name) {
            continue;
        }
        println!("{} {}", case.name, case.runs * case.operations);
        // What is done once only, such as the first touch of a page, is done before.
        (case.run)();
        (case.run)();
        boundary();
        (0..case.runs).for_each(|_| (case.run)());
        boundary();
    }
}

/// Where one count ends and the next begins.
#[inline(never)]
fn boundary() {
    black_box(());
}
