// Up to three signals at the same frame and place: one canvas each at the clip's own size, so that every pixel shown is
// a decoded pixel. The canvases lie on top of each other, cut at the dividers, or side by side; the loupe enlarges all.

class Stage {
  constructor() {
    this.panes = [];
    this.frame = 0;
    this.mode = "split";
    this.smooth = false;
    this.reach = 16;
    this.spot = [0.5, 0.5];
    this.view = html("div", {
      class: "stage",
      tabindex: "0",
      role: "group",
      "aria-label": "Compared frames",
      "aria-describedby": "player-keys",
    });
    this.loupes = html("div", { class: "loupes", "aria-hidden": "true" });
    this.shell = html("div", { class: "stage-shell" }, this.view);
    this.element = html("div", { class: "stage-row" }, this.shell, this.loupes);
    new ResizeObserver(() => this.layout()).observe(this.shell);
    addEventListener("resize", () => this.layout());
    this.view.addEventListener("keydown", (event) => this.moveSpot(event));
  }

  /** Shows other signals: [{label, images}], all of one size and length, every image decoded. */
  show(panes) {
    this.panes = panes;
    const [{ naturalWidth, naturalHeight }] = panes[0].images;
    this.size = [naturalWidth, naturalHeight];
    for (const pane of panes) {
      pane.canvas = html("canvas", { width: naturalWidth, height: naturalHeight, role: "img" });
      pane.tag = html("span", { class: "tag" }, pane.label);
      pane.mark = html("span", { class: "spot" });
      pane.node = html("div", { class: "pane" }, pane.canvas, pane.mark, pane.tag);
      pane.node.addEventListener("pointermove", (event) => this.point(event, pane));
      pane.node.addEventListener("pointerdown", (event) => this.point(event, pane));
      pane.zoom = html("canvas");
      pane.loupe = html("div", { class: "loupe" }, pane.zoom, html("span", {}, pane.label));
    }
    if (this.cuts?.length !== panes.length - 1) this.cuts = panes.slice(1).map((_, i) => (i + 1) / panes.length);
    this.dividers = this.cuts.map((_, i) => this.divider(i));
    this.view.replaceChildren(...panes.map((pane) => pane.node), ...this.dividers);
    this.loupes.replaceChildren(...panes.map((pane) => pane.loupe));
    this.layout();
    this.draw(Math.min(this.frame, panes[0].images.length - 1));
  }

  set(options) {
    Object.assign(this, options);
    this.layout();
    this.zoom();
  }

  /** Draws the same frame of every signal, in one go. */
  draw(frame) {
    this.frame = frame;
    for (const pane of this.panes) {
      pane.canvas.getContext("2d").drawImage(pane.images[frame], 0, 0);
      pane.canvas.dataset.frame = frame;
      pane.canvas.setAttribute("aria-label", `${pane.label}, frame ${frame + 1}`);
    }
    this.zoom();
  }

  /** Fits the canvases into the room; enlarged sharp pixels get a whole number of screen pixels each. */
  layout() {
    if (!this.panes.length || !this.shell.clientWidth) return;
    const [width, height] = this.size;
    const count = this.panes.length;
    const split = this.mode === "split";
    const room = this.shell.clientWidth;
    const columns = split || room / count < 150 ? 1 : count;
    const tallest = Math.max(260, innerHeight * 0.62);
    let scale = Math.min((room - (columns - 1) * 10) / columns / width, tallest / height);
    if (!this.smooth && scale >= 1) scale = Math.floor(scale * devicePixelRatio) / devicePixelRatio;
    this.element.classList.toggle("stacked", !split);
    this.view.className = `stage ${this.mode}${!this.smooth && scale >= 1 ? " sharp" : ""}`;
    this.view.style.gridTemplateColumns = `repeat(${columns}, max-content)`;
    this.view.style.width = split ? `${width * scale}px` : "";
    this.view.style.height = split ? `${height * scale}px` : "";
    for (const pane of this.panes) {
      pane.canvas.style.width = `${width * scale}px`;
      pane.canvas.style.height = `${height * scale}px`;
    }
    this.scale = scale;
    this.cut();
    this.zoom();
  }

  /** Clips every signal to its place between the dividers. */
  cut() {
    const split = this.mode === "split";
    this.panes.forEach((pane, i) => {
      const left = i ? this.cuts[i - 1] : 0;
      const right = i < this.cuts.length ? this.cuts[i] : 1;
      pane.node.style.clipPath = split ? `inset(0 ${(1 - right) * 100}% 0 ${left * 100}%)` : "";
      pane.tag.style.left = split ? `calc(${left * 100}% + 8px)` : "8px";
      pane.tag.style.maxWidth = split ? `max(0px, calc(${(right - left) * 100}% - 16px))` : "";
    });
    this.dividers.forEach((divider, i) => {
      divider.hidden = !split;
      divider.style.left = `${this.cuts[i] * 100}%`;
      const percent = Math.round(this.cuts[i] * 100);
      divider.setAttribute("aria-valuenow", percent);
      divider.setAttribute(
        "aria-valuetext",
        `${percent} %, ${this.panes[i].label} on the left, ${this.panes[i + 1].label} on the right`,
      );
    });
  }

  moveCut(index, value) {
    const low = index ? this.cuts[index - 1] : 0;
    const high = index + 1 < this.cuts.length ? this.cuts[index + 1] : 1;
    this.cuts[index] = clamp(value, low, high);
    this.cut();
  }

  divider(index) {
    const element = html(
      "div",
      {
        class: "divider",
        role: "slider",
        tabindex: "0",
        "aria-orientation": "horizontal",
        "aria-valuemin": 0,
        "aria-valuemax": 100,
        "aria-label": `Divider ${index + 1}`,
      },
      html("span", { class: "grip" }),
    );
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      element.focus({ preventScroll: true });
      event.preventDefault();
    });
    element.addEventListener("pointermove", (event) => {
      if (!element.hasPointerCapture(event.pointerId)) return;
      const box = this.view.getBoundingClientRect();
      this.moveCut(index, (event.clientX - box.left) / box.width);
    });
    element.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 0.1 : 0.02;
      const move = {
        ArrowRight: step,
        ArrowUp: step,
        ArrowLeft: -step,
        ArrowDown: -step,
        PageUp: 0.1,
        PageDown: -0.1,
        Home: -1,
        End: 1,
      }[event.key];
      if (!move) return;
      event.preventDefault();
      event.stopPropagation();
      this.moveCut(index, this.cuts[index] + move);
    });
    return element;
  }

  point(event, pane) {
    const box = pane.canvas.getBoundingClientRect();
    this.spot = [
      clamp((event.clientX - box.left) / box.width, 0, 1),
      clamp((event.clientY - box.top) / box.height, 0, 1),
    ];
    this.zoom();
  }

  /** Shift and an arrow move the loupe by one pixel of the clip. */
  moveSpot(event) {
    const move = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (!event.shiftKey || !move || event.target !== this.view) return;
    event.preventDefault();
    event.stopPropagation();
    this.spot = this.spot.map((at, i) => clamp(at + move[i] / this.size[i], 0, 1));
    this.zoom();
  }

  /** Draws the loupes: the same square of every signal, pixel by pixel; the style sheet enlarges without blur. */
  zoom() {
    if (!this.panes.length) return;
    this.loupes.hidden = !this.reach;
    for (const pane of this.panes) pane.mark.hidden = !this.reach;
    if (!this.reach) return;
    const side = Math.min(this.reach, ...this.size);
    const [x, y] = this.spot.map((at, i) =>
      clamp(Math.floor(at * this.size[i]) - Math.floor(side / 2), 0, this.size[i] - side),
    );
    for (const pane of this.panes) {
      pane.zoom.width = pane.zoom.height = side;
      pane.zoom.getContext("2d").drawImage(pane.images[this.frame], x, y, side, side, 0, 0, side, side);
      pane.zoom.dataset.place = `${x},${y},${side}`;
      Object.assign(pane.mark.style, {
        left: `${x * this.scale}px`,
        top: `${y * this.scale}px`,
        width: `${side * this.scale}px`,
        height: `${side * this.scale}px`,
      });
    }
  }
}
