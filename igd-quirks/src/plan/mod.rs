// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From facts, options and a policy to what has to be done.
//!
//! A plan is a pure function of its inputs: the same inputs give the same plan. It does nothing by itself; a VMM carries
//! its steps out in order, and undoes them in reverse where one fails.

mod advice;
mod display;
mod draft;
mod finding;
mod mode;
mod outcome;
mod placement;
mod registers;
mod requirement;
mod steps;
mod subject;
mod traps;

pub use finding::{Code, Finding, Refusals};
pub use outcome::{
    BDSM_SIZE_FILE, FirmwareFile, GttClear, Image, IsaBridgePlan, MemoryPlan, Mode, OPREGION_FILE,
    ParseProvisioningError, Patch, Plan, Provisioning, Reservation, ReservationKind, RomPlan, Step, StepKind,
    StolenPlan, Trap, TrapOwner, VgaRange,
};

use crate::facts::HostFacts;
use crate::options::Options;
use crate::policy::Policy;

/// What to do to hand the device of `facts` to its machine.
///
/// # Errors
///
/// [`Refusals`] holds every reason for which there is no plan, not only the first.
pub fn plan(
    facts: &HostFacts,
    options: &Options,
    policy: Policy,
    provisioning: Provisioning,
) -> Result<Plan, Refusals> {
    let subject = subject::Subject::new(facts, options, policy);
    let mut draft = draft::Draft::new(&subject, provisioning);
    draft.run();
    draft.finish()
}
