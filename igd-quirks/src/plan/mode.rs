// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Legacy mode or UPT.

use alloc::vec::Vec;

use super::draft::Draft;
use super::{Finding, Mode};
use crate::options::OnOffAuto;
use crate::policy::{LegacyFailure, Miss};

/// What was decided about the mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Decision {
    pub(super) mode: Mode,
    pub(super) reach: Reach,
}

/// How far setting the device up gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    Nothing,
    OpRegion,
    Everything,
}

const LEGACY: Decision = Decision {
    mode: Mode::Legacy,
    reach: Reach::Everything,
};
const UPT: Decision = Decision {
    mode: Mode::Upt,
    reach: Reach::Everything,
};

impl Draft<'_, '_> {
    pub(super) fn decide_mode(&mut self) -> Decision {
        let subject = self.subject;
        let provisioning = self.plan.provisioning;
        let unmet: Vec<(Miss, Finding)> = subject
            .rules
            .legacy
            .iter()
            .filter_map(|&(requirement, miss)| Some((miss, subject.unmet(requirement, provisioning)?)))
            .collect();
        let not_chosen = unmet.iter().any(|(miss, _)| *miss == Miss::NotChosen);
        let Some(&(first_miss, _)) = unmet.first() else {
            return if subject.options.legacy_mode == OnOffAuto::Off {
                UPT
            } else {
                LEGACY
            };
        };
        let findings = unmet.into_iter().map(|(_, finding)| finding);
        match subject.options.legacy_mode {
            OnOffAuto::Off => UPT,
            OnOffAuto::On => {
                self.refusals.extend(findings);
                LEGACY
            }
            // At another address nobody expects it.
            OnOffAuto::Auto if !subject.options.is_at_igd_address() => UPT,
            OnOffAuto::Auto if not_chosen => {
                self.plan.warnings.extend(findings);
                UPT
            }
            OnOffAuto::Auto => match subject.rules.legacy_failure {
                LegacyFailure::Refuse => {
                    self.refusals.extend(findings);
                    LEGACY
                }
                LegacyFailure::WithoutLegacy => {
                    self.plan.warnings.extend(findings);
                    UPT
                }
                LegacyFailure::Abandon => {
                    self.plan.warnings.extend(findings);
                    let reach = if first_miss == Miss::FailsAfterOpRegion {
                        Reach::OpRegion
                    } else {
                        Reach::Nothing
                    };
                    Decision { mode: Mode::Upt, reach }
                }
            },
        }
    }
}
