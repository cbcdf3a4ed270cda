import { flood } from './flood.js';

/** Click to select: what has the colour of the point, up to the next edge, becomes hole, or is to be
 * avoided. */
export class Select {
  /**
   * @param {import('./canvas-view.js').CanvasView} view
   * @param {import('./painting.js').Painting} painting
   * @param {import('./tools.js').Tools} tools
   */
  constructor(view, painting, tools) {
    Object.assign(this, { view, painting, tools });
  }

  get started() {
    return 'Selected.';
  }

  begin(position, erases) {
    const { painting, tools } = this;
    const { width, height } = painting.photo;
    const [x, y] = this.view.viewport.toPhoto(position.x, position.y);
    this.selected = false;
    if (x < 0 || y < 0 || x >= width || y >= height) return;
    const picture = pixelsOf(painting.photo);
    const scale = picture.width / width;
    const inside = flood(picture, Math.floor(x * scale), Math.floor(y * scale), tools.tolerance);
    painting.begin();
    tools.layerOf(painting).stamp(drawn(inside, picture), boundsOf(inside, picture), erases || tools.takesAway);
    painting.end('selection');
    this.selected = true;
  }

  drag() {}

  end() {}

  cancel() {
    // What one finger selected before the second came down.
    if (this.selected) this.painting.history.undo();
  }
}

const pixels = new WeakMap();

/** The photo's pixels at a size that a flood passes through at once. */
function pixelsOf(photo) {
  if (!pixels.has(photo)) {
    const { width, height } = photo.small ?? photo.full;
    const ctx = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    ctx.drawImage(photo.small ?? photo.full, 0, 0);
    pixels.set(photo, ctx.getImageData(0, 0, width, height));
  }
  return pixels.get(photo);
}

/** A region as a picture: opaque where it is. */
function drawn(inside, { width, height }) {
  const image = new ImageData(width, height);
  const colours = new Uint32Array(image.data.buffer);
  for (let i = 0; i < inside.length; i++) if (inside[i]) colours[i] = 0xffffffff;
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext('2d').putImageData(image, 0, 0);
  return canvas;
}

/** The rectangle around a region, as shares of the picture's sides. */
function boundsOf(inside, { width, height }) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let i = 0; i < inside.length; i++) {
    if (!inside[i]) continue;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
  }
  return { left: left / width, top: top / height, right: right / width, bottom: bottom / height };
}
