"use strict";

// One image before and after. `scale` is in screen pixels per image pixel, null while the image fits its stage;
// `x` and `y` are the place of the image's corner in the stage, in CSS pixels.
class Viewer {
  static SCALES = [1, 2, 3, 4, 6, 8, 12, 16];

  constructor(root) {
    this.stage = root.querySelector(".stage");
    this.slider = root.querySelector("input[type=range]");
    this.readout = root.querySelector("output");
    this.buttons = Object.fromEntries([...root.querySelectorAll("button")].map((b) => [b.dataset.zoom, b]));
    const image = this.stage.querySelector("img");
    this.columns = Number(image.getAttribute("width"));
    this.rows = Number(image.getAttribute("height"));
    this.scale = null;
    this.x = this.y = 0;
    this.pointers = new Map();
    this.dragsLine = false;
    root.style.setProperty("--ratio", this.columns / this.rows);
    this.stage.tabIndex = 0;
    this.split(50);
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.stage);
    this.draw();
  }

  listen() {
    this.slider.addEventListener("input", () => this.split(this.slider.valueAsNumber));
    const actions = {
      in: () => this.step(1),
      out: () => this.step(-1),
      fit: () => this.fit(),
      exact: () => this.zoom(1),
    };
    for (const [name, button] of Object.entries(this.buttons)) button.addEventListener("click", actions[name]);
    this.stage.addEventListener("keydown", (event) => this.key(event));
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.stage.addEventListener("dblclick", (event) => {
      if (this.scale === null) this.zoom(Math.max(1, 2 * this.fitting), ...this.place(event));
      else this.fit();
    });
    this.stage.addEventListener("pointerdown", (event) => this.down(event));
    this.stage.addEventListener("pointermove", (event) => this.move(event));
    for (const kind of ["pointerup", "pointercancel"]) this.stage.addEventListener(kind, (event) => this.up(event));
  }

  // Width and height of the stage, CSS pixels, with their fractions.
  get room() {
    const box = this.stage.getBoundingClientRect();
    return [box.width, box.height];
  }

  get fitting() {
    return (this.room[0] * devicePixelRatio) / this.columns;
  }

  split(percent) {
    const share = Math.min(100, Math.max(0, percent));
    this.slider.value = share;
    this.slider.setAttribute("aria-valuetext", `${Math.round(share)} % before, ${Math.round(100 - share)} % after`);
    this.stage.style.setProperty("--split", `${share}%`);
  }

  fit() {
    this.scale = null;
    this.draw();
  }

  // Show `scale` screen pixels per image pixel and keep the image where it is below (px, py), by default the middle.
  zoom(scale, px = this.room[0] / 2, py = this.room[1] / 2) {
    const largest = Viewer.SCALES.at(-1);
    const wanted = Math.min(largest, Math.max(Math.min(1, this.fitting), scale));
    const ratio = wanted / (this.scale ?? this.fitting);
    this.x = px - (px - this.x) * ratio;
    this.y = py - (py - this.y) * ratio;
    this.scale = wanted;
    this.draw();
  }

  step(direction) {
    const now = this.scale ?? this.fitting;
    const stops = [...Viewer.SCALES, this.fitting].sort((a, b) => a - b);
    const next = direction > 0 ? stops.find((s) => s > now * 1.001) : stops.findLast((s) => s < now * 0.999);
    if (next === undefined) return;
    if (next === this.fitting) this.fit();
    else this.zoom(next);
  }

  draw() {
    const [width, height] = this.room;
    const scale = this.scale ?? this.fitting;
    const perPixel = scale / devicePixelRatio;
    const within = (corner, room, length) => {
      const held = length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, corner));
      return Math.round(held * devicePixelRatio) / devicePixelRatio;
    };
    this.x = within(this.x, width, this.columns * perPixel);
    this.y = within(this.y, height, this.rows * perPixel);
    const style = this.stage.style;
    style.setProperty("--x", `${this.x}px`);
    style.setProperty("--y", `${this.y}px`);
    style.setProperty("--w", `${this.columns * perPixel}px`);
    this.stage.classList.toggle("zoomed", this.scale !== null && scale > this.fitting);
    this.stage.classList.toggle("pixels", scale >= 1);
    this.readout.textContent = `${Math.round(scale * 100)}\u2009%`;
    this.buttons.fit.setAttribute("aria-pressed", String(this.scale === null));
    this.buttons.exact.setAttribute("aria-pressed", String(this.scale === 1));
  }

  place(event) {
    const box = this.stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  wheel(event) {
    const mine = event.ctrlKey || event.metaKey || document.activeElement === this.stage;
    const ends = event.deltaY > 0 ? this.scale === null : this.scale === Viewer.SCALES.at(-1);
    if (!mine || (ends && !event.ctrlKey && !event.metaKey)) return;
    event.preventDefault();
    const now = this.scale ?? this.fitting;
    const next = now * Math.exp(-Math.max(-120, Math.min(120, event.deltaY)) * 0.002);
    if (next <= this.fitting && event.deltaY > 0) this.fit();
    else this.zoom(next, ...this.place(event));
  }

  key(event) {
    if (event.target !== this.stage || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 40;
    const actions = {
      "+": () => this.step(1),
      "=": () => this.step(1),
      "-": () => this.step(-1),
      0: () => this.fit(),
      1: () => this.zoom(1),
      ArrowLeft: () => this.pan(step, 0),
      ArrowRight: () => this.pan(-step, 0),
      ArrowUp: () => this.pan(0, step),
      ArrowDown: () => this.pan(0, -step),
    };
    const action = actions[event.key];
    if (!action || (event.key.startsWith("Arrow") && !this.stage.classList.contains("zoomed"))) return;
    event.preventDefault();
    action();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.draw();
  }

  down(event) {
    if (event.button !== 0) return;
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.place(event));
    const zoomed = this.stage.classList.contains("zoomed");
    this.dragsLine = this.pointers.size === 1 && (!zoomed || event.target.closest(".divider") !== null);
    if (this.dragsLine && event.pointerType === "mouse") this.follow(event);
    this.stage.classList.toggle("moving", !this.dragsLine);
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.place(event);
    if (this.pointers.size === 2) {
      const [, other] = [...this.pointers].find(([id]) => id !== event.pointerId);
      const apart = (point) => Math.max(1, Math.hypot(point[0] - other[0], point[1] - other[1]));
      const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
      this.zoom(((this.scale ?? this.fitting) * apart(now)) / apart(before), ...middle);
      this.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    } else if (this.dragsLine) {
      this.follow(event);
    } else {
      this.pan(now[0] - before[0], now[1] - before[1]);
    }
    this.pointers.set(event.pointerId, now);
  }

  follow(event) {
    this.split((100 * this.place(event)[0]) / this.room[0]);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    this.dragsLine = false;
    this.stage.classList.remove("moving");
  }
}

document.documentElement.classList.add("live");
for (const root of document.querySelectorAll(".viewer")) new Viewer(root);
