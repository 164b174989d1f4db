// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Renderings of a report, its JSON form and schema, and what is made of several reports.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod diff;
mod merge;
mod properties;
mod render;
mod samples;
mod schema;
