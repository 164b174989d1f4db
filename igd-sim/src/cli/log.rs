// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Prints what a client does.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use igd_sim::server::{Access, Observer};
use igd_sim::{AccessError, RegionKind};

use super::args::LogKind;

/// Longest data that is printed whole.
const LONGEST: usize = 16;

/// Prints accesses of the chosen kind.
pub(crate) struct Log {
    kind: Option<LogKind>,
}

impl Log {
    pub(crate) const fn new(kind: Option<LogKind>) -> Self {
        Self { kind }
    }

    fn print(&self, text: &str) {
        if self.kind.is_some() {
            // A reader that went away is no reason to stop serving.
            let _ = writeln!(io::stdout().lock(), "{text}");
        }
    }
}

impl Observer for Log {
    fn client(&mut self, capabilities: &str) {
        self.print(&format!(
            "# client {}",
            capabilities.escape_debug().take(400).collect::<String>()
        ));
    }

    fn access(&mut self, access: &Access<'_>) {
        let is_wanted = match self.kind {
            None => false,
            Some(LogKind::ConfigWrites) => access.region == RegionKind::Config && access.is_write,
            Some(LogKind::Config) => access.region == RegionKind::Config,
            Some(LogKind::All) => true,
        };
        if is_wanted {
            self.print(&text(access));
        }
    }

    fn failure(&mut self, error: &AccessError) {
        self.print(&format!("# {}", super::line(error)));
    }
}

fn text(access: &Access<'_>) -> String {
    let Access {
        is_write,
        region,
        offset,
        data,
    } = *access;
    let verb = if is_write { 'w' } else { 'r' };
    let mut text = format!("{verb} {region} {offset:#x} {} ", data.len());
    if matches!(data.len(), 1 | 2 | 4 | 8) {
        text.push_str("0x");
        for byte in data.iter().rev() {
            let _ = write!(text, "{byte:02x}");
        }
        return text;
    }
    text.push_str("bytes:0x");
    for byte in data.iter().take(LONGEST) {
        let _ = write!(text, "{byte:02x}");
    }
    if data.len() > LONGEST {
        text.push_str("..");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbers_and_the_rest_is_bytes() {
        let line = |data: &[u8]| {
            text(&Access {
                is_write: true,
                region: RegionKind::Config,
                offset: 0xfc,
                data,
            })
        };
        assert_eq!(line(&[0, 0x70, 0xff, 0x0b]), "w config 0xfc 4 0x0bff7000");
        assert_eq!(line(&[1, 2, 3]), "w config 0xfc 3 bytes:0x010203");
        assert!(line(&[0; 17]).ends_with("00.."));
    }
}
