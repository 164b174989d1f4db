// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Plans from any facts: what holds for every plan, and the same plan from the same facts.

mod input;
mod promises;

use igd_quirks::plan::plan;

use crate::Target;
use input::Input;

/// The target.
pub const TARGET: Target = Target {
    name: "plan",
    package: "igd-quirks",
    summary: "plans from any facts: what holds for every plan, and the same plan from the same facts",
    run,
    describe,
    seeds,
};

/// Runs one input.
///
/// # Panics
///
/// An oracle is broken.
pub fn run(data: &[u8]) {
    let Ok(input) = Input::read(data) else { return };
    let Input {
        facts,
        options,
        policy,
        provisioning,
    } = &input;
    let result = plan(facts, options, *policy, *provisioning);
    assert_eq!(
        result,
        plan(facts, options, *policy, *provisioning),
        "a second plan from the same facts"
    );
    match &result {
        Ok(plan) => {
            assert_eq!(
                (plan.policy, plan.provisioning),
                (*policy, *provisioning),
                "what was asked for"
            );
            promises::sizes(facts, plan);
            promises::owners(facts, plan);
            promises::memory(facts, plan);
            promises::steps(plan);
            promises::mode(plan);
            let text = serde_json::to_string(plan).unwrap_or_else(|error| panic!("a plan that is no JSON: {error}"));
            let again = serde_json::from_str(&text).unwrap_or_else(|error| panic!("a plan is not read back: {error}"));
            assert_eq!(plan, &again, "a plan that was written and read");
        }
        Err(refusals) => promises::refusals(refusals),
    }
    let (facts, options) = (written_and_read(facts), written_and_read(options));
    assert_eq!(
        result,
        plan(&facts, &options, *policy, *provisioning),
        "a plan from facts that were written and read"
    );
}

fn written_and_read<T>(value: &T) -> T
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + core::fmt::Debug,
{
    let text = serde_json::to_string(value).unwrap_or_else(|error| panic!("not written: {error}"));
    let again: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("not read back: {error}\n{text}"));
    assert!(&again == value, "read back as something else:\n{text}");
    again
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let input = match Input::read(data) {
        Ok(input) => input,
        Err(error) => return error.to_string(),
    };
    match plan(&input.facts, &input.options, input.policy, input.provisioning) {
        Ok(plan) => format!("{input}{plan}"),
        Err(refusals) => format!("{input}refused: {refusals}\n"),
    }
}

/// Inputs to start from: every profile, under each policy with each provisioning in turn.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    // Machine and options as usual: 12 and 11 bytes of zeros.
    const USUAL: usize = 23;
    let profiles = (0_u8..).zip(igd_sim::Profile::all());
    let of = |(index, profile): (u8, &igd_sim::Profile)| {
        let mut bytes = vec![index % 6, if index % 6 == 0 { index / 6 % 3 } else { 0 }];
        bytes.extend([0; USUAL]);
        bytes.extend([index, 0]);
        bytes.extend([0; 20]);
        (profile.name.to_owned(), bytes)
    };
    profiles.map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_random_inputs_keep_the_oracles() {
        crate::util::exercise(&TARGET, 2000);
    }

    #[test]
    fn inputs_are_readable() {
        let text = describe(&seeds().iter().find(|(name, _)| name == "snb").unwrap().1);
        assert!(text.starts_with("policy native, provisioning fw-cfg\n"), "{text}");
        assert!(
            text.contains("\"device\": \"0x0116\"") && text.contains("Sandy Bridge"),
            "{text}"
        );
    }

    #[test]
    fn most_seeds_have_a_plan() {
        let plans = seeds()
            .iter()
            .filter(|(_, bytes)| !describe(bytes).contains("refused: "))
            .count();
        assert!(plans > 15, "{plans}");
    }
}
