"use strict";

// Tables that sort by any column, and the choices of the leaderboard. Without it everything is shown, in mAP's order.
(() => {
  const order = new Intl.Collator("en", { numeric: true });

  // Sorting ----------------------------------------------------------------------------------------------------------
  function sortBy(header, direction) {
    const row = header.parentElement;
    const column = [...row.children].indexOf(header);
    const body = header.closest("table").tBodies[0];
    const sign = direction === "ascending" ? 1 : -1;
    const numeric = header.classList.contains("number");
    const keyed = [...body.rows].map((line) => {
      const cell = line.cells[column];
      return { line, key: numeric ? parseFloat(cell.dataset.value ?? cell.textContent) : cell.textContent.trim() };
    });
    keyed.sort((one, other) => {
      if (!numeric) return sign * order.compare(one.key, other.key);
      const missing = Number.isNaN(one.key) - Number.isNaN(other.key); // what was not measured is last either way
      return missing || (Number.isNaN(one.key) ? 0 : sign * (one.key - other.key));
    });
    body.append(...keyed.map((entry) => entry.line));
    for (const other of row.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction);
  }

  for (const button of document.querySelectorAll("table.sortable thead button")) {
    button.addEventListener("click", () => {
      const header = button.closest("th");
      const now = header.getAttribute("aria-sort");
      const first = header.classList.contains("number") ? "descending" : "ascending";
      const opposite = now === "ascending" ? "descending" : "ascending";
      sortBy(header, now ? opposite : first);
    });
  }

  // The leaderboard ---------------------------------------------------------------------------------------------------
  const controls = document.getElementById("controls");
  if (!controls) return;
  const count = document.getElementById("count");
  const boards = new Map([...document.querySelectorAll("section.board")].map((part) => [part.dataset.board, part]));
  const field = (name) => controls.elements.namedItem(name);

  function fill(select, entries) {
    const before = select.value;
    select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
    if (entries.some(([value]) => value === before)) select.value = before;
  }

  function showBoard() {
    const name = field("board").value;
    for (const [other, part] of boards) part.hidden = other !== name;
    const part = boards.get(name);
    const targets = new Map();
    for (const header of part.querySelectorAll("th[data-target]")) {
      targets.set(header.dataset.target, header.querySelector("small").textContent);
    }
    const rows = new Set([...part.querySelectorAll("tr[data-row]")].map((line) => line.dataset.row));
    const metrics = new Set([...part.querySelectorAll("th[data-metric]")].map((header) => header.dataset.metric));
    fill(field("metric"), [...[...metrics].map((metric) => [metric, metric]), ["", "all metrics"]]);
    fill(field("target"), [["", "all targets"], ...targets]);
    fill(field("row"), [["", "all rows"], ...[...rows].sort(order.compare).map((row) => [row, row])]);
  }

  function showColumns(part) {
    const target = field("target").value;
    const metric = field("metric").value;
    const lines = part.querySelectorAll("tr");
    for (const header of part.querySelectorAll("th[data-metric]")) {
      const away = (target && header.dataset.target !== target) || (metric && header.dataset.metric !== metric);
      if (header.hidden === Boolean(away)) continue;
      const column = header.cellIndex;
      for (const line of lines) line.cells[column].hidden = Boolean(away);
    }
    for (const line of part.querySelectorAll("tfoot tr")) {
      line.hidden = ![...line.cells].some((cell) => !cell.hidden && cell.cellIndex > 0 && cell.textContent);
    }
    const sorted = part.querySelector("th[aria-sort]");
    if (sorted && sorted.hidden) sortBy(part.querySelector("th[data-metric]:not([hidden])"), "descending");
  }

  function showRows(part) {
    const row = field("row").value;
    const typed = field("method").value;
    const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
    const lines = [...part.querySelectorAll("tr[data-row]")];
    let shown = 0;
    for (const line of lines) {
      const text = line.dataset.find.toLowerCase();
      line.hidden = (row !== "" && line.dataset.row !== row) || !words.every((word) => text.includes(word));
      shown += !line.hidden;
    }
    const nothing = typed.trim() ? `No line of this board matches “${typed.trim()}”.` : "No line of this board matches.";
    count.textContent = shown ? `${shown} of ${lines.length} lines` : nothing;
  }

  function show() {
    const part = boards.get(field("board").value);
    showColumns(part);
    showRows(part);
  }

  // The choices stand in the address, so that a view can be kept and sent on.
  function read() {
    const chosen = new URLSearchParams(location.hash.slice(1));
    const set = (name, otherwise) => {
      const values = [...field(name).options].map((option) => option.value);
      const wanted = chosen.get(name);
      field(name).value = values.includes(wanted) ? wanted : otherwise;
    };
    set("board", field("board").options[0].value);
    showBoard();
    set("target", "");
    set("row", "");
    set("metric", field("metric").options[0].value);
    field("method").value = chosen.get("method") || "";
    show();
  }

  function write() {
    history.replaceState(null, "", `#${new URLSearchParams(new FormData(controls))}`);
  }

  controls.addEventListener("input", (event) => {
    if (event.target.name === "board") showBoard();
    show();
    write();
  });
  controls.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", () => {
    if (location.hash && !location.hash.includes("=")) return; // a place on the page, such as #content: no choice
    read();
  });
  controls.hidden = false;
  read();
})();
