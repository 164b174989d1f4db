// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![no_std]
#![forbid(unsafe_code)]
//! .
