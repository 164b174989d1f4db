// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Cost of the runner itself.
//!
//! - `parse/line`: each line of a trace of simple accesses, already in memory
//! - `parse/stream`: the same through the reader
//! - `replay/simple`: the same on a subject that is plain storage
//! - `replay/corpus`: the whole corpus on that subject, on one thread
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what should not happen")]

use std::fs;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use igd_conformance::corpus::{self, Corpus, Trace};
use igd_conformance::runner::{self, Options, Storage};
use igd_conformance::trace::{Line, Reader};

/// A trace of `r` and `w` lines alone.
const SIMPLE: &str = "i440fx/config";

fn traces() -> Vec<Trace> {
    let corpus = Corpus::locate(None).unwrap();
    corpus::find(Some(&corpus), &[]).unwrap()
}

fn accesses(trace: &Trace) -> u64 {
    trace.sections.iter().map(|section| section.accesses).sum()
}

fn parse(criterion: &mut Criterion) {
    let traces = traces();
    let trace = traces.iter().find(|trace| trace.name == SIMPLE).unwrap();
    let bytes = fs::read(&trace.path).unwrap();
    let lines: Vec<_> = bytes.split(|c| *c == b'\n').collect();
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(accesses(trace)));
    group.bench_function("line", |bench| {
        bench.iter(|| {
            for line in &lines {
                black_box(Line::parse(*line).unwrap());
            }
        });
    });
    group.bench_function("stream", |bench| {
        bench.iter(|| {
            let mut reader = Reader::new(bytes.as_slice(), "");
            while let Some(entry) = reader.entry().unwrap() {
                black_box(entry);
            }
        });
    });
    group.finish();
}

fn replay(criterion: &mut Criterion) {
    let traces = traces();
    let options = Options::default();
    let mut group = criterion.benchmark_group("replay");
    let simple = traces.iter().find(|trace| trace.name == SIMPLE).unwrap();
    group.throughput(Throughput::Elements(accesses(simple)));
    group.bench_function("simple", |bench| {
        bench.iter(|| runner::replay(&Storage, simple, &options));
    });
    group.throughput(Throughput::Elements(traces.iter().map(accesses).sum()));
    group.bench_function("corpus", |bench| {
        bench.iter(|| {
            for trace in &traces {
                black_box(runner::replay(&Storage, trace, &options));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, parse, replay);
criterion_main!(benches);
