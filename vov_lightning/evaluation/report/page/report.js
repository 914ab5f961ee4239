// Puts the page together: reads the data, fills the sections, draws curves, bytes and fits.

function legend(results, hidden, redraw) {
  return Object.entries(results.methods)
    .filter(([key]) => results.points.some((point) => point.method === key))
    .map(([key, method]) => {
      const button = toggle("", true, (on) => (on ? hidden.delete(key) : hidden.add(key), redraw()));
      button.append(swatch(Object.keys(results.methods).indexOf(key)), method.label);
      return button;
    });
}

/** The points of a chart: means of the sets, or one clip's own. */
function curvePoints(results, clip, total) {
  if (clip)
    return results.points
      .filter((point) => point.clip === clip)
      .map((point) => ({ ...point, note: null, hollow: false }));
  return results.sets.map((set) => ({
    ...set,
    hollow: set.clips < total,
    note: set.clips < total ? `mean of only ${set.clips} of ${total} clips` : `mean of ${set.clips} clips`,
  }));
}

function bound(results, clip, key) {
  const values = (clip ? [clip] : unique(results.points.map((point) => point.clip))).map(
    (name) => results.bounds[name]?.[key],
  );
  if (!values.length || !values.every(isNumber)) return [];
  return [{ y: values.reduce((sum, value) => sum + value, 0) / values.length, label: "autoencoder bound" }];
}

function curves(results) {
  const clips = unique(results.points.map((point) => point.clip));
  const hidden = new Set();
  let [clip, xLog] = ["", true];
  const charts = Object.keys(results.metrics).map((key) => [key, new LineChart()]);
  const draw = () => {
    const points = curvePoints(results, clip, clips.length);
    for (const [key, chart] of charts) {
      const metric = results.metrics[key];
      const drawn = points.filter((point) => isNumber(point.figures[key]));
      chart.element.hidden = !drawn.length;
      const series = Object.keys(results.methods)
        .map((method, index) => ({
          label: results.methods[method].label,
          index,
          points: drawn
            .filter((point) => point.method === method && !hidden.has(method))
            .sort((a, b) => a.bpp - b.bpp)
            .map((point) => ({
              x: point.bpp,
              y: point.figures[key],
              hollow: point.hollow,
              lines: [
                `${figureText(point.figures[key], metric, true)} at ${precise(point.bpp)} bpp`,
                `${point.rate}, ${whole(point.bytes)} bytes`,
                point.note,
              ].filter(Boolean),
            })),
        }))
        .filter((line) => line.points.length);
      chart.draw({
        title: withUnit(metric),
        better: arrow(metric),
        xLabel: `bits per pixel (bpp)${xLog ? ", logarithmic" : ""}  \u2190 better`,
        xLog,
        rules: bound(results, clip, key),
        cursor: null,
        series,
      });
    }
    const absent = charts.filter(([, chart]) => chart.element.hidden).map(([key]) => results.metrics[key].label);
    const partial = points.some((point) => point.hollow);
    byId("curves-lead").textContent = [
      clip ? `The clip ${clip}.` : `Means over ${words(clips.length, "clip")}.`,
      "Point at a marker for its figures.",
      partial ? "A hollow marker is a mean over fewer clips than the others and not comparable with them." : "",
      absent.length ? `No figures here: ${absent.join(", ")}; the tables say why.` : "",
    ]
      .filter(Boolean)
      .join(" ");
  };
  byId("curves-controls").append(
    menu(
      "Show",
      [
        ["", [["", "Mean of the clips"]]],
        ["One clip", clips.map((name) => [name, name])],
      ],
      "",
      (value) => ((clip = value), draw()),
    ).element,
    html("div", { class: "legend", role: "group", "aria-label": "Methods shown" }, ...legend(results, hidden, draw)),
    toggle("Logarithmic rate", true, (on) => ((xLog = on), draw())),
  );
  byId("curves-grid").append(...charts.map(([, chart]) => chart.element));
  draw();
  if (results.unreachable.length) {
    byId("unreachable").append(
      html("h3", {}, "Out of reach"),
      html("p", { class: "lead" }, "Targets that a method could not meet; they have no marker above."),
      table(
        [
          column("Clip", (row) => row.clip, String, false),
          { label: "Method", cell: (row) => methodName(results, row.method) },
          column("Rate", (row) => row.rate, String, false),
          column("Wanted, bytes", (row) => row.bytes, whole),
          column("Reason", (row) => row.reason, String, false),
        ],
        results.unreachable,
        { caption: "Targets out of reach" },
      ),
    );
  }
  return results.points.length > 0;
}

function byteBars(results) {
  const files = results.points.filter((point) => Object.keys(point.sections).length);
  const names = unique(files.flatMap((point) => Object.keys(point.sections)));
  const largest = Math.max(...files.map((point) => point.bytes));
  const bar = (point) => {
    let from = 0;
    const parts = names.map((name, i) => {
      const width = ((point.sections[name] ?? 0) / largest) * 100;
      from += width;
      return svg(
        "rect",
        { class: hue(i), x: from - width, y: 0, width, height: 10 },
        svg("title", {}, `${name}: ${whole(point.sections[name] ?? 0)} bytes`),
      );
    });
    return svg(
      "svg",
      { class: "bytes-bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      ...parts,
    );
  };
  const key = (name, i) => html("span", { class: `chip ${hue(i)}` }, name.replaceAll("_", " "));
  const rates = ratesBySize(files);
  const draw = (rate) =>
    byId("bytes-table").replaceChildren(
      table(
        [
          column("Clip", (row) => row.clip, String, false),
          { label: "", cell: bar },
          column("Bytes", (row) => row.bytes, whole),
          ...names.map((name, i) => ({
            label: key(name, i),
            numeric: true,
            cell: (row) => (name in row.sections ? whole(row.sections[name]) : DASH),
          })),
        ],
        files.filter((point) => !rate || point.rate === rate),
        {
          caption: "Bytes by section",
          groups: (row) => `${results.methods[row.method]?.label ?? row.method}, ${row.rate}`,
        },
      ),
    );
  byId("bytes-controls").append(
    menu("Rate", [["", [["", "All"], ...rates.map((rate) => [rate, rate])]]], rates[0], draw).element,
  );
  if (files.length) draw(rates[0]);
  return files.length > 0;
}

const UP = "\u2191 higher is better";
const DOWN = "\u2193 lower is better";
const CURVES = {
  distortion: ["Training distortion", DOWN],
  psnr_db: ["PSNR, dB", UP],
  bpp: ["Rate, bits per pixel (bpp)", DOWN],
  flow_loss: ["Flow-matching loss", DOWN],
};

function fits(results) {
  const rates = unique(results.fits.map((fit) => fit.rate));
  const clips = unique(results.fits.map((fit) => fit.clip));
  const chosen = { rate: rates[0], clip: "" };
  const charts = unique(results.fits.flatMap((fit) => Object.keys(fit.curves))).map((key) => [key, new LineChart()]);
  const draw = () => {
    for (const [key, chart] of charts) {
      const [title, direction] = CURVES[key] ?? [key, ""];
      const series = results.fits
        .filter((fit) => fit.rate === chosen.rate && fit.curves[key])
        .map((fit) => ({
          label: fit.clip,
          index: clips.indexOf(fit.clip),
          thin: true,
          faint: chosen.clip !== "" && chosen.clip !== fit.clip,
          points: fit.steps
            .map((x, i) => ({
              x,
              y: fit.curves[key][i],
              lines: [`${precise(fit.curves[key][i] ?? 0)} after ${words(x, "iteration")}`],
            }))
            .filter(({ y }) => isNumber(y)),
        }));
      chart.element.hidden = !series.length;
      chart.draw({ title, better: direction, xLabel: "iterations", xLog: false, rules: [], cursor: null, series });
    }
  };
  byId("fits-controls").append(
    menu("Rate", [["", rates.map((rate) => [rate, rate])]], rates[0], (value) => ((chosen.rate = value), draw()))
      .element,
    menu(
      "Highlight",
      [["", [["", "All clips"], ...clips.map((clip) => [clip, clip])]]],
      "",
      (value) => ((chosen.clip = value), draw()),
    ).element,
  );
  byId("fits-grid").append(...charts.map(([, chart]) => chart.element));
  draw();
  return results.fits.length > 0;
}

/** Links to the sections that have something; the one in view is marked. */
function contents(sections) {
  const links = new Map();
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        for (const link of links.values()) link.removeAttribute("aria-current");
        links.get(entry.target).setAttribute("aria-current", "location");
      }
    },
    { rootMargin: "-20% 0px -75% 0px" },
  );
  for (const section of sections) {
    links.set(section, html("a", { href: `#${section.id}` }, section.dataset.title));
    watcher.observe(section);
  }
  byId("links").append(...links.values());
}

function themes() {
  const order = ["system", "light", "dark"];
  byId("theme").addEventListener("click", () => {
    const next = order[(order.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % 3];
    document.documentElement.dataset.theme = next;
    byId("theme").textContent = `Theme: ${next}`;
  });
}

const data = JSON.parse(byId("data").textContent);
const blocks = new Map([...document.querySelectorAll("script.frames")].map((block, i) => [data.shown[i], block]));
head(data.results);
const filled = {
  compare: compare(data, blocks),
  curves: curves(data.results),
  means: means(data.results),
  bd: bdRates(data),
  points: everyPoint(data.results),
  bytes: byteBars(data.results),
  fits: fits(data.results),
  failures: failures(data.results),
  about: about(data.results),
};
const sections = [...document.querySelectorAll("main > section")];
for (const section of sections) section.hidden = !filled[section.id];
contents(sections.filter((section) => !section.hidden));
themes();
