// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"use strict";
(() => {
  const bar = document.getElementById("filter");
  const find = document.getElementById("find");
  const left = document.getElementById("left");
  const chips = [...bar.querySelectorAll("button[data-status]")];
  const groups = [...document.querySelectorAll(".group")].map((group) => ({
    node: group,
    traces: [...group.querySelectorAll("details.trace")].map((trace) => ({
      node: trace,
      open: trace.open,
      name: trace.dataset.trace.toLowerCase(),
      rows: [...trace.querySelectorAll("li[data-status]")].map((row) => ({
        node: row,
        status: row.dataset.status,
        text: row.textContent.toLowerCase(),
      })),
    })),
  }));

  const apply = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const on = new Set(chips.filter((c) => c.getAttribute("aria-pressed") === "true").map((c) => c.dataset.status));
    const active = words.length > 0 || on.size > 0;
    let shown = 0;
    let all = 0;
    for (const group of groups) {
      let inGroup = 0;
      for (const trace of group.traces) {
        let inTrace = 0;
        for (const row of trace.rows) {
          const fits =
            (on.size === 0 || on.has(row.status)) && words.every((w) => trace.name.includes(w) || row.text.includes(w));
          row.node.hidden = !fits;
          inTrace += fits ? 1 : 0;
        }
        all += trace.rows.length;
        trace.node.hidden = inTrace === 0;
        trace.node.open = active ? inTrace > 0 : trace.open;
        inGroup += inTrace;
      }
      group.node.hidden = inGroup === 0;
      shown += inGroup;
    }
    left.textContent = active ? `${shown} of ${all} sections` : "";
  };

  for (const chip of chips) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      apply();
    });
  }
  find.addEventListener("input", apply);
  bar.hidden = false;

  // A link to a trace opens it.
  const follow = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") target.open = true;
  };
  addEventListener("hashchange", follow);
  follow();
})();
