// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What QEMU's machines show and ours do not, or otherwise, and why.

use super::compare::{Known, Reason};

pub(super) const KNOWN: &[Known] = &[];

pub(super) const REASONS: &[Reason] = &[];
