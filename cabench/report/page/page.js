"use strict";
(() => {
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Texts only ever become text nodes: names of methods and errors are other people's.
  function element(name, className, ...children) {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  }

  // ---- light and dark
  const root = document.documentElement;
  const scheme = one("#scheme");
  const isDark = () =>
    (root.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const nameScheme = () => {
    scheme.textContent = isDark() ? "Light" : "Dark";
    scheme.ariaLabel = `${scheme.textContent} colours`;
  };
  scheme.hidden = false;
  scheme.addEventListener("click", () => {
    root.style.colorScheme = isDark() ? "light" : "dark";
    nameScheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameScheme);
  nameScheme();

  // ---- sorting
  const collator = new Intl.Collator("en", { numeric: true });

  function sortKey(cell) {
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    const text = cell.textContent.trim();
    if (/^-?\d/.test(text)) return parseFloat(text);
    return ["-", "failed", "not run"].includes(text) ? null : text;
  }

  function compare(a, b) {
    return typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b);
  }

  function sort(button) {
    const header = button.closest("th");
    const table = header.closest("table");
    const order = header.ariaSort
      ? (header.ariaSort === "descending" ? "ascending" : "descending")
      : button.dataset.order || "ascending";
    const sign = order === "descending" ? -1 : 1;
    const keyed = [...table.tBodies[0].rows].map((row) => [sortKey(row.cells[header.cellIndex]), row]);
    // What was not measured stands last in either order.
    keyed.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
    table.tBodies[0].append(...keyed.map(([, row]) => row));
    for (const other of table.tHead.rows[0].cells) other.ariaSort = other === header ? order : null;
  }

  // ---- filters
  const filters = one("#filters");

  function filter() {
    const wanted = Object.fromEntries(new FormData(filters));
    const part = wanted.method.trim().toLowerCase();
    const named = (text) => text.toLowerCase().includes(part);
    let shown = 0;
    for (const board of all(".board")) {
      const fits = ["dataset", "source", "tier"].every((name) => !wanted[name] || wanted[name] === board.dataset[name]);
      const probes = one(".probes", board);
      const hasFactor = !wanted.factor || all("[data-factor]", board).some((row) => row.dataset.factor === wanted.factor);
      let rows = 0;
      for (const row of one(".methods", board).tBodies[0].rows) {
        row.hidden = !named(row.cells[0].textContent);
        rows += !row.hidden;
      }
      board.hidden = !(fits && hasFactor && rows);
      if (board.hidden) continue;
      shown += rows;
      if (probes) filterProbes(probes, wanted.factor, named);
    }
    one("output", filters).textContent = shown ? `${shown} row${shown === 1 ? "" : "s"}` : "Nothing fits these filters.";
  }

  function filterProbes(table, factor, named) {
    for (const row of table.tBodies[0].rows) row.hidden = Boolean(factor) && row.dataset.factor !== factor;
    for (const header of all("[data-method]", table)) {
      const hidden = !named(header.dataset.method);
      if (hidden !== header.hidden) for (const row of table.rows) row.cells[header.cellIndex].hidden = hidden;
    }
  }

  if (filters) {
    filters.hidden = false;
    filters.addEventListener("input", filter);
    filters.addEventListener("submit", (event) => event.preventDefault());
    // The fields are empty only after the event.
    filters.addEventListener("reset", () => setTimeout(filter));
    filter();
  }

  // ---- the panel of a method
  const panel = one("#panel");
  let data = null;

  function read(index) {
    data ??= JSON.parse(one("#data").textContent);
    return Object.fromEntries(data.columns.map((name, place) => [name, data.runs[index][place]]));
  }
  const shared = (place) => data.shared[place];
  const pairs = (place) => shared(place).map(shared);

  function open(button) {
    const first = Number(button.dataset.first);
    const runs = Array.from({ length: Number(button.dataset.runs) }, (_, i) => read(first + i));
    one("#panel-title").textContent = button.textContent;
    one(".where", panel).textContent = one("h2", button.closest(".board")).textContent;
    one(".runs", panel).replaceChildren(...runs.map(runDetails));
    one("details", panel).open = true;
    panel.showModal();
    panel.scrollTop = 0;
  }

  function runDetails(run) {
    const [score, info, leak] = run.scores.map((value) => (value === null ? "-" : value.toFixed(2)));
    const told = run.status === "done" ? `CAscore ${score}, info ${info}, leak ${leak}` : "";
    const summary = element("summary", "", element("b", "", `Seed ${run.seed}`), element("span", `status ${run.status}`, run.status), told);
    const details = element("details", "", summary);
    details.addEventListener("toggle", () => details.append(...runParts(run)), { once: true });
    return details;
  }

  function runParts(run) {
    const [started, wall, cpu, memory] = run.facts;
    const facts = [["run id", run.run_id], ["started", started], ["wall time", `${wall} s`], ["CPU time", `${cpu} s`],
      ["peak memory", `${memory} MB`], ...pairs(run.shared_facts)];
    return [
      ...(run.error === null ? [] : [element("p", "error", shared(run.error))]),
      element("h3", "", "Run it again"), commandLine(run.command.map(shared).join(",")),
      ...(run.curves.length ? [element("h3", "", "Loss by epoch: ", element("span", "train", "train —"), ", ",
        element("span", "validation", "validation - -")), curves(run.curves)] : []),
      element("h3", "", "Where it comes from"), list(facts),
      element("h3", "", "Parameters of the method"), list(pairs(run.params)),
      element("h3", "", "Parameters of the data set"), list(pairs(run.data_params)),
    ];
  }

  function list(items) {
    if (!items.length) return element("p", "", "It has none.");
    return element("dl", "", ...items.flatMap(([name, text]) => [element("dt", "", name), element("dd", "", text)]));
  }

  function commandLine(text) {
    const code = element("code", "", text);
    const button = element("button", "copy", "Copy");
    button.type = "button";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        // Some browsers give a page from a file no clipboard.
        getSelection().selectAllChildren(code);
        button.textContent = "Selected: copy it";
      }
    });
    button.ariaLive = "polite";
    return element("div", "command", code, button);
  }

  // ---- loss curves
  function curves(found) {
    const terms = new Map();
    for (const [term, epochs, values] of found) {
      const [, side, name] = /^([^/]*)\/(.*)$/s.exec(shared(term)) ?? ["", "train", shared(term)];
      const points = values.map((value, i) => [shared(epochs)[i], value]).filter(([, value]) => value !== null);
      if (points.length) terms.set(name, { ...terms.get(name), [side]: points });
    }
    return element("div", "curves", ...[...terms].map(([name, lines]) => curve(name, lines)));
  }

  function curve(name, lines) {
    const made = one("#curve").content.cloneNode(true);
    const points = Object.values(lines).flat();
    const [left, right] = range(points.map(([epoch]) => epoch));
    const [low, high] = range(points.map(([, value]) => value));
    const at = ([epoch, value]) => `${3 + (154 * (epoch - left)) / (right - left)},${52 - (48 * (value - low)) / (high - low)}`;
    const caption = one("figcaption", made);
    const told = [];
    caption.append(element("b", "", name));
    for (const [side, line] of Object.entries(lines)) {
      // A line of one point is drawn as a dot.
      one(`polyline.${side === "validation" ? side : "train"}`, made)
        .setAttribute("points", [line[0], ...line].map(at).join(" "));
      const text = `${side} ${line[0][1]} → ${line.at(-1)[1]}`;
      caption.append(element("br"), element("span", side, text));
      told.push(text);
    }
    one("svg", made).ariaLabel = `${name}: ${told.join(", ")}`;
    return made;
  }

  function range(values) {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return low < high ? [low, high] : [low - 1, high + 1];
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (event.target === panel || button?.matches(".close")) panel.close();
    else if (button?.matches(".open")) open(button);
    else if (button?.matches("thead button")) sort(button);
  });
})();
