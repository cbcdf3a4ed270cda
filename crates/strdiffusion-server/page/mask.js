import { breathe } from './dom.js';

const TILE = 512;

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
    this.tiles = new Map(); // index → { canvas, ctx, bounds, stale }
    this.recording = null;
  }

  // --- painting

  /** Starts to record what changes. */
  begin() {
    this.recording = new Map();
  }

  /**
   * Ends the recording.
   * @returns {Map | null} a patch for `swap` that takes the change back; null if nothing changed
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
    for (const index of this.indicesWithin(left, top, right, bottom)) {
      if (erase && !this.tiles.has(index)) continue;
      const { ctx } = this.change(index);
      ctx.globalCompositeOperation = erase ? 'destination-out' : 'source-over';
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

  /** Erases everything. */
  clear() {
    for (const index of [...this.tiles.keys()]) {
      this.remember(index);
      this.tiles.delete(index);
    }
  }

  /**
   * Puts a patch in place.
   * @returns {Map} the patch that takes this back
   */
  swap(patch) {
    const inverse = new Map();
    for (const [index, alpha] of patch) {
      inverse.set(index, this.alphaOf(index));
      if (alpha) this.write(index, alpha);
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
      const { data } = ctx.getImageData(0, 0, TILE, TILE);
      const alpha = new Uint8Array(TILE * TILE);
      let set = 0;
      for (let row = 0; row < height; row++) {
        for (let i = row * TILE; i < row * TILE + width; i++) {
          if (isSet(data[4 * i], data[4 * i + 1], data[4 * i + 2], data[4 * i + 3])) {
            alpha[i] = 255;
            set += 1;
          }
        }
      }
      patch.set(index, set > 0 ? alpha : null);
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
    for (const [index, tile] of this.tiles) {
      if (tile.stale) {
        tile.bounds = boundsOf(this.alphaOf(index));
        tile.stale = false;
      }
      if (!tile.bounds) continue;
      const { x, y, width, height } = this.place(index);
      left = Math.min(left, x + tile.bounds.left);
      top = Math.min(top, y + tile.bounds.top);
      right = Math.max(right, Math.min(x + tile.bounds.right, x + width));
      bottom = Math.max(bottom, Math.min(y + tile.bounds.bottom, y + height));
    }
    if (!(right > left && bottom > top)) return null;
    return { x: left, y: top, width: right - left, height: bottom - top };
  }

  // --- tiles

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

  remember(index) {
    if (this.recording && !this.recording.has(index)) {
      this.recording.set(index, this.alphaOf(index));
    }
  }

  change(index) {
    this.remember(index);
    const tile = this.tiles.get(index) ?? this.create(index);
    tile.stale = true;
    return tile;
  }

  create(index) {
    const canvas = new OffscreenCanvas(TILE, TILE);
    const ctx = canvas.getContext('2d', { willReadFrequently: true });
    const { x, y } = this.place(index);
    ctx.setTransform(1, 0, 0, 1, -x, -y);
    ctx.fillStyle = ctx.strokeStyle = '#fff';
    ctx.lineCap = ctx.lineJoin = 'round';
    const tile = { canvas, ctx, bounds: null, stale: true };
    this.tiles.set(index, tile);
    return tile;
  }

  alphaOf(index) {
    const tile = this.tiles.get(index);
    if (!tile) return null;
    const { data } = tile.ctx.getImageData(0, 0, TILE, TILE);
    const alpha = new Uint8Array(TILE * TILE);
    for (let i = 0; i < alpha.length; i++) alpha[i] = data[4 * i + 3];
    return alpha;
  }

  write(index, alpha) {
    const tile = this.tiles.get(index) ?? this.create(index);
    const image = new ImageData(TILE, TILE);
    image.data.fill(255);
    for (let i = 0; i < alpha.length; i++) image.data[4 * i + 3] = alpha[i];
    tile.ctx.putImageData(image, 0, 0);
    tile.stale = true;
  }
}

function boundsOf(alpha) {
  let [left, top, right, bottom] = [TILE, TILE, 0, 0];
  for (let y = 0; y < TILE; y++) {
    for (let x = 0; x < TILE; x++) {
      if (alpha[y * TILE + x] < 128) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = y + 1;
    }
  }
  return right > left ? { left, top, right, bottom } : null;
}
