// The map: points drawn by WebGL, chosen by click, box or lasso. It asks nobody for anything but its own data.
// The page sends positions, colours and flags; the map answers with the point picked or a bit for each enclosed.

const VERTEX = `#version 300 es
precision highp float;
in vec3 place; in vec3 earlier; in float code; in float flag;
uniform mat4 view; uniform float size; uniform float moved; uniform float pass_; uniform float chosen;
uniform sampler2D palette; out vec4 colour; out float novel;
void main() {
  bool fits = mod(flag, 2.0) > 0.5;
  bool picked = mod(flag, 4.0) > 1.5;
  bool bright = fits && (chosen < 0.5 || picked);
  gl_Position = view * vec4(mix(earlier, place, moved), 1.0);
  if (bright != (pass_ > 0.5)) gl_Position = vec4(9.0, 9.0, 9.0, 1.0);
  colour = texture(palette, vec2((code + 0.5) / 256.0, 0.5));
  novel = flag > 3.5 && fits ? 1.0 : 0.0;
  gl_PointSize = (bright ? size : size * 0.8) * (novel > 0.5 ? 1.7 : 1.0);
  if (!bright) colour = vec4(0.62, 0.65, 0.69, fits ? 0.32 : 0.10);
  else colour.a = picked ? 0.95 : 0.78;
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 colour; in float novel; out vec4 shown;
void main() {
  float away = length(gl_PointCoord - 0.5) * 2.0;
  float inside = 1.0 - smoothstep(0.75, 1.0, away);
  if (inside <= 0.0) discard;
  // What lies off the map has a dark ring around it.
  if (novel > 0.5 && away > 0.62) shown = vec4(0.08, 0.10, 0.13, 0.9 * inside * step(0.72, away));
  else shown = vec4(colour.rgb, colour.a * inside);
}`;
const CLICK_PX = 5, REACH_PX = 10, MOVE_MS = 650;

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

function textOf(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}

class PointMap {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector(".points");
    this.overlay = root.querySelector(".overlay");
    this.tip = root.querySelector(".tip");
    this.gl = this.canvas.getContext("webgl2", { antialias: false, preserveDrawingBuffer: true });
    this.pen = this.overlay.getContext("2d");
    this.tool = "lasso";
    this.path = [];
    this.resetView();
    if (this.gl) this.prepare();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(root);
  }

  resetView() {
    this.centre = [0, 0];
    this.zoom = 1;
    this.turn = [0.5, -0.35];
  }

  prepare() {
    const gl = this.gl;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    this.uniform = (name) => gl.getUniformLocation(program, name);
    this.attribute = (name) => gl.getAttribLocation(program, name);
    this.buffers = { place: gl.createBuffer(), earlier: gl.createBuffer(), code: gl.createBuffer(), flag: gl.createBuffer() };
    this.texture = gl.createTexture();
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  upload(name, values, size) {
    const gl = this.gl;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(this.attribute(name));
    const type = values instanceof Float32Array ? gl.FLOAT : gl.UNSIGNED_BYTE;
    gl.vertexAttribPointer(this.attribute(name), size, type, false, 0, 0);
  }

  show(data, answer) {
    this.answer = answer;
    const isNewMap = data.version !== this.data?.version;
    const keepsPoints = this.data && data.points_of === this.data.points_of && this.positions;
    const earlier = keepsPoints ? this.positions : null;
    const isNewSpace = data.dims !== this.data?.dims;
    this.data = data;
    if (isNewMap) this.positions = this.placed(data);
    if (isNewSpace) {
      this.resetView();
      this.tool = data.dims === 3 ? "turn" : "lasso";
    }
    this.codes = bytesOf(data.codes);
    this.flags = bytesOf(data.flags);
    if (this.gl) {
      this.upload("place", this.positions, 3);
      this.upload("earlier", isNewMap && earlier ? earlier : this.positions, 3);
      this.upload("code", this.codes, 1);
      this.upload("flag", this.flags, 1);
      this.paint(data.palette);
    } else this.root.querySelector(".unable").hidden = false;
    this.showTools();
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.began = isNewMap && earlier && !isCalm ? performance.now() : -Infinity;
    this.draw();
    this.root.dataset.version = data.version;
    this.root.dataset.count = String(this.codes.length);
    this.root.dataset.selected = String(this.flags.reduce((sum, flag) => sum + ((flag >> 1) & 1), 0));
    this.root.dataset.novel = String(this.flags.reduce((sum, flag) => sum + (flag >> 2), 0));
    this.root.dataset.shown = String(this.flags.reduce((sum, flag) => sum + (flag & 1), 0));
    this.root.dataset.serial = String(data.serial);
  }

  placed(data) {
    const raw = new Uint16Array(bytesOf(data.points).buffer);
    const count = raw.length / data.dims;
    const positions = new Float32Array(3 * count);
    for (let i = 0; i < count; i++)
      for (let d = 0; d < data.dims; d++) positions[3 * i + d] = raw[i * data.dims + d] / 32767.5 - 1;
    return positions;
  }

  paint(colours) {
    const gl = this.gl, pixels = new Uint8Array(4 * 256).fill(255);
    colours.forEach((colour, i) => {
      for (let c = 0; c < 3; c++) pixels[4 * i + c] = parseInt(colour.slice(1 + 2 * c, 3 + 2 * c), 16);
    });
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
  }

  // Column-major, from the cube of the data to the clip space; the shorter side of the canvas holds it all.
  matrix() {
    const { clientWidth: w, clientHeight: h } = this.overlay;
    const side = Math.min(w, h) * 0.92 * this.zoom, sx = side / w, sy = side / h;
    const [cx, cy] = this.centre;
    if (this.data?.dims !== 3) return [sx, 0, 0, 0, 0, sy, 0, 0, 0, 0, 0, 0, -cx * sx, -cy * sy, 0, 1];
    const [a, b] = this.turn, ca = Math.cos(a), sa = Math.sin(a), cb = Math.cos(b), sb = Math.sin(b), k = 0.68;
    return [
      ca * sx * k, -sa * sb * sy * k, -sa * cb * 0.2, 0,
      0, cb * sy * k, -sb * 0.2, 0,
      sa * sx * k, ca * sb * sy * k, ca * cb * 0.2, 0,
      -cx * sx, -cy * sy, 0, 1,
    ];
  }

  // Where point i is on the screen, in pixels of the page.
  screen(i, m) {
    const p = this.positions, x = p[3 * i], y = p[3 * i + 1], z = p[3 * i + 2];
    const { clientWidth: w, clientHeight: h } = this.overlay;
    return [
      ((m[0] * x + m[4] * y + m[8] * z + m[12]) * 0.5 + 0.5) * w,
      (0.5 - (m[1] * x + m[5] * y + m[9] * z + m[13]) * 0.5) * h,
    ];
  }

  get pointSize() {
    const base = 26 / Math.pow(Math.max(this.codes.length, 1), 0.19);
    return Math.min(14, Math.max(2, base * Math.pow(this.zoom, 0.35)));
  }

  draw() {
    if (this.isAsked) return;
    this.isAsked = true;
    requestAnimationFrame((now) => {
      this.isAsked = false;
      this.render(now);
      if (now - this.began < MOVE_MS) this.draw();
    });
  }

  render(now) {
    if (!this.data || !this.overlay.clientWidth) return;
    const ratio = window.devicePixelRatio || 1, { clientWidth: w, clientHeight: h } = this.overlay;
    for (const canvas of [this.canvas, this.overlay])
      if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
        canvas.width = Math.round(w * ratio);
        canvas.height = Math.round(h * ratio);
      }
    const m = this.matrix();
    if (this.gl) this.renderPoints(m, now, ratio);
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.pen.clearRect(0, 0, w, h);
    if (now - this.began >= MOVE_MS) this.renderNames(m);
    this.renderTrail(m);
    this.renderRings(m);
    this.renderPath();
  }

  renderPoints(m, now, ratio) {
    const gl = this.gl, count = this.codes.length;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (!count) return;
    const t = Math.min(1, Math.max(0, (now - this.began) / MOVE_MS));
    gl.uniformMatrix4fv(this.uniform("view"), false, new Float32Array(m));
    gl.uniform1f(this.uniform("size"), this.pointSize * ratio);
    gl.uniform1f(this.uniform("moved"), t * t * (3 - 2 * t));
    gl.uniform1f(this.uniform("chosen"), Number(this.root.dataset.selected || 0) > 0 ? 1 : 0);
    for (const pass of [0, 1]) {
      gl.uniform1f(this.uniform("pass_"), pass);
      gl.drawArrays(gl.POINTS, 0, count);
    }
  }

  renderNames(m) {
    const pen = this.pen;
    pen.font = "600 12px 'Source Sans', system-ui, sans-serif";
    pen.textAlign = "center";
    pen.lineJoin = "round";
    for (const [name, i] of this.data.names_at) {
      const [x, y] = this.screen(i, m);
      pen.lineWidth = 4;
      pen.strokeStyle = "rgba(255,255,255,0.85)";
      pen.strokeText(name, x, y);
      pen.fillStyle = "#22303c";
      pen.fillText(name, x, y);
    }
  }

  renderTrail(m) {
    const trail = this.data.trail;
    if (trail.length < 2) return;
    this.pen.beginPath();
    trail.forEach((i, k) => this.pen[k ? "lineTo" : "moveTo"](...this.screen(i, m)));
    this.pen.strokeStyle = "rgba(34,48,60,0.55)";
    this.pen.lineWidth = 1.3;
    this.pen.stroke();
  }

  renderRings(m) {
    const ring = (i, radius, width, colour) => {
      const [x, y] = this.screen(i, m);
      this.pen.beginPath();
      this.pen.arc(x, y, radius, 0, 2 * Math.PI);
      this.pen.lineWidth = width;
      this.pen.strokeStyle = colour;
      this.pen.stroke();
    };
    const radius = this.pointSize / 2;
    for (const i of this.data.rings) ring(i, radius + 3, 1.5, "#22303c");
    if (this.data.focus >= 0) {
      ring(this.data.focus, radius + 6, 5, "rgba(255,255,255,0.9)");
      ring(this.data.focus, radius + 6, 2.5, "#d1495b");
    }
  }

  renderPath() {
    if (this.path.length < 2) return;
    this.pen.beginPath();
    this.outline().forEach(([x, y], k) => this.pen[k ? "lineTo" : "moveTo"](x, y));
    this.pen.closePath();
    this.pen.fillStyle = "rgba(31,111,120,0.10)";
    this.pen.fill();
    this.pen.setLineDash([5, 4]);
    this.pen.lineWidth = 1.5;
    this.pen.strokeStyle = "#1f6f78";
    this.pen.stroke();
    this.pen.setLineDash([]);
  }

  outline() {
    if (this.tool !== "box") return this.path;
    const [[x0, y0], [x1, y1]] = [this.path[0], this.path.at(-1)];
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
  }

  // One bit for each point inside the outline, by the even-odd rule; what a filter hides is not taken.
  enclosed() {
    const m = this.matrix(), line = this.outline(), bits = new Uint8Array(Math.ceil(this.codes.length / 8));
    const xs = line.map((p) => p[0]), ys = line.map((p) => p[1]);
    const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    for (let i = 0; i < this.codes.length; i++) {
      if (!(this.flags[i] & 1)) continue;
      const [x, y] = this.screen(i, m);
      if (x < x0 || x > x1 || y < y0 || y > y1) continue;
      let isInside = false;
      for (let a = 0, b = line.length - 1; a < line.length; b = a++)
        if (ys[a] > y !== ys[b] > y && x < ((xs[b] - xs[a]) * (y - ys[a])) / (ys[b] - ys[a]) + xs[a]) isInside = !isInside;
      if (isInside) bits[i >> 3] |= 1 << (i & 7);
    }
    return bits;
  }

  nearest(x, y) {
    const m = this.matrix();
    let best = -1, least = REACH_PX * REACH_PX;
    for (let i = 0; i < this.codes.length; i++) {
      if (!(this.flags[i] & 1)) continue;
      const [px, py] = this.screen(i, m), away = (px - x) ** 2 + (py - y) ** 2;
      if (away < least) [best, least] = [i, away];
    }
    return best;
  }

  at(event) {
    const box = this.overlay.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  listen() {
    const pad = this.overlay;
    pad.addEventListener("pointerdown", (event) => {
      pad.setPointerCapture(event.pointerId);
      pad.focus({ preventScroll: true });
      this.pressed = this.at(event);
      this.last = this.pressed;
      this.drags = event.button !== 0 || event.ctrlKey ? "pan" : this.tool;
      this.path = [this.pressed];
      this.tip.hidden = true;
    });
    pad.addEventListener("pointermove", (event) => (this.pressed ? this.drag(event) : this.hover(event)));
    pad.addEventListener("pointerup", (event) => this.release(event));
    pad.addEventListener("pointerleave", () => (this.tip.hidden = true));
    pad.addEventListener("contextmenu", (event) => event.preventDefault());
    pad.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomAt(this.at(event), Math.exp(-event.deltaY * 0.0015));
    }, { passive: false });
    pad.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.clear();
    });
    this.root.querySelector(".tools").addEventListener("click", (event) => {
      const name = event.target.closest("button")?.dataset.tool;
      if (name === "reset") this.resetView();
      else if (name === "clear") this.clear();
      else if (name) this.tool = name;
      this.showTools();
      this.draw();
    });
  }

  clear() {
    this.answer("enclosed", { bits: "", how: "replace", of: this.data.points_of });
  }

  zoomAt([x, y], factor) {
    const { clientWidth: w, clientHeight: h } = this.overlay, side = Math.min(w, h) * 0.92;
    const zoom = Math.min(400, Math.max(0.5, this.zoom * factor));
    const dx = (2 * x - w) / side, dy = (h - 2 * y) / side;
    this.centre[0] += dx / this.zoom - dx / zoom;
    this.centre[1] += dy / this.zoom - dy / zoom;
    this.zoom = zoom;
    this.draw();
  }

  drag(event) {
    const [x, y] = this.at(event), side = Math.min(this.overlay.clientWidth, this.overlay.clientHeight) * 0.92;
    const dx = x - this.last[0], dy = y - this.last[1];
    this.last = [x, y];
    if (this.drags === "pan") {
      this.centre[0] -= (2 * dx) / side / this.zoom;
      this.centre[1] += (2 * dy) / side / this.zoom;
    } else if (this.drags === "turn") {
      this.turn[0] += dx * 0.008;
      this.turn[1] += dy * 0.008;
    } else this.path.push([x, y]);
    this.draw();
  }

  release(event) {
    if (!this.pressed) return;
    const [x, y] = this.at(event), isClick = Math.hypot(x - this.pressed[0], y - this.pressed[1]) < CLICK_PX;
    const encloses = this.drags === "lasso" || this.drags === "box";
    if (isClick && this.path.length < 8 && event.button === 0) {
      const index = this.nearest(x, y);
      if (index >= 0) {
        this.data.focus = index;
        this.answer("picked", { index, of: this.data.points_of });
      }
    } else if (encloses && this.path.length > 1) {
      const how = event.shiftKey ? "add" : event.altKey ? "subtract" : "replace";
      this.answer("enclosed", { bits: textOf(this.enclosed()), how, of: this.data.points_of });
    }
    this.pressed = null;
    this.path = [];
    this.draw();
  }

  hover(event) {
    if (this.isHovering) return;
    this.isHovering = true;
    requestAnimationFrame(() => {
      this.isHovering = false;
      if (!this.data || this.pressed) return;
      const [x, y] = this.at(event), index = this.nearest(x, y), name = index < 0 ? "" : this.nameOf(index);
      this.overlay.style.cursor = index < 0 ? "crosshair" : "pointer";
      this.tip.hidden = !name;
      this.tip.textContent = name;
      this.tip.style.left = `${x + 14}px`;
      this.tip.style.top = `${y + 10}px`;
    });
  }

  nameOf(index) {
    return this.data.code_names[this.codes[index]] ?? "";
  }

  showTools() {
    for (const button of this.root.querySelectorAll(".tools button")) {
      const name = button.dataset.tool;
      button.title = this.data?.texts[name] ?? name;
      button.setAttribute("aria-label", button.title);
      button.setAttribute("aria-pressed", String(name === this.tool));
      button.hidden = name === "turn" && this.data?.dims !== 3;
    }
    this.root.querySelector(".unable").textContent = this.data?.texts.unable ?? "";
  }
}

export default function (component) {
  const root = component.parentElement.querySelector(".map");
  root.style.height = `${component.data.height}px`;
  root.pointMap ??= new PointMap(root);
  root.pointMap.show(component.data, component.setTriggerValue);
}
