// One clock for all signals of a clip: a tick picks one frame number, the stage draws it everywhere, nothing can drift.

const ICONS = {
  play: "M5 3.2V16.8L16.5 10Z",
  pause: "M5 3.5H8.6V16.5H5ZM11.4 3.5H15V16.5H11.4Z",
  back: "M13.5 4V16L6.5 10ZM4 4H6V16H4Z",
  forward: "M6.5 4V16L13.5 10ZM14 4H16V16H14Z",
};

function iconButton(name, label, onclick) {
  const path = svg("path", { d: ICONS[name] });
  const button = html(
    "button",
    { type: "button", class: "icon", "aria-label": label, title: label },
    svg("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, path),
  );
  button.addEventListener("click", onclick);
  return {
    button,
    set: (next, text) => (
      path.setAttribute("d", ICONS[next]),
      button.setAttribute("aria-label", text),
      (button.title = text)
    ),
  };
}

class Player {
  constructor(results, blocks) {
    this.results = results;
    this.blocks = blocks;
    this.methods = Object.keys(results.methods);
    this.stage = new Stage();
    this.frame = 0;
    this.speed = 1;
    this.playing = false;
    this.wanted = ["source", "", ""];
    this.chart = new LineChart();
    this.status = html("p", { class: "status", role: "status" });
    this.figures = html("div");
    this.element = html(
      "div",
      { class: "player" },
      this.choices(),
      this.stage.element,
      this.transport(),
      this.status,
      this.figures,
      this.course(),
    );
    this.stage.shell.addEventListener("keydown", (event) => this.key(event));
    this.choose([...blocks.keys()][0]);
  }

  choices() {
    const clips = [...this.blocks.keys()].map((clip) => [clip, clip]);
    this.clipMenu = menu("Clip", [["", clips]], clips[0][0], (clip) => this.choose(clip));
    this.paneMenus = ["Left", "Middle", "Right"].map((label, i) =>
      menu(label, [], "", (value) => {
        this.wanted[i] = value;
        this.load();
      }),
    );
    const view = menu(
      "View",
      [
        [
          "",
          [
            ["split", "Sliders"],
            ["side", "Side by side"],
          ],
        ],
      ],
      "split",
      (mode) => this.stage.set({ mode }),
    );
    const pixels = menu(
      "Pixels",
      [
        [
          "",
          [
            ["sharp", "Sharp"],
            ["smooth", "Smooth"],
          ],
        ],
      ],
      "sharp",
      (value) => this.stage.set({ smooth: value === "smooth" }),
    );
    const sizes = [8, 16, 32, 64].map((size) => [String(size), `${size} \u00d7 ${size} pixels`]);
    const loupe = menu("Loupe", [["", [["0", "Off"], ...sizes]]], "16", (value) =>
      this.stage.set({ reach: Number(value) }),
    );
    const row = (kind, items) => html("div", { class: `controls ${kind}` }, ...items.map((item) => item.element));
    return html("div", {}, row("wide", [this.clipMenu, ...this.paneMenus]), row("", [view, pixels, loupe]));
  }

  transport() {
    this.playButton = iconButton("play", "Play", () => this.play(!this.playing));
    this.scrubber = html("input", { type: "range", min: 0, step: 1, value: 0, "aria-label": "Frame" });
    this.scrubber.addEventListener("input", () => (this.play(false), this.seek(Number(this.scrubber.value))));
    this.readout = html("output", { class: "readout" });
    const speeds = ["0.1", "0.25", "0.5", "1", "2"].map((value) => [value, `${value}\u00d7`]);
    const speed = menu(
      "Speed",
      [["", speeds]],
      "1",
      (value) => ((this.speed = Number(value)), this.playing && this.restart()),
    );
    const keys = "Space plays, arrows step, Home and End jump, Shift and arrows move the loupe.";
    this.transportRow = html(
      "div",
      { class: "transport" },
      iconButton("back", "One frame back", () => this.step(-1)).button,
      this.playButton.button,
      iconButton("forward", "One frame on", () => this.step(1)).button,
      this.scrubber,
      this.readout,
      speed.element,
    );
    return html("div", {}, this.transportRow, html("p", { class: "hint", id: "player-keys" }, keys));
  }

  course() {
    this.courseMenu = menu("Figure of every frame", [], "", (key) => ((this.courseKey = key), this.drawCourse()));
    this.courseBox = html("div", { class: "course" }, this.courseMenu.element, this.chart.element);
    return this.courseBox;
  }

  /** Another clip: its images are read from the page now, its menus filled, its choices kept where it has them. */
  choose(clip) {
    this.play(false);
    this.clip = clip;
    this.images = JSON.parse(this.blocks.get(clip).textContent);
    this.points = this.results.points.filter((point) => point.clip === clip && String(point.id) in this.images.points);
    this.fps = frameRate(this.points[0].fps);
    this.frame = 0;
    const kept = this.wanted.map((value) => this.matching(value));
    const ours = this.points.filter((point) => point.method === this.methods[0]).sort((a, b) => a.bpp - b.bpp);
    const first = ours[Math.floor((ours.length - 1) / 2)];
    const other = this.points.find(
      (point) => point.method !== this.methods[0] && (!first || point.rate === first.rate),
    );
    const initial = this.started
      ? ["source", "", ""]
      : ["source", first ? String(first.id) : "", other ? String(other.id) : ""];
    this.wanted = kept.map((value, i) => value ?? initial[i]);
    if (!this.wanted[1] && !this.wanted[2]) this.wanted[1] = String(this.points[0].id);
    this.started = true;
    const groups = [
      ["", [["source", "Source"]]],
      ...this.methods.map((method) => [
        this.results.methods[method].label,
        this.points
          .filter((point) => point.method === method)
          .map((point) => [String(point.id), `${this.label(point)}, ${whole(point.bytes)} bytes`]),
      ]),
    ];
    this.paneMenus.forEach(({ select }, i) =>
      setOptions(
        select,
        [...(i ? [["", [["", "None"]]]] : []), ...groups.filter(([, options]) => options.length)],
        this.wanted[i],
      ),
    );
    this.load();
  }

  /** The id in this clip of the method and rate that was chosen in the last one. */
  matching(value) {
    if (value === "source") return value;
    const old = this.results.points.find((point) => String(point.id) === value);
    const found = old && this.points.find((point) => point.method === old.method && point.rate === old.rate);
    return found ? String(found.id) : null;
  }

  label(point) {
    return `${this.results.methods[point.method].label} \u00b7 ${point.rate}`;
  }

  async load() {
    this.play(false);
    const token = (this.token = {});
    const chosen = this.wanted
      .filter((value) => value !== "")
      .map((value) => {
        const point = this.points.find((item) => String(item.id) === value);
        const encoded = point ? this.images.points[value] : this.images.source;
        const images = encoded.map((data) => Object.assign(new Image(), { src: `data:image/webp;base64,${data}` }));
        return { point, images, label: point ? this.label(point) : "Source" };
      });
    this.status.textContent = "Reading the frames\u2026";
    try {
      await Promise.all(chosen.flatMap((pane) => pane.images.map((image) => image.decode())));
    } catch (error) {
      if (token === this.token)
        this.status.textContent = `The frames of ${this.clip} cannot be shown: ${error.message}`;
      return;
    }
    if (token !== this.token) return;
    this.status.textContent = "";
    this.count = chosen[0].images.length;
    this.scrubber.max = this.count - 1;
    this.transportRow.hidden = this.count === 1;
    this.shown = chosen.filter((pane) => pane.point).map((pane) => pane.point);
    this.stage.show(chosen);
    this.drawFigures();
    this.seek(this.frame);
  }

  drawFigures() {
    const metrics = this.results.metrics;
    const columns = [
      {
        label: "Compared",
        cell: (row) => html("span", { class: "method" }, swatch(this.methods.indexOf(row.method)), this.label(row)),
      },
      column("Bytes", (row) => row.bytes, whole),
      column("bpp", (row) => row.bpp, precise),
      ...metricColumns(metrics, this.shown),
    ];
    this.figures.replaceChildren(
      this.shown.length ? table(columns, this.shown, { caption: `Figures of ${this.clip}` }) : "",
    );
    const keys = Object.keys(metrics).filter((key) => this.shown.some((point) => point.per_frame[key]?.length > 1));
    this.courseBox.hidden = !keys.length;
    if (!keys.includes(this.courseKey)) this.courseKey = keys[0];
    setOptions(this.courseMenu.select, [["", keys.map((key) => [key, metrics[key].label])]], this.courseKey);
    if (keys.length) this.drawCourse();
  }

  drawCourse() {
    const metric = this.results.metrics[this.courseKey];
    const series = this.shown
      .filter((point) => point.per_frame[this.courseKey])
      .map((point) => ({
        label: this.label(point),
        index: this.methods.indexOf(point.method),
        points: point.per_frame[this.courseKey]
          .map((y, i) => ({ x: i + 1, y, lines: [`frame ${i + 1}: ${figureText(y, metric, true)}`] }))
          .filter(({ y }) => isNumber(y)),
      }));
    this.chart.draw({
      title: `${withUnit(metric)}, frame by frame`,
      xLabel: "frame",
      better: arrow(metric),
      xLog: false,
      rules: [],
      cursor: this.frame + 1,
      series,
    });
  }

  seek(frame) {
    this.frame = clamp(frame, 0, this.count - 1);
    this.stage.draw(this.frame);
    this.scrubber.value = this.frame;
    this.readout.textContent = `${this.frame + 1} / ${this.count}`;
    this.scrubber.setAttribute("aria-valuetext", `frame ${this.frame + 1} of ${this.count}`);
    if (!this.courseBox.hidden) this.chart.moveCursor(this.frame + 1);
  }

  step(by) {
    this.play(false);
    this.seek((this.frame + by + this.count) % this.count);
  }

  restart() {
    this.origin = { frame: this.frame, time: performance.now() };
  }

  play(on) {
    const next = on && this.count > 1;
    if (next === this.playing) return;
    this.playing = next;
    this.playButton.set(next ? "pause" : "play", next ? "Pause" : "Play");
    if (!next) return;
    this.restart();
    const tick = (now) => {
      if (!this.playing) return;
      const passed = Math.floor(Math.max(0, (now - this.origin.time) / 1000) * this.fps * this.speed);
      const frame = (this.origin.frame + passed) % this.count;
      if (frame !== this.frame) this.seek(frame);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  key(event) {
    if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
    const action = {
      " ": () => this.play(!this.playing),
      ArrowRight: () => this.step(1),
      ArrowLeft: () => this.step(-1),
      Home: () => (this.play(false), this.seek(0)),
      End: () => (this.play(false), this.seek(this.count - 1)),
    }[event.key];
    if (!action || !this.count) return;
    event.preventDefault();
    action();
  }
}
