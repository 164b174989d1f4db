// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Two recordings of one sequence, from two versions, as one trace that holds for both.

/// Header lines of the second version that are shown shortened, from this length on.
const LONG_HEADER: usize = 600;
const SHORT_HEADER: usize = 80;
/// Answers up to this many digits are shown in a comment if they differ.
const SHORT_ANSWER: usize = 64;

/// Merges two traces.
///
/// Where the answers differ, the first one stays and gets a mask of the bits that both agree on: whole bytes in a byte
/// string, and none if one version refused the access and answered all zeros or all ones.
///
/// # Errors
///
/// The traces are not recordings of the same sequence; the text names the first lines that differ.
pub(super) fn merge(first: &str, second: &str) -> Result<String, String> {
    let (first, second) = (Trace::new(first)?, Trace::new(second)?);
    let mut out = Vec::new();
    merge_headers(&first, &second, &mut out);
    if first.body.len() != second.body.len() {
        return Err(format!(
            "the sequences differ: {} lines and {} lines after the header",
            first.body.len(),
            second.body.len()
        ));
    }
    for (a, b) in first.body.iter().zip(&second.body) {
        if a == b {
            out.push((*a).to_owned());
            continue;
        }
        let merged = merge_lines(a, first.version, b, second.version);
        out.extend(merged.ok_or_else(|| format!("the sequences differ: {} and {}", cut(a), cut(b)))?);
    }
    out.push(String::new());
    Ok(out.join("\n"))
}

fn cut(line: &str) -> String {
    format!("{:?}", line.chars().take(SHORT_HEADER).collect::<String>())
}

struct Trace<'a> {
    head: Vec<&'a str>,
    body: Vec<&'a str>,
    /// Text of `@qemu`, and its last version.
    versions: &'a str,
    version: &'a str,
}

impl<'a> Trace<'a> {
    fn new(text: &'a str) -> Result<Self, String> {
        let (head, body): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('@'));
        let versions = head
            .iter()
            .find_map(|line| line.strip_prefix("@qemu "))
            .unwrap_or_default();
        let version = versions.split(' ').next_back().filter(|version| !version.is_empty());
        let version = version.ok_or("not a recorded trace: it has no header @qemu")?;
        Ok(Self {
            head,
            body,
            versions,
            version,
        })
    }
}

fn merge_headers(first: &Trace<'_>, second: &Trace<'_>, out: &mut Vec<String>) {
    let mut left: Vec<Option<&str>> = second.head.iter().map(|line| Some(*line)).collect();
    for line in &first.head {
        if line.starts_with("@qemu ") {
            out.push(format!("{line} {}", second.versions));
            continue;
        }
        out.push((*line).to_owned());
        match left.iter_mut().find(|other| **other == Some(*line)) {
            Some(other) => *other = None,
            None => out.push(format!("# {} has another line here", second.version)),
        }
    }
    for line in left.into_iter().flatten().filter(|line| !line.starts_with("@qemu ")) {
        let text = line.strip_prefix('@').unwrap_or(line);
        let shown = match text.get(..SHORT_HEADER - 1) {
            Some(start) if line.len() >= LONG_HEADER => format!("{start}..."),
            _ => text.to_owned(),
        };
        out.push(format!("# {}: {shown}", second.version));
    }
}

/// Index of a line's answer, index of its mask, and whether the answer is a byte string.
fn answer_place(kind: &str) -> Option<(usize, usize, bool)> {
    match kind {
        "r" => Some((4, 5, false)),
        "rs" => Some((5, 6, true)),
        "rb" => Some((4, 5, true)),
        "p" => Some((4, 7, false)),
        _ => None,
    }
}

fn merge_lines(a: &str, a_version: &str, b: &str, b_version: &str) -> Option<Vec<String>> {
    let (x, y): (Vec<&str>, Vec<&str>) = (a.split(' ').collect(), b.split(' ').collect());
    let kind = x.first()?;
    let comment = || vec![format!("# differs: {a_version}: {a}; {b_version}: {b}")];
    if *kind == "map" && x.get(..3) == y.get(..3) {
        return Some(comment());
    }
    let (answer, mask, whole_bytes) = answer_place(kind)?;
    if x.get(..answer)? != y.get(..answer)? {
        return None;
    }
    if x.get(answer + 1..mask) != y.get(answer + 1..mask) {
        return (*kind == "p").then(comment);
    }
    let (ours, theirs) = (digits(x.get(answer)?)?, digits(y.get(answer)?)?);
    if ours.len() != theirs.len() {
        return None;
    }
    let mut agreed = agreement(&ours, &theirs, whole_bytes);
    for existing in [x.get(mask), y.get(mask)].into_iter().flatten() {
        let existing = digits(existing)?;
        if existing.len() != agreed.len() {
            return None;
        }
        for (bits, other) in agreed.iter_mut().zip(existing) {
            *bits &= other;
        }
    }
    let mut lines = Vec::new();
    if ours != theirs && ours.len() <= SHORT_ANSWER {
        lines.push(format!(
            "# differs: {a_version}={} {b_version}={}",
            x.get(answer)?,
            y.get(answer)?
        ));
    }
    let mask_text: String = agreed.iter().filter_map(|digit| char::from_digit(*digit, 16)).collect();
    lines.push(format!("{} 0x{mask_text}", x.get(..mask.min(x.len()))?.join(" ")));
    Some(lines)
}

/// The values of the digits of a number.
fn digits(text: &str) -> Option<Vec<u32>> {
    text.strip_prefix("0x")?
        .chars()
        .map(|digit| digit.to_digit(16))
        .collect()
}

fn agreement(a: &[u32], b: &[u32], whole_bytes: bool) -> Vec<u32> {
    let refused = |answer: &[u32]| [0, 15].iter().any(|all| answer.iter().all(|digit| digit == all));
    if a != b && (refused(a) || refused(b)) {
        return vec![0; a.len()];
    }
    let mut mask: Vec<u32> = a.iter().zip(b).map(|(a, b)| !(a ^ b) & 15).collect();
    if whole_bytes {
        for byte in mask.chunks_mut(2) {
            let kept = if byte.iter().all(|digit| *digit == 15) { 15 } else { 0 };
            byte.fill(kept);
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(version: &str, body: &[&str]) -> String {
        format!("@trace 1\n@qemu {version}\n@seed 1\n{}\n", body.join("\n"))
    }

    fn merged(a: &[&str], b: &[&str]) -> Result<Vec<String>, String> {
        let text = merge(&trace("1.0", a), &trace("2.0", b))?;
        let mut lines = text.strip_suffix('\n').unwrap().lines().map(str::to_owned);
        assert_eq!(
            lines.by_ref().take(3).collect::<Vec<_>>(),
            ["@trace 1", "@qemu 1.0 2.0", "@seed 1"]
        );
        Ok(lines.collect())
    }

    #[test]
    fn answers_keep_the_bits_that_both_agree_on() {
        let cases = [
            ("r io 0x0cf8 2 0x12f0", "r io 0x0cf8 2 0x1200", "0x1200", "0xff0f"),
            ("r io 0x0cf8 2 0x12f0", "r io 0x0cf8 2 0x0000", "0x0000", "0x0000"),
            ("r io 0x0cf8 2 0xffff", "r io 0x0cf8 2 0x1234", "0x1234", "0x0000"),
            (
                "rs io 0x0511 1 3 0x010203",
                "rs io 0x0511 1 3 0x010303",
                "0x010303",
                "0xff00ff",
            ),
        ];
        for (a, b, theirs, mask) in cases {
            let ours = a.rsplit(' ').next().unwrap();
            let expected = [format!("# differs: 1.0={ours} 2.0={theirs}"), format!("{a} {mask}")];
            assert_eq!(merged(&[a], &[b]).unwrap(), expected);
        }
    }

    #[test]
    fn existing_masks_stay() {
        let lines = merged(&["r io 0x0cf8 1 0x12 0x0f"], &["r io 0x0cf8 1 0x13 0xf1"]).unwrap();
        assert_eq!(lines, ["# differs: 1.0=0x12 2.0=0x13", "r io 0x0cf8 1 0x12 0x00"]);
        let lines = merged(&["r io 0x0cf8 1 0x12 0x0f"], &["r io 0x0cf8 1 0x12 0xf1"]).unwrap();
        assert_eq!(lines, ["r io 0x0cf8 1 0x12 0x01"]);
    }

    #[test]
    fn places_that_differ_become_comments() {
        let (a, b) = ("map 00:02.0 0 0xe0000000 0x1000", "map 00:02.0 0 - 0x1000");
        assert_eq!(merged(&[a], &[b]).unwrap(), [format!("# differs: 1.0: {a}; 2.0: {b}")]);
        let (a, b) = (
            "p mem 0xe0000000 1 0x12 00:02.0 0+0x0",
            "p mem 0xe0000000 1 0xff 00:02.0 -",
        );
        assert_eq!(merged(&[a], &[b]).unwrap(), [format!("# differs: 1.0: {a}; 2.0: {b}")]);
    }

    #[test]
    fn another_sequence_is_refused() {
        for (a, b) in [
            ("r io 0x0cf8 1 0x12", "r io 0x0cf9 1 0x12"),
            ("r io 0x0cf8 1 0x12", "w io 0x0cf8 1 0x12"),
            ("w io 0x0cf8 1 0x12", "w io 0x0cf8 1 0x13"),
            ("rs io 0x0511 1 2 0x0102", "rs io 0x0511 1 2 0x01"),
            ("r io 0x0cf8 1 0x12", "r io 0x0cf8 1 0x1g"),
            ("r", "reset"),
        ] {
            assert!(merged(&[a], &[b]).is_err(), "{a}; {b}");
        }
        assert!(merged(&["reset"], &["reset", "reset"]).is_err());
        assert!(merge("", "").is_err());
    }

    #[test]
    fn headers_of_the_second_are_kept_as_comments() {
        let a = "@trace 1\n@qemu 1.0\n@item 0x20 1 a 0x00\nreset\n";
        let b = format!(
            "@trace 1\n@qemu 2.0\n@item 0x20 1 a 0x01\n@item 0x21 300 b 0x{}\nreset\n",
            "ab".repeat(300)
        );
        let text = merge(a, &b).unwrap();
        let long = format!("item 0x21 300 b 0x{}", "ab".repeat(300));
        let expected = format!(
            "@trace 1\n@qemu 1.0 2.0\n@item 0x20 1 a 0x00\n# 2.0 has another line here\n\
             # 2.0: item 0x20 1 a 0x01\n# 2.0: {}...\nreset\n",
            &long[..79]
        );
        assert_eq!(text, expected);
    }
}
