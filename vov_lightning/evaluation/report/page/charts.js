// Line charts in SVG at their real size in pixels; drawn again when the size changes.

const MARGIN = { left: 54, right: 16, top: 14, bottom: 42 };

/** Round ticks within [low, high]: steps of 1, 2 or 5, or on a logarithmic axis 1, 2, 3, 5, 7 in each decade. */
function ticks(low, high, logarithmic, count) {
  if (logarithmic) {
    const found = [];
    for (let decade = Math.floor(Math.log10(low)); decade <= Math.ceil(Math.log10(high)); decade++) {
      for (const digit of [1, 2, 3, 5, 7]) {
        const value = Number(`${digit}e${decade}`);
        if (value >= low && value <= high) found.push(value);
      }
    }
    const coarse = found.filter((value) => !/[37]/.test(value.toExponential()[0]));
    if (coarse.length > 2) return coarse;
    if (found.length > 1) return found;
  }
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= raw);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++)
    found.push(Number((i * step).toFixed(digits)));
  return found;
}

function axis(values, logarithmic, from, to, count) {
  const map = logarithmic ? Math.log10 : (value) => value;
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const span = map(high) - map(low) || Math.abs(map(high)) * 0.1 || 1;
  const unmap = logarithmic ? (value) => 10 ** value : (value) => value;
  [low, high] = [unmap(map(low) - span * 0.07), unmap(map(high) + span * 0.07)];
  const scale = (value) => from + ((map(value) - map(low)) / (map(high) - map(low))) * (to - from);
  return { scale, ticks: ticks(low, high, logarithmic, count) };
}

/**
 * A figure with a line chart; `draw(spec)` shows other content.
 *
 * spec: title and better (above the vertical axis, which they name), xLabel, xLog, rules [{y, label}],
 * cursor (x of a vertical line, or null), and
 * series [{label, index (colour and shape), thin, faint, points [{x, y, hollow, lines: tooltip text}]}].
 */
class LineChart {
  constructor() {
    this.canvas = svg("svg", { class: "chart", tabindex: "0", role: "group" });
    this.tip = html("div", { class: "tip", role: "status", hidden: true });
    this.caption = html("figcaption");
    this.element = html("figure", { class: "chart-box" }, this.caption, this.canvas, this.tip);
    this.active = null;
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerdown", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => this.activate(null));
    this.canvas.addEventListener("blur", () => this.activate(null));
    this.canvas.addEventListener("keydown", (event) => this.walk(event));
    new ResizeObserver(() => this.render()).observe(this.element);
  }

  draw(spec) {
    this.spec = spec;
    this.render();
  }

  moveCursor(x) {
    this.spec.cursor = x;
    if (!this.cursor || x === null) return;
    const at = this.x.scale(x);
    fill(this.cursor, { x1: at, x2: at }, []);
  }

  render() {
    if (!this.spec || !this.element.clientWidth) return;
    const { spec } = this;
    const [width, height] = [this.element.clientWidth, 250];
    this.caption.replaceChildren(spec.title, html("span", {}, spec.better));
    fill(this.canvas, { viewBox: `0 0 ${width} ${height}`, width, height }, []);
    this.canvas.setAttribute(
      "aria-label",
      `${spec.title}, ${spec.better}, against ${spec.xLabel}. Arrow keys walk through the points.`,
    );
    const all = spec.series.flatMap((series) => series.points);
    this.tip.hidden = true;
    this.active = null;
    this.dots = [];
    if (!all.length) {
      this.canvas.replaceChildren(svg("text", { class: "empty", x: width / 2, y: height / 2 }, "Nothing to show"));
      return;
    }
    const right = width - MARGIN.right;
    const bottom = height - MARGIN.bottom;
    this.x = axis(
      all.map((point) => point.x),
      spec.xLog,
      MARGIN.left,
      right,
      Math.max(3, Math.floor(width / 75)),
    );
    this.y = axis([...all.map((point) => point.y), ...spec.rules.map((rule) => rule.y)], false, bottom, MARGIN.top, 5);
    const nodes = [];
    for (const value of this.y.ticks) {
      const at = this.y.scale(value);
      nodes.push(svg("line", { class: "gridline", x1: MARGIN.left, x2: right, y1: at, y2: at }));
      nodes.push(svg("text", { class: "tick end", x: MARGIN.left - 8, y: at + 4 }, signed(String(value))));
    }
    for (const value of this.x.ticks) {
      const at = this.x.scale(value);
      nodes.push(svg("line", { class: "tickmark", x1: at, x2: at, y1: bottom, y2: bottom + 4 }));
      nodes.push(svg("text", { class: "tick mid", x: at, y: bottom + 17 }, signed(String(value))));
    }
    nodes.push(svg("line", { class: "baseline", x1: MARGIN.left, x2: right, y1: bottom, y2: bottom }));
    nodes.push(svg("text", { class: "axis end", x: right, y: height - 6 }, spec.xLabel));
    for (const rule of spec.rules) {
      const at = this.y.scale(rule.y);
      const below = at < MARGIN.top + 16;
      nodes.push(svg("line", { class: "rule", x1: MARGIN.left, x2: right, y1: at, y2: at }));
      nodes.push(svg("text", { class: "rule-label", x: MARGIN.left + 4, y: below ? at + 14 : at - 5 }, rule.label));
    }
    const groups = spec.series.map((series) => this.series(series));
    nodes.push(...groups.reverse()); // the first method lies on top
    this.cursor = isNumber(spec.cursor) ? svg("line", { class: "cursor", y1: MARGIN.top, y2: bottom }) : null;
    if (this.cursor) nodes.push(this.cursor);
    this.ring = svg("circle", { class: "ring", r: 9, visibility: "hidden" });
    this.canvas.replaceChildren(...nodes, this.ring);
    if (this.cursor) this.moveCursor(spec.cursor);
  }

  series(series) {
    const group = svg("g", { class: `${hue(series.index)}${series.faint ? " faint" : ""}` });
    const places = series.points.map((point) => [this.x.scale(point.x), this.y.scale(point.y)]);
    group.append(
      svg("polyline", {
        class: series.thin ? "line thin" : "line",
        points: places.map((place) => place.join()).join(" "),
      }),
    );
    series.points.forEach((point, i) => {
      const [x, y] = places[i];
      this.dots.push({ x, y, series, position: i, lines: [series.label, ...point.lines] });
      if (series.thin) return;
      group.append(
        svg("path", {
          class: point.hollow ? "marker hollow" : "marker",
          d: shape(series.index),
          transform: `translate(${x} ${y})`,
        }),
      );
    });
    return group;
  }

  hover(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best = null;
    let distance = 28;
    for (const dot of this.dots ?? []) {
      const away = Math.hypot(dot.x - x, dot.y - y);
      if (away < distance) [best, distance] = [dot, away];
    }
    this.activate(best);
  }

  walk(event) {
    if (!this.dots?.length) return;
    if (event.key === "Escape") return this.activate(null);
    const current = this.dots.indexOf(this.active);
    const jump = { ArrowRight: 1, ArrowLeft: -1, Home: -current, End: this.dots.length - 1 - current };
    let next = null;
    if (event.key in jump) {
      next = this.dots[current < 0 ? 0 : (current + jump[event.key] + this.dots.length) % this.dots.length];
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const firsts = this.dots.filter((dot) => dot.position === 0);
      const row = firsts.findIndex((dot) => dot.series === this.active?.series);
      next = firsts[(row + (event.key === "ArrowDown" ? 1 : firsts.length - 1)) % firsts.length];
    }
    if (!next) return;
    event.preventDefault();
    this.activate(next);
  }

  activate(dot) {
    if (dot === this.active) return;
    this.active = dot;
    this.tip.hidden = !dot;
    this.ring?.setAttribute("visibility", dot ? "visible" : "hidden");
    if (!dot) return;
    fill(this.ring, { cx: dot.x, cy: dot.y }, []);
    this.tip.replaceChildren(...dot.lines.map((line, i) => html(i ? "span" : "strong", {}, line)));
    const width = this.element.clientWidth;
    const top = this.canvas.getBoundingClientRect().top - this.element.getBoundingClientRect().top;
    this.tip.style.left = `${clamp(dot.x - this.tip.offsetWidth / 2, 0, width - this.tip.offsetWidth)}px`;
    const above = top + dot.y - this.tip.offsetHeight - 14;
    this.tip.style.top = `${above > 0 ? above : top + dot.y + 14}px`;
  }
}
