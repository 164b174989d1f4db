// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A plan as text for people.

use core::fmt;

use super::{Mode, Plan, Provisioning};

/// Columns before the text of a step.
const STEP_INDENT: usize = 17;
/// Columns before the text of a warning.
const WARNING_INDENT: usize = 5;
/// Columns of a line.
const WIDTH: usize = 110;

/// A number of bytes, in the largest unit that divides it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Size(pub(super) u64);

impl Size {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0 bytes"),
            bytes if bytes.is_multiple_of(1 << 20) => write!(f, "{} MiB", bytes >> 20),
            bytes if bytes.is_multiple_of(1 << 10) => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(address) = self.address {
            write!(f, ", in the guest at {address}")?;
        }
        let mode = match self.mode {
            Mode::Legacy => "legacy: the primary display, with OpRegion, VGA and the host's bridge ids",
            Mode::Upt => "upt: a graphics device that its driver alone sets up",
            Mode::Untouched => "untouched: a PCI device like any other",
        };
        let provisioning = match self.provisioning {
            Provisioning::FwCfg => "fw-cfg: the firmware places OpRegion and stolen memory",
            Provisioning::Direct => "direct: the VMM places OpRegion and stolen memory",
            Provisioning::Identity => "identity: as direct, with stolen memory at the host's address",
        };
        write!(
            f,
            "\n\n  mode          {mode}\n  policy        {}\n  provisioning  {provisioning}\n",
            self.policy
        )?;
        if self.steps.is_empty() {
            f.write_str("\nNothing to do.\n")?;
        } else {
            f.write_str("\nSteps\n")?;
        }
        for (number, step) in (1..).zip(&self.steps) {
            write!(f, "  {number:>2} {:<12}", step.kind)?;
            wrap(f, &step.action, STEP_INDENT)?;
            write!(f, "{:STEP_INDENT$}because ", "")?;
            wrap(f, &step.reason, STEP_INDENT + "because ".len())?;
        }
        if !self.warnings.is_empty() {
            f.write_str("\nWarnings\n")?;
        }
        for warning in &self.warnings {
            f.write_str("   - ")?;
            wrap(f, &warning.fact, WARNING_INDENT)?;
            write!(f, "{:WARNING_INDENT$}", "")?;
            wrap(f, &warning.remedy, WARNING_INDENT)?;
        }
        Ok(())
    }
}

/// Writes words from column `indent` on, in lines of at most [`WIDTH`] columns.
fn wrap(f: &mut fmt::Formatter<'_>, text: &str, indent: usize) -> fmt::Result {
    let mut column = indent;
    for (index, word) in text.split(' ').enumerate() {
        let len = word.chars().count();
        if index > 0 && column + 1 + len > WIDTH {
            write!(f, "\n{:indent$}", "")?;
            column = indent;
        } else if index > 0 {
            f.write_str(" ")?;
            column += 1;
        }
        f.write_str(word)?;
        column += len;
    }
    f.write_str("\n")
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;
    use std::string::{String, ToString};

    struct Wrapped<'a>(&'a str, usize);

    impl fmt::Display for Wrapped<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            wrap(f, self.0, self.1)
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_the_width() {
        let word = |len| String::from_utf8(std::vec![b'x'; len]).unwrap();
        for (second, separator) in [(WIDTH - 16, " "), (WIDTH - 15, "\n     ")] {
            let text = format!("{} {}", word(10), word(second));
            let expected = format!("{}{separator}{}\n", word(10), word(second));
            assert_eq!(Wrapped(&text, 5).to_string(), expected);
        }
        let long = word(WIDTH);
        assert_eq!(Wrapped(&long, 5).to_string(), format!("{long}\n"), "no line before it");
    }
}
