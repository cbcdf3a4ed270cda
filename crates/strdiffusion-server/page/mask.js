import { breathe } from './dom.js';

const TILE = 512;
/** The memory that a painted tile takes. */
export const TILE_BYTES = 4 * TILE * TILE;

const WHITE = 0xffffffff;

/**
 * A drawing in one colour, at the full size of the photo: the hole, or the edges drawn inside it.
 *
 * It is kept in tiles that come into being where something is painted, so that a photo of 24
 * megapixels costs little memory, and undo needs only the tiles that a stroke touched.
 * Coordinates are photo pixels.
 */
export class Layer {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.columns = Math.ceil(width / TILE);
    this.rows = Math.ceil(height / TILE);
    this.tiles = new Map(); // index → { canvas, ctx, bounds, stale }; only where painted
    this.recording = null;
  }

  // --- painting

  /** Starts to record what changes. */
  begin() {
    this.recording = new Map();
  }

  /**
   * Ends the recording.
   * @returns {Map | null} a patch for `swap` that takes the change back: the tiles as they were,
   *   null for those that were not there; null if nothing changed
   */
  end() {
    const patch = this.recording;
    this.recording = null;
    return patch && patch.size > 0 ? patch : null;
  }

  /** Draws or erases a round-ended line; a line to its own start is a dot. */
  line(x0, y0, x1, y1, width, erase = false) {
    const reach = width / 2 + 1;
    const left = Math.min(x0, x1) - reach;
    const right = Math.max(x0, x1) + reach;
    const top = Math.min(y0, y1) - reach;
    const bottom = Math.max(y0, y1) + reach;
    for (const ctx of this.changing(left, top, right, bottom, erase)) {
      ctx.beginPath();
      if (x0 === x1 && y0 === y1) {
        ctx.arc(x0, y0, width / 2, 0, 2 * Math.PI);
        ctx.fill();
      } else {
        ctx.lineWidth = width;
        ctx.moveTo(x0, y0);
        ctx.lineTo(x1, y1);
        ctx.stroke();
      }
    }
  }

  /**
   * Fills or erases what a closed line surrounds.
   * @param {Array<[number, number]>} points its corners
   */
  area(points, erase = false) {
    const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
    for (const ctx of this.changing(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), erase)) {
      ctx.beginPath();
      for (const [x, y] of points) ctx.lineTo(x, y);
      ctx.fill();
    }
  }

  /**
   * Fills or erases where a picture of the whole photo, of any size, is opaque.
   * @param {CanvasImageSource} picture
   * @param {{left: number, top: number, right: number, bottom: number}} within shares of the sides
   */
  stamp(picture, { left, top, right, bottom }, erase = false) {
    const { width, height } = this;
    for (const ctx of this.changing(left * width, top * height, right * width, bottom * height, erase)) {
      ctx.drawImage(picture, 0, 0, width, height);
    }
  }

  /** The contexts of the tiles within, to be drawn on. */
  *changing(left, top, right, bottom, erase) {
    for (const index of this.indicesWithin(left, top, right, bottom)) {
      if (erase && !this.tiles.has(index)) continue;
      const { ctx } = this.change(index);
      ctx.globalCompositeOperation = erase ? 'destination-out' : 'source-over';
      yield ctx;
    }
  }

  /** Erases everything. */
  clear() {
    for (const index of [...this.tiles.keys()]) {
      if (this.recording && !this.recording.has(index)) {
        this.recording.set(index, this.tiles.get(index));
      }
      this.tiles.delete(index);
    }
  }

  /**
   * Puts a patch in place.
   * @returns {Map} the patch that takes this back
   */
  swap(patch) {
    const inverse = new Map();
    for (const [index, tile] of patch) {
      inverse.set(index, this.tiles.get(index) ?? null);
      if (tile) this.tiles.set(index, tile);
      else this.tiles.delete(index);
    }
    return inverse;
  }

  // --- from and to files

  /**
   * The patch that makes this layer a picture's.
   * @param {ImageBitmap} picture of this layer's size
   * @param {(r: number, g: number, b: number, a: number) => boolean} isSet
   * @returns {Promise<{patch: Map, count: number}>} `count`: pixels that are set
   */
  async patchFrom(picture, isSet) {
    const canvas = new OffscreenCanvas(TILE, TILE);
    const ctx = canvas.getContext('2d', { willReadFrequently: true });
    const patch = new Map();
    let count = 0;
    for (let index = 0; index < this.columns * this.rows; index++) {
      const { x, y, width, height } = this.place(index);
      ctx.clearRect(0, 0, TILE, TILE);
      ctx.drawImage(picture, x, y, width, height, 0, 0, width, height);
      const image = ctx.getImageData(0, 0, TILE, TILE);
      const { data } = image;
      const pixels = new Uint32Array(data.buffer);
      let set = 0;
      for (let row = 0; row < TILE; row++) {
        for (let i = row * TILE; i < (row + 1) * TILE; i++) {
          const inside = row < height && i - row * TILE < width;
          const white =
            inside && isSet(data[4 * i], data[4 * i + 1], data[4 * i + 2], data[4 * i + 3]);
          pixels[i] = white ? WHITE : 0;
          if (white) set += 1;
        }
      }
      patch.set(index, set > 0 ? this.tile(index, (ctx) => ctx.putImageData(image, 0, 0)) : null);
      count += set;
      await breathe();
    }
    return { patch, count };
  }

  /**
   * The layer's rows as bits, eight pixels a byte, 1 = painted, a band of rows at a time.
   * @returns {AsyncGenerator<{rows: number, bytes: Uint8Array}>}
   */
  async *bits() {
    const stride = Math.ceil(this.width / 8);
    for (let row = 0; row < this.rows; row++) {
      const rows = Math.min(TILE, this.height - row * TILE);
      const bytes = new Uint8Array(stride * rows);
      for (let column = 0; column < this.columns; column++) {
        const alpha = this.alphaOf(row * this.columns + column);
        if (!alpha) continue;
        const width = Math.min(TILE, this.width - column * TILE);
        for (let y = 0; y < rows; y++) {
          const start = stride * y + (column * TILE) / 8;
          for (let x = 0; x < width; x++) {
            if (alpha[y * TILE + x] >= 128) bytes[start + (x >> 3)] |= 128 >> (x & 7);
          }
        }
      }
      yield { rows, bytes };
      await breathe();
    }
  }

  /** The same drawing on a larger canvas: `left`, `top`, `right` and `bottom` are what is added. */
  extended({ left, top, right, bottom }) {
    const larger = new Layer(this.width + left + right, this.height + top + bottom);
    for (const [index, { canvas }] of this.tiles) {
      const { x, y, width, height } = this.place(index);
      const [x0, y0] = [x + left, y + top];
      for (const ctx of larger.changing(x0, y0, x0 + width, y0 + height)) {
        ctx.drawImage(canvas, 0, 0, width, height, x0, y0, width, height);
      }
    }
    return larger;
  }

  // --- looking

  /**
   * Draws what is visible of `left`, `top`, `right`, `bottom` (photo pixels). `toScreen` gives
   * whole screen pixels: neighbouring tiles then meet without a seam.
   */
  draw(ctx, toScreen, left, top, right, bottom) {
    for (const index of this.indicesWithin(left, top, right, bottom)) {
      const tile = this.tiles.get(index);
      if (!tile) continue;
      const { x, y } = this.place(index);
      const [x0, y0] = toScreen(x, y);
      const [x1, y1] = toScreen(x + TILE, y + TILE);
      ctx.drawImage(tile.canvas, x0, y0, x1 - x0, y1 - y0);
    }
  }

  /**
   * The smallest rectangle around everything painted, or null.
   * @returns {{x: number, y: number, width: number, height: number} | null}
   */
  bounds() {
    let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const index of this.tiles.keys()) {
      const painted = this.paintedIn(index);
      if (!painted) continue;
      const { x, y } = this.place(index);
      left = Math.min(left, x + painted.left);
      top = Math.min(top, y + painted.top);
      right = Math.max(right, x + painted.right);
      bottom = Math.max(bottom, y + painted.bottom);
    }
    if (!(right > left && bottom > top)) return null;
    return { x: left, y: top, width: right - left, height: bottom - top };
  }

  /** Whether nothing is painted. */
  get isEmpty() {
    for (const index of this.tiles.keys()) if (this.paintedIn(index)) return false;
    return true;
  }

  // --- tiles

  /** The painted rectangle of a tile in its own pixels, or null. */
  paintedIn(index) {
    const tile = this.tiles.get(index);
    if (tile.stale) {
      const { width, height } = this.place(index);
      tile.bounds = boundsOf(this.alphaOf(index), width, height);
      tile.stale = false;
    }
    return tile.bounds;
  }

  *indicesWithin(left, top, right, bottom) {
    const clamp = (value, count) => Math.max(0, Math.min(count - 1, Math.floor(value / TILE)));
    if (right < 0 || bottom < 0 || left >= this.width || top >= this.height) return;
    for (let row = clamp(top, this.rows); row <= clamp(bottom, this.rows); row++) {
      for (let column = clamp(left, this.columns); column <= clamp(right, this.columns); column++) {
        yield row * this.columns + column;
      }
    }
  }

  place(index) {
    const x = (index % this.columns) * TILE;
    const y = Math.floor(index / this.columns) * TILE;
    return { x, y, width: Math.min(TILE, this.width - x), height: Math.min(TILE, this.height - y) };
  }

  /** The tile to be painted on. What it was before goes to the recording, untouched from now on. */
  change(index) {
    const before = this.tiles.get(index) ?? null;
    if (before && (!this.recording || this.recording.has(index))) {
      before.stale = true;
      return before;
    }
    if (this.recording && !this.recording.has(index)) this.recording.set(index, before);
    const tile = this.tile(index, (ctx) => before && ctx.drawImage(before.canvas, 0, 0));
    this.tiles.set(index, tile);
    return tile;
  }

  /** A new tile; `draw` gets its context in the tile's own pixels. */
  tile(index, draw) {
    const canvas = new OffscreenCanvas(TILE, TILE);
    const ctx = canvas.getContext('2d', { willReadFrequently: true });
    draw(ctx);
    const { x, y } = this.place(index);
    ctx.setTransform(1, 0, 0, 1, -x, -y);
    ctx.fillStyle = ctx.strokeStyle = '#fff';
    ctx.lineCap = ctx.lineJoin = 'round';
    return { canvas, ctx, bounds: null, stale: true };
  }

  alphaOf(index) {
    const tile = this.tiles.get(index);
    if (!tile) return null;
    const pixels = new Uint32Array(tile.ctx.getImageData(0, 0, TILE, TILE).data.buffer);
    const alpha = new Uint8Array(TILE * TILE);
    for (let i = 0; i < alpha.length; i++) alpha[i] = pixels[i] >>> 24; // RGBA, little-endian
    return alpha;
  }
}

/** The rectangle around what is at least half opaque in the first columns and rows, or null. */
function boundsOf(alpha, width, height) {
  let [left, top, right, bottom] = [TILE, -1, -1, -1];
  for (let y = 0; y < height; y++) {
    const row = y * TILE;
    let x = 0;
    while (x < width && alpha[row + x] < 128) x++;
    if (x === width) continue;
    let end = width;
    while (alpha[row + end - 1] < 128) end--;
    if (x < left) left = x;
    if (end > right) right = end;
    if (top < 0) top = y;
    bottom = y + 1;
  }
  return top < 0 ? null : { left, top, right, bottom };
}
