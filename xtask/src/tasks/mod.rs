// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One file a task.

pub(crate) mod bench;
pub(crate) mod ci;
pub(crate) mod conformance;
pub(crate) mod cov;
pub(crate) mod doc;
pub(crate) mod firmware;
pub(crate) mod fuzz;
pub(crate) mod lab;
pub(crate) mod lint;
pub(crate) mod mutants;
pub(crate) mod test;
