// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![no_main]
//! See `igd_fuzz_common::config_mechanism`.
libfuzzer_sys::fuzz_target!(|data: &[u8]| igd_fuzz_common::config_mechanism::run(data));
