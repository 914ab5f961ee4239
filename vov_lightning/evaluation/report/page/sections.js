// The sections of the report: each function fills its elements of template.html and says whether it has anything.

const words = (count, one, many = one + "s") => `${whole(count)} ${count === 1 ? one : many}`;

/** Rates from the smallest to the largest mean size. */
function ratesBySize(points) {
  const mean = (rate) => {
    const sizes = points.filter((point) => point.rate === rate).map((point) => point.bpp);
    return sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
  };
  return unique(points.map((point) => point.rate)).sort((a, b) => mean(a) - mean(b));
}

function methodName(results, key) {
  return html(
    "span",
    { class: "method" },
    swatch(Object.keys(results.methods).indexOf(key)),
    results.methods[key]?.label ?? key,
  );
}

function head(results) {
  const { about, points, failures } = results;
  const clips = unique(points.map((point) => point.clip));
  const frames = points.map((point) => point.frames);
  const sizes = unique(points.map((point) => `${point.width} \u00d7 ${point.height}`));
  const facts = [
    [
      "Clips",
      whole(clips.length),
      sizes.length === 1 && frames.length
        ? `${sizes[0]}, ${words(Math.max(...frames), "frame")}`
        : `${sizes.length} sizes`,
    ],
    ["Methods", whole(unique(points.map((point) => point.method)).length), words(ratesBySize(points).length, "rate")],
    ["Points", whole(points.length), `${words(results.unreachable.length, "target")} out of reach`],
    ["Metrics", whole(Object.keys(results.metrics).length), words(failures.length, "failure")],
  ];
  const date = new Date(about.date);
  const when = Number.isNaN(date.getTime()) ? about.date : `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
  byId("head").append(
    html("h1", {}, "Evaluation report"),
    html(
      "p",
      { class: "meta" },
      when,
      " \u00b7 vov_lightning ",
      String(about.versions.vov_lightning ?? "unknown version"),
    ),
    html("pre", { class: "command", tabindex: "0", "aria-label": "Command" }, about.command),
    html(
      "dl",
      { class: "facts" },
      ...facts.map(([term, value, detail]) =>
        html("div", {}, html("dt", {}, term), html("dd", {}, value), html("dd", { class: "detail" }, detail)),
      ),
    ),
  );
  if (failures.length)
    byId("head").append(
      html(
        "p",
        { class: "notice" },
        "Not everything could be evaluated: ",
        html("a", { href: "#failures" }, words(failures.length, "failure")),
        ".",
      ),
    );
}

function compare(data, blocks) {
  const { lossy, left_out: leftOut, lossless_pixels: pixels, quality } = data;
  const lead = [
    "The frames that the figures were taken from, drawn by one clock.",
    "Drag the dividers, point at a place to enlarge it.",
  ];
  if (lossy.length)
    lead.push(
      `Frames of more than ${whole(pixels)} pixels are shown as WebP of quality ${quality}, which is not what was ` +
        `measured; this concerns ${lossy.join(", ")}.`,
    );
  else if (blocks.size) lead.push("All frames are carried without loss.");
  if (leftOut.length) lead.push(`Left out to keep this file small: ${leftOut.join(", ")}.`);
  byId("compare-lead").textContent = lead.join(" ");
  if (blocks.size) byId("player").append(new Player(data.results, blocks).element);
  return blocks.size > 0 || leftOut.length > 0;
}

function means(results) {
  const { sets, metrics, methods } = results;
  const order = ratesBySize(results.points);
  const names = Object.keys(methods);
  const rows = [...sets].sort(
    (a, b) => order.indexOf(a.rate) - order.indexOf(b.rate) || names.indexOf(a.method) - names.indexOf(b.method),
  );
  const full = (row) =>
    row.clips === Math.max(...rows.filter((other) => other.rate === row.rate).map((other) => other.clips));
  const best = (row, key) => {
    if (!isNumber(row.figures[key]) || !full(row)) return null;
    const rivals = rows
      .filter((other) => other.rate === row.rate && full(other) && isNumber(other.figures[key]))
      .map((other) => other.figures[key]);
    const top = metrics[key].higher_is_better ? Math.max(...rivals) : Math.min(...rivals);
    return rivals.length > 1 && row.figures[key] === top ? "best" : null;
  };
  byId("means-table").append(
    table(
      [
        { label: "Method", cell: (row) => methodName(results, row.method) },
        { ...column("Clips", (row) => row.clips, whole), mark: (row) => (full(row) ? null : "partial") },
        column("Bytes", (row) => row.bytes, whole),
        column("bpp", (row) => row.bpp, precise),
        ...metricColumns(metrics, rows, best),
      ],
      rows,
      { caption: "Means over the clips, by rate", groups: (row) => row.rate },
    ),
  );
  wins(results, names);
  return rows.length > 0;
}

/** How often the first method beats each other one, over the pairs of points of one clip and rate. */
function wins(results, names) {
  const { points, metrics } = results;
  const ours = points.filter((point) => point.method === names[0]);
  const count = (method, key) => {
    const tally = [0, 0, 0];
    for (const point of ours) {
      const other = points.find(
        (item) => item.method === method && item.clip === point.clip && item.rate === point.rate,
      );
      const [a, b] = [point.figures[key], other?.figures[key]];
      if (isNumber(a) && isNumber(b)) tally[a === b ? 1 : a > b === metrics[key].higher_is_better ? 0 : 2]++;
    }
    return tally;
  };
  const rows = names.slice(1).filter((method) => points.some((point) => point.method === method));
  const keys = Object.keys(metrics).filter((key) => ours.some((point) => isNumber(point.figures[key])));
  if (!rows.length || !keys.length) return;
  const cell = (method, key) => {
    const [won, even, lost] = count(method, key);
    if (!won && !even && !lost) return DASH;
    return html(
      "span",
      { class: won > lost ? "win" : won < lost ? "loss" : null },
      `${won}\u2009:\u2009${lost}`,
      even ? ` (${even} even)` : "",
    );
  };
  byId("wins").append(
    html("h3", {}, `${results.methods[names[0]].label} against the others`),
    html("p", { class: "lead" }, "Won to lost, over all clips and rates where both have a figure."),
    table(
      [
        { label: "Against", cell: (method) => methodName(results, method) },
        ...keys.map((key) => ({
          label: metrics[key].label,
          title: metrics[key].description,
          numeric: true,
          cell: (method) => cell(method, key),
        })),
      ],
      rows,
      { caption: "Wins and losses" },
    ),
  );
}

function bdRates(data) {
  const { bd_rate: entries, metrics } = data.results;
  const keys = unique(entries.map((entry) => entry.metric));
  const rows = unique(entries.map((entry) => entry.method));
  const find = (method, key) => entries.find((entry) => entry.method === method && entry.metric === key);
  const rounded = (value) => Math.round(10 * value) / 10 || 0;
  const percent = (value) => (rounded(value) > 0 ? "+" : "") + fixed(rounded(value), 1) + "\u00a0%";
  const cell = (method, key, notes, value, total) => {
    const entry = find(method, key);
    if (!entry || !isNumber(value)) return notes.dash(entry?.reason);
    const valid = Object.values(entry.clips).filter(isNumber).length;
    const part =
      total && valid < Object.keys(entry.clips).length
        ? html(
            "span",
            { class: "part", title: entry.reason },
            ` ${valid} of ${Object.keys(entry.clips).length} clips`,
            notes.mark(entry.reason),
          )
        : null;
    return html("span", {}, html("span", { class: ["loss", null, "win"][1 + Math.sign(rounded(value))] }, percent(value)), part);
  };
  const anchors = unique(entries.map((entry) => data.results.methods[entry.anchor]?.label ?? entry.anchor));
  byId("bd-lead").textContent = `Anchor: ${anchors.join(", ")}; green where it needs fewer bits. ${data.bd_rule}`;
  const metricColumn = (key, value, total) => ({
    label: metrics[key]?.label ?? key,
    numeric: true,
    cell: (row, notes) => cell(row.method ?? row, key, notes, value(row, key), total),
  });
  byId("bd-table").append(
    table(
      [
        { label: "Method", cell: (method) => methodName(data.results, method) },
        ...keys.map((key) => metricColumn(key, (method) => find(method, key)?.mean, true)),
      ],
      rows,
      { caption: "Mean BD-rates over the clips" },
    ),
  );
  const clips = unique(entries.flatMap((entry) => Object.keys(entry.clips)));
  const single = rows.flatMap((method) => clips.map((clip) => ({ method, clip })));
  byId("bd-table").append(
    html(
      "details",
      {},
      html("summary", {}, "Clip by clip"),
      table(
        [
          { label: "Clip", cell: (row) => row.clip },
          ...keys.map((key) => metricColumn(key, (row) => find(row.method, key)?.clips[row.clip], false)),
        ],
        single,
        { caption: "BD-rates of every clip", groups: (row) => data.results.methods[row.method]?.label ?? row.method },
      ),
    ),
  );
  return entries.length > 0;
}

function everyPoint(results) {
  const { points, metrics, methods } = results;
  const rates = ratesBySize(points);
  const chosen = { clip: "", method: "", rate: "" };
  const draw = () => {
    const rows = points.filter((point) =>
      Object.entries(chosen).every(([key, value]) => !value || point[key] === value),
    );
    byId("points-table").replaceChildren(
      table(
        [
          column("Clip", (row) => row.clip, String, false),
          {
            ...column("Method", (row) => methods[row.method]?.label ?? row.method, String, false),
            cell: (row) => methodName(results, row.method),
          },
          column("Rate", (row) => row.rate, String, false),
          column("Bytes", (row) => row.bytes, whole),
          column("bpp", (row) => row.bpp, precise),
          ...metricColumns(metrics, rows),
          column("Encode,\u00a0s", (row) => row.encode_s, seconds),
          column("Decode,\u00a0s", (row) => row.decode_s, seconds),
          {
            ...column("Settings", (row) => row.settings, String, false),
            cell: (row) => html("span", { class: "settings", title: row.settings }, row.settings),
          },
        ],
        rows,
        { caption: "Every point; the heads sort", sortable: true, tall: true },
      ),
    );
  };
  const filter = (key, label, options) =>
    menu(label, [["", [["", "All"], ...options]]], "", (value) => ((chosen[key] = value), draw())).element;
  const same = (values) => values.map((value) => [value, value]);
  byId("points-controls").append(
    filter("clip", "Clip", same(unique(points.map((point) => point.clip)))),
    filter(
      "method",
      "Method",
      Object.entries(methods).map(([key, method]) => [key, method.label]),
    ),
    filter("rate", "Rate", same(rates)),
  );
  draw();
  return points.length > 0;
}

function failures(results) {
  byId("failures-table").append(
    table(
      ["file", "method", "error"].map((key) =>
        column(key[0].toUpperCase() + key.slice(1), (row) => row[key], String, false),
      ),
      results.failures,
      { caption: "Failures" },
    ),
  );
  return results.failures.length > 0;
}

function about(results) {
  const { about: run, metrics, methods } = results;
  const list = (entries) =>
    html(
      "dl",
      { class: "terms" },
      ...entries.map(([term, ...rest]) =>
        html("div", {}, html("dt", {}, term), ...rest.map((text) => html("dd", {}, text))),
      ),
    );
  const text = (value) =>
    Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value);
  const pairs = (record) => Object.entries(record).map(([key, value]) => [key, text(value)]);
  byId("about-body").append(
    html(
      "div",
      { class: "columns" },
      html(
        "div",
        {},
        html("h3", {}, "Methods"),
        list(Object.entries(methods).map(([key, method]) => [methodName(results, key), method.description])),
      ),
      html(
        "div",
        {},
        html("h3", {}, "Metrics"),
        list(Object.values(metrics).map((metric) => [`${withUnit(metric)} ${better(metric)}`, metric.description])),
      ),
    ),
    html(
      "div",
      { class: "columns three" },
      ...[
        ["Versions", run.versions],
        ["Machine", run.machine],
        ["Settings", run.settings],
      ].map(([name, record]) => html("div", {}, html("h3", {}, name), list(pairs(record)))),
    ),
  );
  return true;
}
