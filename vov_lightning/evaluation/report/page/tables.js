// Tables in a box that scrolls by itself; null is a dash with a numbered note below, whose text is read out as well.

/** Notes of one table: every different reason gets a number once. */
class Notes {
  constructor() {
    this.reasons = [];
  }

  /** The number of a reason, raised. */
  mark(reason) {
    let number = this.reasons.indexOf(reason) + 1;
    if (!number) number = this.reasons.push(reason);
    return html("sup", { "aria-hidden": "true" }, String(number));
  }

  /** A dash, its number, and the reason for screen readers and as a tooltip. */
  dash(reason) {
    const text = reason || "not given";
    return html(
      "span",
      { class: "null", title: text },
      DASH,
      this.mark(text),
      html("span", { class: "unseen" }, ` no value: ${text}`),
    );
  }

  list() {
    if (!this.reasons.length) return null;
    return html("ol", { class: "notes" }, ...this.reasons.map((reason) => html("li", {}, reason)));
  }
}

/**
 * columns [{label, title, numeric, value(row) (sorting), cell(row, notes) -> node or text, mark(row) -> class}],
 * the first one a row header. options: caption, groups(row) -> text of a heading row, sortable, tall.
 */
function table(columns, rows, options = {}) {
  const notes = new Notes();
  const box = html("div", { class: "table-box" });
  const body = html("tbody");
  const heads = columns.map((column) =>
    html("th", { scope: "col", class: column.numeric ? "number" : null, title: column.title }, column.label),
  );
  const element = html(
    "table",
    {},
    html("caption", { class: "unseen" }, options.caption ?? ""),
    html("thead", {}, html("tr", {}, ...heads)),
    body,
  );
  const frame = html(
    "div",
    { class: options.tall ? "scroll tall" : "scroll", tabindex: "0", role: "region", "aria-label": options.caption },
    element,
  );

  const fillBody = (order) => {
    let group = null;
    body.replaceChildren();
    for (const row of order) {
      const name = options.groups?.(row) ?? null;
      if (name !== null && name !== group) {
        body.append(
          html(
            "tr",
            { class: "group" },
            html("th", { colspan: columns.length, scope: "rowgroup" }, html("span", {}, name)),
          ),
        );
        group = name;
      }
      body.append(
        html(
          "tr",
          {},
          ...columns.map((column, i) => {
            const classes = [column.numeric ? "number" : "", column.mark?.(row) ?? ""].join(" ").trim();
            return html(i ? "td" : "th", { scope: i ? null : "row", class: classes || null }, column.cell(row, notes));
          }),
        ),
      );
    }
  };
  fillBody(rows);
  if (options.sortable) columns.forEach((column, i) => sortBy(heads, i, column, (order) => fillBody(order(rows))));
  box.append(frame, notes.list() ?? "");
  return box;
}

/** Makes a head a button that sorts up, then down; rows without a value stay last. */
function sortBy(heads, index, column, apply) {
  const head = heads[index];
  const button = html("button", { type: "button", class: "sort" }, ...head.childNodes);
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const compare = (a, b) => (isNumber(a) && isNumber(b) ? a - b : String(a).localeCompare(String(b)));
    apply((rows) =>
      [...rows].sort((left, right) => {
        const [a, b] = [column.value(left), column.value(right)];
        if (a === null || b === null) return (a === null) - (b === null);
        return down ? compare(b, a) : compare(a, b);
      }),
    );
  });
}

/** A column for every metric of which any row has a figure or a reason. */
function metricColumns(metrics, rows, mark) {
  const shown = Object.keys(metrics).filter((key) => rows.some((row) => key in row.figures || key in row.reasons));
  return shown.map((key) => ({
    label: `${withUnit(metrics[key])}\u00a0${better(metrics[key])}`,
    title: `${betterWords(metrics[key])}. ${metrics[key].description}`,
    numeric: true,
    value: (row) => row.figures[key] ?? null,
    cell: (row, notes) =>
      isNumber(row.figures[key]) ? figureText(row.figures[key], metrics[key]) : notes.dash(row.reasons[key]),
    mark: (row) => (mark ? mark(row, key) : null),
  }));
}

/** A plain column of text or a number. */
function column(label, value, text, numeric = true) {
  return { label, numeric, value, cell: (row) => text(value(row)) };
}
