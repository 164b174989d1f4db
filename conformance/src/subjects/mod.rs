// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Implementations that traces can be replayed on.

pub mod igd;
pub mod qtest;
