// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Comparison of what two VMMs show: every difference is known, and every known difference is there.

use std::collections::BTreeMap;

use super::probe::Found;

/// Most lines about differences.
const SHOWN: usize = 24;

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The probe ran.
    Probed(Vec<(String, Found)>),
    /// The device was refused: what was said.
    Refused(String),
    /// Something else.
    Broken(String),
}

/// What both made of a set of options.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pair {
    pub(super) run: String,
    pub(super) machine: &'static str,
    pub(super) reference: End,
    pub(super) ours: End,
}

/// Which part of an answer differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// All of it, or something other than bytes.
    Whole,
    /// From this byte on: the reference's bytes, and ours.
    Bytes(usize, &'static [u8], &'static [u8]),
    /// This file of a directory.
    File(&'static str),
}

/// A difference that there has to be.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The only machine where it is.
    pub(super) machine: Option<&'static str>,
    pub(super) item: &'static str,
    pub(super) part: Part,
    pub(super) why: &'static str,
}

/// A refusal, in words of the reference and of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reason {
    pub(super) reference: &'static str,
    pub(super) ours: &'static str,
}

/// What came out of a comparison.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Outcome {
    pub(super) probed: usize,
    pub(super) refused: usize,
    /// Answers that are the same.
    pub(super) equal: usize,
    /// Answers that differ as they have to.
    pub(super) known: usize,
    pub(super) failures: Vec<String>,
}

/// One thing that is not the same.
struct Difference<'a> {
    file: Option<&'a str>,
    /// Where, the reference's, and ours.
    byte: Option<(usize, u8, u8)>,
    text: String,
}

/// Compares all pairs.
pub(super) fn compare(pairs: &[Pair], known: &[&Known], reasons: &[Reason]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut is_used = vec![false; known.len()];
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for pair in pairs {
        let mut note = |text: String| found.entry(text).or_default().push(&pair.run);
        match (&pair.reference, &pair.ours) {
            (End::Probed(reference), End::Probed(ours)) => {
                outcome.probed += 1;
                if !reference
                    .iter()
                    .map(|(name, _)| name)
                    .eq(ours.iter().map(|(name, _)| name))
                {
                    note("the answers are not to the same questions".to_owned());
                    continue;
                }
                for ((item, reference), (_, ours)) in reference.iter().zip(ours) {
                    let differences = differences(reference, ours);
                    let mut unknown = Vec::new();
                    for difference in &differences {
                        let row = known.iter().position(|row| covers(row, pair.machine, item, difference));
                        match row.and_then(|row| is_used.get_mut(row)) {
                            Some(used) => *used = true,
                            None => unknown.push(difference.text.as_str()),
                        }
                    }
                    match (differences.is_empty(), unknown.is_empty()) {
                        (true, _) => outcome.equal += 1,
                        (_, true) => outcome.known += 1,
                        _ => note(format!("{item}: {}", shortened(&unknown))),
                    }
                }
            }
            (End::Refused(reference), End::Refused(ours)) => {
                outcome.refused += 1;
                let is_same = |row: &Reason| reference.contains(row.reference) && ours.contains(row.ours);
                if !reasons.iter().any(is_same) {
                    note(format!(
                        "QEMU refuses with `{}`, we with `{}`",
                        last(reference),
                        last(ours)
                    ));
                }
            }
            (reference, ours) => note(format!("QEMU {}, we {}", told(reference), told(ours))),
        }
    }
    let hidden = found.len().saturating_sub(SHOWN);
    let lines = found.iter().take(SHOWN).map(|(text, runs)| match runs.as_slice() {
        [run] => format!("{run}: {text}"),
        [first, ..] => format!("{} runs, {first} first: {text}", runs.len()),
        [] => text.clone(),
    });
    outcome.failures.extend(lines);
    if hidden > 0 {
        outcome.failures.push(format!("and {hidden} more"));
    }
    for (row, _) in known.iter().zip(is_used).filter(|(_, is_used)| !is_used) {
        let on = row.machine.map_or(String::new(), |machine| format!(" on {machine}"));
        outcome.failures.push(format!(
            "{} {:?}{on} differs no longer, as it did because {}",
            row.item, row.part, row.why
        ));
    }
    outcome
}

fn covers(row: &Known, machine: &str, item: &str, difference: &Difference<'_>) -> bool {
    let is_there = row.item == item && row.machine.is_none_or(|only| only == machine);
    is_there
        && match (&row.part, difference.file, difference.byte) {
            (Part::Whole, ..) => true,
            (Part::Bytes(start, reference, ours), _, Some((at, byte, our))) => {
                let at = at.checked_sub(*start);
                let pair = at.and_then(|at| Some((*reference.get(at)?, *ours.get(at)?)));
                pair == Some((byte, our))
            }
            (Part::File(name), Some(file), _) => *name == file,
            _ => false,
        }
}

fn differences<'a>(reference: &'a Found, ours: &'a Found) -> Vec<Difference<'a>> {
    let whole = |text: String| Difference {
        file: None,
        byte: None,
        text,
    };
    match (reference, ours) {
        _ if reference == ours => Vec::new(),
        (Found::Bytes(reference), Found::Bytes(ours)) if reference.len() == ours.len() => {
            let bytes = reference.iter().zip(ours).enumerate();
            bytes
                .filter(|(_, (reference, ours))| reference != ours)
                .map(|(at, (reference, ours))| Difference {
                    file: None,
                    byte: Some((at, *reference, *ours)),
                    text: format!("{at:#04x} is {reference:02x} in QEMU, {ours:02x} here"),
                })
                .collect()
        }
        (Found::Files(reference), Found::Files(ours)) => files(reference, ours),
        (Found::Pages(size, reference), Found::Pages(same, ours)) if size == same => {
            let pages = reference.iter().zip(ours).enumerate();
            let pages = pages.filter(|(_, (reference, ours))| reference != ours);
            let pages: Vec<String> = pages.map(|(page, _)| format!("{:#x}", page * 256)).collect();
            vec![whole(format!("the 256 bytes at {}", pages.join(", ")))]
        }
        _ => vec![whole(format!("{} in QEMU, {} here", size(reference), size(ours)))],
    }
}

fn files<'a>(reference: &'a [(String, u32)], ours: &'a [(String, u32)]) -> Vec<Difference<'a>> {
    let size = |files: &[(String, u32)], name: &str| {
        let file = files.iter().find(|(other, _)| other == name);
        file.map_or("absent".to_owned(), |(_, size)| format!("{size} bytes"))
    };
    let mut differences = Vec::new();
    let added = ours
        .iter()
        .filter(|(name, _)| reference.iter().all(|(other, _)| other != name));
    for (name, _) in reference.iter().chain(added) {
        let sizes = (size(reference, name), size(ours, name));
        if sizes.0 != sizes.1 {
            differences.push(Difference {
                file: Some(name),
                byte: None,
                text: format!("{name} is {} in QEMU, {} here", sizes.0, sizes.1),
            });
        }
    }
    let order = |files: &'a [(String, u32)], others: &[(String, u32)]| -> Vec<&'a String> {
        let names = files.iter().map(|(name, _)| name);
        names
            .filter(|name| others.iter().any(|(other, _)| other == *name))
            .collect()
    };
    if order(reference, ours) != order(ours, reference) {
        differences.push(Difference {
            file: None,
            byte: None,
            text: "the files are in another order".to_owned(),
        });
    }
    differences
}

fn size(found: &Found) -> String {
    match found {
        Found::NoFile => "no file".to_owned(),
        Found::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Found::Pages(size, _) => format!("{size} bytes"),
        Found::Files(files) => format!("{} files", files.len()),
    }
}

fn told(end: &End) -> String {
    match end {
        End::Probed(_) => "goes on".to_owned(),
        End::Refused(said) => format!("refuses with `{}`", last(said)),
        End::Broken(how) => how.clone(),
    }
}

/// The last line with something in it.
fn last(said: &str) -> &str {
    said.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("nothing")
}

fn shortened(texts: &[&str]) -> String {
    match texts {
        [first, second, third, more @ ..] if !more.is_empty() => {
            format!("{first}; {second}; {third}; and {} more", more.len())
        }
        _ => texts.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(reference: End, ours: End) -> Pair {
        Pair {
            run: "pc-one".to_owned(),
            machine: "pc",
            reference,
            ours,
        }
    }

    fn probed(bytes: &[u8]) -> End {
        End::Probed(vec![("config".to_owned(), Found::Bytes(bytes.to_vec()))])
    }

    fn listed(files: &[(&str, u32)]) -> End {
        let files = files.iter().map(|(name, size)| ((*name).to_owned(), *size));
        End::Probed(vec![("directory".to_owned(), Found::Files(files.collect()))])
    }

    fn row(machine: Option<&'static str>, item: &'static str, part: Part) -> Known {
        Known {
            machine,
            item,
            part,
            why: "of something",
        }
    }

    fn failures(pair: Pair, known: &[Known]) -> Vec<String> {
        let known: Vec<&Known> = known.iter().collect();
        compare(&[pair], &known, &[]).failures
    }

    #[test]
    fn a_difference_that_is_not_known_fails() {
        let (reference, ours) = (probed(&[1, 2, 3]), probed(&[1, 5, 6]));
        assert_eq!(failures(pair(reference.clone(), reference.clone()), &[]), [""; 0]);
        let all = failures(pair(reference.clone(), ours.clone()), &[]);
        assert_eq!(
            all,
            ["pc-one: config: 0x01 is 02 in QEMU, 05 here; 0x02 is 03 in QEMU, 06 here"]
        );
        let some = [row(None, "config", Part::Bytes(1, &[2], &[5]))];
        let rest = failures(pair(reference.clone(), ours.clone()), &some);
        assert_eq!(rest, ["pc-one: config: 0x02 is 03 in QEMU, 06 here"]);
        let every = [&row(Some("pc"), "config", Part::Bytes(1, &[2, 3], &[5, 6]))];
        let outcome = compare(&[pair(reference.clone(), ours.clone())], &every, &[]);
        assert_eq!((outcome.known, outcome.failures.len()), (1, 0));
        let values = [row(Some("pc"), "config", Part::Bytes(1, &[2, 3], &[5, 7]))];
        let rest = failures(pair(reference.clone(), ours.clone()), &values);
        assert_eq!(rest, ["pc-one: config: 0x02 is 03 in QEMU, 06 here"], "another value");
        let other = failures(pair(reference, ours), &[row(Some("q35"), "config", Part::Whole)]);
        assert!(
            other.len() == 2 && other[1].contains("on q35 differs no longer"),
            "{other:?}"
        );
    }

    #[test]
    fn a_known_difference_that_is_gone_is_told() {
        let rows = [row(None, "config", Part::Bytes(0, &[1], &[2]))];
        let gone = failures(pair(probed(&[1]), probed(&[1])), &rows);
        assert_eq!(
            gone,
            ["config Bytes(0, [1], [2]) differs no longer, as it did because of something"]
        );
    }

    #[test]
    fn files_differ_by_name_size_and_order() {
        let reference = listed(&[("a", 1), ("b", 2), ("c", 3)]);
        let rows = [
            row(None, "directory", Part::File("a")),
            row(None, "directory", Part::File("d")),
        ];
        let good = listed(&[("b", 2), ("c", 3), ("d", 4)]);
        assert_eq!(failures(pair(reference.clone(), good), &rows), [""; 0]);
        let wrong = listed(&[("c", 3), ("b", 5), ("d", 4)]);
        let all = failures(pair(reference, wrong), &rows);
        assert_eq!(
            all,
            ["pc-one: directory: b is 2 bytes in QEMU, 5 bytes here; the files are in another order"]
        );
    }

    #[test]
    fn a_file_of_another_kind_differs_as_a_whole() {
        let file = |found| End::Probed(vec![("file".to_owned(), found)]);
        let pages = |last| file(Found::Pages(600, vec![1, 2, last]));
        assert_eq!(
            failures(pair(pages(3), pages(4)), &[]),
            ["pc-one: file: the 256 bytes at 0x200"]
        );
        let absent = failures(pair(pages(3), file(Found::NoFile)), &[]);
        assert_eq!(absent, ["pc-one: file: 600 bytes in QEMU, no file here"]);
    }

    #[test]
    fn both_refuse_for_the_same_reason_or_neither_does() {
        const SAME: Reason = Reason {
            reference: "1f.0",
            ours: "ISA bridge",
        };
        let refused = |text: &str| End::Refused(text.to_owned());
        let check = |reference, ours| compare(&[pair(reference, ours)], &[], &[SAME]).failures;
        assert_eq!(check(refused("slot 1f.0 taken"), refused("an ISA bridge\n\n")), [""; 0]);
        let other = check(refused("slot 1f.0 taken"), refused("no ROM\n"));
        assert_eq!(other, ["pc-one: QEMU refuses with `slot 1f.0 taken`, we with `no ROM`"]);
        let one = check(refused("no"), probed(&[1]));
        assert_eq!(one, ["pc-one: QEMU refuses with `no`, we goes on"]);
        let broken = End::Broken("ends with 137".to_owned());
        assert_eq!(check(broken.clone(), broken).len(), 1, "two that break prove nothing");
    }
}
