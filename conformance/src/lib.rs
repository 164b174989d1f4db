// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![forbid(unsafe_code)]
//! Replays recorded register traces on device models.

pub mod report;
pub mod subject;
pub mod trace;
