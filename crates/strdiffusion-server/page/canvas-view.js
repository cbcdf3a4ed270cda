import { drawGrown } from './growth.js';
import { Viewport } from './viewport.js';

/**
 * Draws the photo and what is painted on it at the size of the screen, once a frame at most.
 */
export class CanvasView {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {import('./painting.js').Painting} painting
   */
  constructor(canvas, painting) {
    this.canvas = canvas;
    this.ctx = canvas.getContext('2d');
    this.holeLayer = document.createElement('canvas').getContext('2d');
    this.edgeLayer = document.createElement('canvas').getContext('2d');
    this.painting = painting;
    this.viewport = new Viewport();
    this.comparison = null; // { photo, split }: a result, from the screen position `split` on
    this.outline = null; // photo positions of a line that is being drawn
    this.growth = 0; // photo pixels that the hole gains
    this.moved = () => {}; // called before each drawing
    this.onZoom = () => {};
    this.frame = 0;
    this.stripes = null;
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    this.grownLayer = document.createElement('canvas').getContext('2d');
    painting.addEventListener('change', () => this.redraw());
    painting.addEventListener('margins', () => {
      this.viewport.surround(painting.margins);
      this.redraw();
    });
    painting.addEventListener('photo', () => {
      this.comparison = null;
      this.viewport.show(painting.photo);
      this.viewport.surround(painting.margins);
      this.redraw();
    });
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    if (width === 0 || height === 0) return;
    this.ratio = window.devicePixelRatio || 1;
    for (const { canvas } of [this.ctx, this.holeLayer, this.grownLayer, this.edgeLayer]) {
      canvas.width = Math.round(width * this.ratio);
      canvas.height = Math.round(height * this.ratio);
    }
    this.stripes = null;
    this.viewport.resize(width, height);
    this.drawNow();
  }

  /** Asks for the view to be drawn in the next frame. */
  redraw() {
    this.frame ||= requestAnimationFrame(() => this.drawNow());
  }

  /** Changes zoom or place, and draws. */
  move(change) {
    change(this.viewport);
    this.redraw();
  }

  drawNow() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const { ctx, viewport } = this;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, ctx.canvas.width, ctx.canvas.height);
    this.moved();
    this.onZoom(this.viewport.scale);
    const visible = this.painting.photo && viewport.visible();
    if (!visible) return;
    if (this.comparison) {
      this.drawComparison(visible);
    } else {
      this.drawPhoto(this.painting.photo, visible);
      this.drawPaint(visible);
      this.drawMargins();
      if (this.outline) this.drawOutline();
    }
  }

  drawPhoto(photo, { left, top, right, bottom }) {
    const { ctx } = this;
    this.inPhotoPixels((scale) => photo.draw(ctx, scale, left, top, right - left, bottom - top));
  }

  /** Draws a result, which can be larger than the photo by the margins. */
  drawResult(photo) {
    const { ctx, viewport } = this;
    const { x, y, width, height } = viewport.whole;
    this.inPhotoPixels((scale) => {
      ctx.translate(x, y);
      photo.draw(ctx, scale, 0, 0, width, height);
    });
  }

  inPhotoPixels(draw) {
    const { ctx, viewport, ratio } = this;
    const scale = viewport.scale * ratio;
    ctx.setTransform(scale, 0, 0, scale, viewport.x * ratio, viewport.y * ratio);
    draw(scale);
    ctx.setTransform(1, 0, 0, 1, 0, 0);
  }

  /** What is added around the photo is hole. */
  drawMargins() {
    const { ctx, ratio, viewport } = this;
    const { x, y, width, height } = viewport.whole;
    if (width === viewport.photo.width && height === viewport.photo.height) return;
    const rectangle = (left, top, right, bottom) => {
      const [x0, y0] = viewport.toScreen(left, top);
      const [x1, y1] = viewport.toScreen(right, bottom);
      ctx.rect(x0 * ratio, y0 * ratio, (x1 - x0) * ratio, (y1 - y0) * ratio);
    };
    ctx.beginPath();
    rectangle(x, y, x + width, y + height);
    rectangle(0, 0, viewport.photo.width, viewport.photo.height);
    ctx.fillStyle = this.stripePattern();
    ctx.fill('evenodd');
  }

  drawOutline() {
    const { ctx, viewport, ratio } = this;
    ctx.beginPath();
    for (const [x, y] of this.outline) ctx.lineTo(...viewport.toScreen(x, y).map((v) => v * ratio));
    ctx.closePath();
    for (const [colour, dashes] of [['#000', []], ['#fff', [5 * ratio, 5 * ratio]]]) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = 1.5 * ratio;
      ctx.setLineDash(dashes);
      ctx.stroke();
    }
    ctx.setLineDash([]);
  }

  drawComparison(visible) {
    const { ctx, ratio } = this;
    const split = Math.round(this.comparison.split * ratio);
    const half = (x, width, draw) => {
      ctx.save();
      ctx.beginPath();
      ctx.rect(x, 0, width, ctx.canvas.height);
      ctx.clip();
      draw();
      ctx.restore();
    };
    half(0, split, () => this.drawPhoto(this.painting.photo, visible));
    half(split, ctx.canvas.width - split, () => this.drawResult(this.comparison.photo));
  }

  /** The hole as stripes over what is avoided, the drawn edges over it. Edges outside the hole count for nothing: dim. */
  drawPaint(visible) {
    const { ctx, holeLayer, edgeLayer } = this;
    const { hole, structure, avoid } = this.painting;
    if (avoid.tiles.size > 0) {
      this.drawLayer(holeLayer, avoid, visible);
      tint(holeLayer, 'rgb(250 190 40 / 0.55)');
      ctx.drawImage(holeLayer.canvas, 0, 0);
    }
    if (hole.tiles.size > 0) {
      this.drawLayer(holeLayer, hole, visible);
      this.drawGrowth();
      tint(holeLayer, this.stripePattern());
      ctx.drawImage(holeLayer.canvas, 0, 0);
    }
    if (structure.tiles.size > 0) {
      this.drawLayer(edgeLayer, structure, visible);
      tint(edgeLayer, '#3df0ff');
      ctx.globalAlpha = 0.35;
      ctx.drawImage(edgeLayer.canvas, 0, 0);
      ctx.globalAlpha = 1;
      if (hole.tiles.size > 0) {
        this.drawLayer(holeLayer, hole, visible);
        edgeLayer.globalCompositeOperation = 'destination-in';
        edgeLayer.drawImage(holeLayer.canvas, 0, 0);
        ctx.drawImage(edgeLayer.canvas, 0, 0);
      }
    }
  }

  /** What the hole will gain, paler than the hole itself. */
  drawGrowth() {
    const { ctx, holeLayer, grownLayer, viewport, ratio } = this;
    const radius = this.growth * viewport.scale * ratio;
    if (radius < 0.5) return;
    drawGrown(grownLayer, holeLayer.canvas, radius);
    grownLayer.globalCompositeOperation = 'destination-out'; // under the hole's own stripes it is not seen
    grownLayer.drawImage(holeLayer.canvas, 0, 0);
    tint(grownLayer, 'rgb(206 58 42 / 0.38)');
    ctx.save();
    ctx.beginPath();
    const [x0, y0] = viewport.toScreen(0, 0).map((value) => value * ratio);
    ctx.rect(x0, y0, viewport.photo.width * viewport.scale * ratio, viewport.photo.height * viewport.scale * ratio);
    ctx.clip();
    ctx.drawImage(grownLayer.canvas, 0, 0);
    ctx.restore();
  }

  drawLayer(ctx, layer, { left, top, right, bottom }) {
    const { viewport, ratio } = this;
    ctx.globalCompositeOperation = 'source-over';
    ctx.clearRect(0, 0, ctx.canvas.width, ctx.canvas.height);
    ctx.imageSmoothingEnabled = viewport.scale * ratio < 4;
    ctx.imageSmoothingQuality = 'medium';
    const toScreen = (x, y) => viewport.toScreen(x, y).map((value) => Math.round(value * ratio));
    const [x0, y0] = toScreen(0, 0);
    const [x1, y1] = toScreen(layer.width, layer.height);
    ctx.save();
    // A tile at the photo's edge can hold paint from beyond it.
    ctx.beginPath();
    ctx.rect(x0, y0, x1 - x0, y1 - y0);
    ctx.clip();
    layer.draw(ctx, toScreen, left, top, right, bottom);
    ctx.restore();
  }

  stripePattern() {
    if (this.stripes) return this.stripes;
    const size = Math.round(10 * this.ratio);
    const canvas = new OffscreenCanvas(size, size);
    const ctx = canvas.getContext('2d');
    ctx.fillStyle = 'rgb(206 58 42 / 0.62)';
    ctx.fillRect(0, 0, size, size);
    ctx.strokeStyle = 'rgb(255 255 255 / 0.45)';
    ctx.lineWidth = size / 5;
    for (const shift of [-size, 0, size]) {
      ctx.moveTo(shift - size / 2, size * 1.5);
      ctx.lineTo(shift + size * 1.5, -size / 2);
    }
    ctx.stroke();
    this.stripes = this.ctx.createPattern(canvas, 'repeat');
    return this.stripes;
  }
}

function tint(ctx, style) {
  ctx.globalCompositeOperation = 'source-in';
  ctx.fillStyle = style;
  ctx.fillRect(0, 0, ctx.canvas.width, ctx.canvas.height);
  ctx.globalCompositeOperation = 'source-over';
}
