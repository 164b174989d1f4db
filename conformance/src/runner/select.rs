// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which traces and sections a run is about.

use crate::corpus::{Section, Trace};
use crate::pattern::Pattern;
use crate::trace::Kind;

/// What is selected; everything by default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selection {
    /// Names of traces.
    pub filter: Option<Pattern>,
    /// Labels of sections.
    pub section: Option<Pattern>,
    /// Kind of traces.
    pub kind: Option<Kind>,
}

impl Selection {
    /// Whether everything is selected.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// The traces that have something selected. One that cannot be read stays if its name is selected: nobody knows
    /// what is in it.
    #[must_use]
    pub fn take(&self, mut traces: Vec<Trace>) -> Vec<Trace> {
        traces.retain(|trace| {
            let named = self.filter.as_ref().is_none_or(|filter| filter.matches(&trace.name));
            let inside = || {
                self.kind.is_none_or(|kind| kind == trace.kind())
                    && trace
                        .sections
                        .iter()
                        .any(|section| is_selected(self.section.as_ref(), section))
            };
            named && (trace.problem.is_some() || inside())
        });
        traces
    }
}

/// Whether the label of `section` matches.
pub(super) fn is_selected(pattern: Option<&Pattern>, section: &Section) -> bool {
    pattern.is_none_or(|pattern| pattern.matches(&section.label))
}
