// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Host bridges that PC firmware knows: the function at 00:00.0.

mod i440fx;
mod pam;
mod q35;

pub use i440fx::I440Fx;
pub use pam::{Pam, PamAttribute, PamSegment};
pub use q35::{Q35, Q35StateError, Q35StateV1, Smram};
