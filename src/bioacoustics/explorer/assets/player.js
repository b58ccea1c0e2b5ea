// The player: a spectrogram with its axes, the sound of the window in the middle, and a line that moves with it.
// Space plays, the arrows ask the page for the window before or behind.

const TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];

function ticks(low, high, wanted) {
  const step = TICKS.find((size) => (high - low) / size <= wanted) ?? high - low;
  const found = [];
  for (let k = Math.ceil(low / step - 1e-6); k * step <= high + 1e-9; k++) found.push(k * step);
  return [found, Math.max(0, -Math.floor(Math.log10(step)))];
}

class Player {
  constructor(root) {
    this.root = root;
    this.audio = root.querySelector("audio");
    this.head = root.querySelector(".head");
    this.picture = root.querySelector(".picture");
    root.querySelector(".play").addEventListener("click", () => this.toggle());
    root.querySelector(".back").addEventListener("click", () => this.answer("step", { by: -1 }));
    root.querySelector(".on").addEventListener("click", () => this.answer("step", { by: 1 }));
    this.picture.addEventListener("click", (event) => this.seek(event));
    for (const name of ["play", "pause", "ended"]) this.audio.addEventListener(name, () => this.follow());
    this.audio.addEventListener("loadedmetadata", () => this.tell());
    this.keys = (event) => this.press(event);
    document.addEventListener("keydown", this.keys);
    document.addEventListener("one-player", (event) => event.detail !== this && this.audio.pause());
  }

  show(data, answer) {
    this.answer = answer;
    const isNew = data.sound_id !== this.data?.sound_id;
    this.data = data;
    this.root.dataset.window = data.window;
    this.root.querySelector("img").src = `data:image/png;base64,${data.picture}`;
    this.root.querySelector("img").alt = data.texts.picture;
    this.picture.style.height = `${data.height}px`;
    const span = data.end_s - data.start_s;
    this.root.querySelector(".before").style.width = `${(100 * (data.window_start_s - data.start_s)) / span}%`;
    this.root.querySelector(".behind").style.width = `${(100 * (data.end_s - data.window_end_s)) / span}%`;
    this.axes();
    for (const [name, isThere] of [["back", data.has_earlier], ["on", data.has_later]])
      this.root.querySelector(`.${name}`).disabled = !isThere;
    for (const name of ["back", "play", "on"]) {
      const button = this.root.querySelector(`.${name}`);
      button.title = data.texts[name];
      button.setAttribute("aria-label", data.texts[name]);
    }
    this.root.querySelector(".hint").textContent = data.texts.hint;
    if (isNew) this.load();
    this.tell();
  }

  load() {
    const wasPlaying = !this.audio.paused;
    URL.revokeObjectURL(this.audio.src);
    const bytes = Uint8Array.from(atob(this.data.sound), (letter) => letter.charCodeAt(0));
    this.audio.src = URL.createObjectURL(new Blob([bytes], { type: "audio/flac" }));
    this.head.hidden = true;
    if (wasPlaying || this.data.plays) this.play();
  }

  axes() {
    const { start_s, end_s, low_khz, high_khz } = this.data;
    const place = (selector, low, high, wanted, side, flip, unit) => {
      const [values, digits] = ticks(low, high, wanted), box = this.root.querySelector(selector);
      box.replaceChildren(...values.map((value, k) => {
        const mark = document.createElement("span"), share = (100 * (value - low)) / (high - low);
        mark.textContent = value.toFixed(digits) + (k === values.length - 1 ? unit : "");
        mark.style[side] = `${Math.min(97, Math.max(3, flip ? 100 - share : share))}%`;
        return mark;
      }));
    };
    place(".frequencies", low_khz, high_khz, 6, "top", true, "");
    place(".times", start_s, end_s, 7, "left", false, " s");
  }

  toggle() {
    if (this.audio.paused) this.play();
    else this.audio.pause();
  }

  play() {
    for (const other of document.querySelectorAll("audio")) if (other !== this.audio) other.pause();
    document.dispatchEvent(new CustomEvent("one-player", { detail: this }));
    this.audio.play().catch(() => {}); // before the first click on a page, browsers may refuse
  }

  seek(event) {
    const box = this.picture.getBoundingClientRect(), { start_s, end_s, window_start_s, slowdown } = this.data;
    const at = start_s + ((event.clientX - box.left) / box.width) * (end_s - start_s);
    this.audio.currentTime = Math.max(0, Math.min(this.audio.duration || 0, (at - window_start_s) * slowdown));
    if (this.audio.paused) this.play();
  }

  follow() {
    this.root.classList.toggle("sounds", !this.audio.paused);
    const { start_s, end_s, window_start_s, slowdown } = this.data;
    const at = window_start_s + this.audio.currentTime / slowdown;
    this.head.hidden = this.audio.paused && this.audio.currentTime === 0;
    this.head.style.left = `${(100 * (at - start_s)) / (end_s - start_s)}%`;
    this.tell();
    if (!this.audio.paused) requestAnimationFrame(() => this.follow());
  }

  tell() {
    const length = Number.isFinite(this.audio.duration) ? this.audio.duration : 0;
    this.root.dataset.duration = String(length);
    const slow = this.data.slowdown > 1 ? ` · ${this.data.slowdown}× ${this.data.texts.slower}` : "";
    this.root.querySelector(".clock").textContent = `${this.audio.currentTime.toFixed(1)} / ${length.toFixed(1)} s${slow}`;
  }

  press(event) {
    const where = event.composedPath()[0], isTyping = where.matches?.("input, textarea, select, [contenteditable], [role=slider], [role=tab], [role=radio], button");
    if (!this.root.isConnected) return document.removeEventListener("keydown", this.keys);
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("[role=dialog]")) return;
    if (event.key === " ") this.toggle();
    else if (event.key === "ArrowLeft" && this.data.has_earlier) this.answer("step", { by: -1 });
    else if (event.key === "ArrowRight" && this.data.has_later) this.answer("step", { by: 1 });
    else return;
    event.preventDefault();
  }
}

export default function (component) {
  const root = component.parentElement.querySelector(".player");
  root.player ??= new Player(root);
  root.player.show(component.data, component.setTriggerValue);
}
