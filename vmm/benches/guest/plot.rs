// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The ratios as a picture.

use std::fmt::Write;

use serde_json::Value;

const WIDTH: f64 = 920.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 190.0;
const LINE: f64 = 26.0;
const TOP: f64 = 56.0;

/// Three digits or more, as anybody reads them.
pub(crate) fn figure(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// One bar a row on a logarithmic scale: how many times of ours QEMU takes. Rows without QEMU are left out.
pub(crate) fn bars(rows: &[Value]) -> String {
    let text = |row: &Value, key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |row: &Value, key: &str| row.get(key).and_then(Value::as_f64);
    let rows: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let ratio = number(row, "ratio").filter(|ratio| *ratio > 0.0 && ratio.is_finite())?;
            Some((
                text(row, "name"),
                text(row, "unit"),
                number(row, "igd-vmm")?,
                number(row, "qemu")?,
                ratio,
            ))
        })
        .collect();
    let most = rows.iter().map(|row| row.4.log10().abs()).fold(1.0, f64::max);
    let count = u32::try_from(rows.len()).unwrap_or(0);
    let height = TOP + LINE * f64::from(count) + 24.0;
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    let scale = (WIDTH - LEFT - RIGHT) / 2.0 / most;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"22\" font-weight=\"bold\">What QEMU takes, as a multiple of igd-vmm</text>\n"
    );
    for power in [-2_i32, -1, 0, 1, 2] {
        let x = f64::from(power).mul_add(scale, middle);
        if (LEFT..=WIDTH - RIGHT).contains(&x) {
            let label = ["1/100", "1/10", "1", "10", "100"];
            let label = usize::try_from(power + 2)
                .ok()
                .and_then(|index| label.get(index))
                .unwrap_or(&"");
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#ccc\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{label}</text>",
                TOP - 6.0,
                height - 20.0,
                TOP - 12.0
            );
        }
    }
    for (index, (name, unit, ours, qemu, ratio)) in (0_u32..).zip(rows) {
        let y = LINE.mul_add(f64::from(index), TOP);
        let length = ratio.log10() * scale;
        let (x, color) = if length < 0.0 {
            (middle + length, "#c44")
        } else {
            (middle, "#38a")
        };
        let _ = writeln!(
            svg,
            "<text x=\"12\" y=\"{:.1}\">{name}</text><rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"16\" \
             fill=\"{color}\"/><text x=\"{:.1}\" y=\"{:.1}\" fill=\"#333\">{} / {} {unit}</text>",
            y + 13.0,
            y,
            length.abs().max(1.0),
            WIDTH - RIGHT + 6.0,
            y + 13.0,
            figure(ours),
            figure(qemu)
        );
    }
    svg + "</svg>\n"
}
