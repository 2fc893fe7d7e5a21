// A film on a canvas, in its exact values: window, zoom, moving, inversion, and a map over it.

const HEAT = [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];
const ARRAYS = { uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, float32: Float32Array };

export const values = (type, buffer) => new ARRAYS[type](buffer);

function heatTable() {
  const table = new Uint8ClampedArray(256 * 4);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * 5, k = Math.min(4, Math.floor(at)), part = at - k;
    for (let c = 0; c < 3; c++) table[4 * i + c] = HEAT[k][c] * (1 - part) + HEAT[k + 1][c] * part;
    table[4 * i + 3] = i; // more opaque where the map is higher
  }
  return table;
}

export class Film {
  constructor(canvas, facts, pixels, map) {
    Object.assign(this, { canvas, facts, pixels, map });
    this.state = { ...facts.window, opacity: 0.5, inverted: false, zoom: 1, x: 0, y: 0 };
    [this.rows, this.columns] = facts.size;
    this.picture = new OffscreenCanvas(this.columns, this.rows);
    this.heat = map ? this.drawHeat(map) : null;
    this.render();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  // pixels that are not square are shown as they lie in the patient
  get aspect() { const s = this.facts.spacing; return s && s.length === 2 && s[0] > 0 && s[1] > 0 ? s[0] / s[1] : 1; }

  drawHeat(map) {
    const { low, high } = this.facts.map, table = heatTable();
    const made = new OffscreenCanvas(this.columns, this.rows), context = made.getContext("2d");
    const data = context.createImageData(this.columns, this.rows);
    const scale = 255 / Math.max(high - low, 1e-12);
    for (let i = 0; i < map.length; i++) {
      const at = 4 * Math.max(0, Math.min(255, Math.round((map[i] - low) * scale)));
      for (let c = 0; c < 4; c++) data.data[4 * i + c] = table[at + c];
    }
    context.putImageData(data, 0, 0);
    return made;
  }

  /** Grey levels anew, after the window has changed. */
  render() {
    const { center, width, inverted } = this.state, { channels } = this.facts;
    const context = this.picture.getContext("2d");
    const data = context.createImageData(this.columns, this.rows), out = data.data;
    const low = center - width / 2, scale = 255 / Math.max(width, 1e-6), n = this.rows * this.columns;
    for (let i = 0; i < n; i++) {
      for (let c = 0; c < 3; c++) {
        const value = this.pixels[i * channels + (channels >= 3 ? c : 0)];
        const grey = (value - low) * scale;
        out[4 * i + c] = inverted ? 255 - grey : grey;
      }
      out[4 * i + 3] = 255;
    }
    context.putImageData(data, 0, 0);
    this.draw();
  }

  draw() {
    const box = this.canvas.getBoundingClientRect(), ratio = devicePixelRatio || 1;
    if (!box.width || !box.height) return;
    this.canvas.width = Math.round(box.width * ratio);
    this.canvas.height = Math.round(box.height * ratio);
    const context = this.canvas.getContext("2d");
    const height = this.rows * this.aspect;
    const fit = Math.min(this.canvas.width / this.columns, this.canvas.height / height) * this.state.zoom;
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.imageSmoothingEnabled = fit < 4;
    const w = this.columns * fit, h = height * fit;
    const x = (this.canvas.width - w) / 2 + this.state.x * ratio, y = (this.canvas.height - h) / 2 + this.state.y * ratio;
    context.drawImage(this.picture, x, y, w, h);
    if (this.heat && this.state.opacity > 0) {
      context.globalAlpha = this.state.opacity;
      context.imageSmoothingEnabled = true;
      context.drawImage(this.heat, x, y, w, h);
      context.globalAlpha = 1;
    }
  }

  window(center, width) { Object.assign(this.state, { center, width }); this.render(); }
  setOpacity(share) { this.state.opacity = share; this.draw(); }
  invert() { this.state.inverted = !this.state.inverted; this.render(); return this.state.inverted; }
  zoom(by) { this.state.zoom = Math.max(0.25, Math.min(32, this.state.zoom * by)); this.draw(); }
  move(x, y) { this.state.x += x; this.state.y += y; this.draw(); }
  reset() { Object.assign(this.state, { ...this.facts.window, inverted: false, zoom: 1, x: 0, y: 0 }); this.render(); }
  wheel(event) { this.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15); }
  arrow(x, y) { this.move(-40 * x, -40 * y); }
}
