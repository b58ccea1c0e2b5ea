// The timeline: a recording as a spectrogram over its windows. A click asks for the window there, a drag for a part.

const DRAG_PX = 6, ROW_PX = 22;

class Timeline {
  constructor(root) {
    this.root = root;
    for (const name of ["sky", "windows", "marked", "part", "tip", "wait"]) this[name] = root.querySelector(`.${name}`);
    for (const area of [this.sky, this.windows]) {
      area.addEventListener("pointerdown", (event) => {
        area.setPointerCapture(event.pointerId);
        this.pressed = this.at(event);
      });
      area.addEventListener("pointermove", (event) => this.move(event));
      area.addEventListener("pointerup", (event) => this.release(event));
      area.addEventListener("pointerleave", () => (this.tip.hidden = true));
    }
    this.sky.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.answer("part", { start_s: null, end_s: null });
    });
    new ResizeObserver(() => this.draw()).observe(root);
  }

  show(data, answer) {
    this.answer = answer;
    this.data = data;
    this.root.dataset.start = data.start_s;
    this.root.dataset.end = data.end_s;
    this.root.dataset.count = data.starts.length;
    this.root.dataset.focus = data.focus;
    this.root.dataset.picture = data.picture ? "there" : "";
    const image = this.root.querySelector("img");
    image.hidden = !data.picture;
    if (data.picture) image.src = `data:image/png;base64,${data.picture}`;
    image.alt = data.texts.picture;
    this.wait.textContent = data.picture ? "" : data.texts.wait;
    const marks = (selector, ticks, side) =>
      this.root.querySelector(selector).replaceChildren(...ticks.map(([share, text]) => {
        const mark = document.createElement("span");
        mark.textContent = text;
        mark.style[side] = `${Math.min(98, Math.max(2, 100 * share))}%`;
        return mark;
      }));
    marks(".times", data.times, "left");
    marks(".frequencies", data.frequencies, "top");
    marks(".channels", data.channels.map((name, row) => [(row + 0.5) / data.channels.length, name]), "top");
    this.draw();
  }

  share(seconds) {
    return (seconds - this.data.start_s) / (this.data.end_s - this.data.start_s);
  }

  draw() {
    if (!this.data) return;
    const { starts, ends, codes, rows, channels, palette } = this.data, pen = this.windows.getContext("2d");
    const ratio = window.devicePixelRatio || 1, width = this.windows.clientWidth, height = ROW_PX * channels.length;
    this.windows.style.height = `${height}px`;
    this.windows.width = Math.round(width * ratio);
    this.windows.height = Math.round(height * ratio);
    pen.scale(ratio, ratio);
    const gap = starts.length < width / 4 ? 1 : 0;
    for (let i = 0; i < starts.length; i++) {
      const left = this.share(starts[i]) * width, right = this.share(ends[i]) * width;
      pen.fillStyle = palette[codes[i]];
      pen.fillRect(left, rows[i] * ROW_PX + 1, Math.max(1, right - left - gap), ROW_PX - 2);
    }
    const at = this.data.positions.indexOf(this.data.focus);
    this.marked.hidden = at < 0;
    if (at >= 0) this.span(this.marked, starts[at], ends[at]);
  }

  span(box, first, last) {
    box.style.left = `${100 * this.share(first)}%`;
    box.style.width = `${100 * (this.share(last) - this.share(first))}%`;
  }

  // Seconds of the recording and the row of the channel under the pointer.
  at(event) {
    const box = this.sky.getBoundingClientRect(), below = this.windows.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const row = Math.max(0, Math.min(this.data.channels.length - 1, Math.floor((event.clientY - below.top) / ROW_PX)));
    return { x: event.clientX, row, seconds: this.data.start_s + share * (this.data.end_s - this.data.start_s) };
  }

  // The window at a moment: of those that hold it the last to begin, else the nearest.
  nearest({ seconds, row }) {
    const { starts, ends, rows } = this.data;
    let best = -1, least = Infinity;
    for (let i = 0; i < starts.length; i++) {
      if (rows[i] !== row) continue;
      const away = Math.max(starts[i] - seconds, seconds - ends[i], 0);
      if (away < least || (away === 0 && least === 0 && starts[i] > starts[best])) [best, least] = [i, away];
    }
    return best;
  }

  isDrag(now) {
    return this.pressed && Math.abs(now.x - this.pressed.x) > DRAG_PX;
  }

  move(event) {
    const now = this.at(event), index = this.nearest(now);
    this.part.hidden = !this.isDrag(now);
    if (this.isDrag(now)) this.span(this.part, Math.min(now.seconds, this.pressed.seconds), Math.max(now.seconds, this.pressed.seconds));
    this.tip.hidden = index < 0 || this.isDrag(now);
    if (index < 0) return;
    this.tip.textContent = `${this.data.starts[index].toFixed(this.data.ends[index] - this.data.starts[index] < 1 ? 3 : 1)} s · ${this.data.names[this.data.codes[index]] || "–"}`;
    this.tip.style.left = `${Math.min(80, 100 * this.share(now.seconds))}%`;
  }

  release(event) {
    if (!this.pressed) return;
    const now = this.at(event), from = this.pressed;
    this.part.hidden = true;
    if (this.isDrag(now)) {
      const [start_s, end_s] = [from.seconds, now.seconds].sort((a, b) => a - b);
      this.answer("part", { start_s, end_s });
    } else {
      const index = this.nearest(now);
      if (index >= 0) this.answer("picked", { position: this.data.positions[index] });
    }
    this.pressed = null;
  }
}

export default function (component) {
  const root = component.parentElement.querySelector(".timeline");
  root.timeline ??= new Timeline(root);
  root.timeline.show(component.data, component.setTriggerValue);
}
