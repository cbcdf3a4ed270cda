import { Viewport } from './viewport.js';

/**
 * Draws photo, hole and structure at the size of the screen, once a frame at most.
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
    this.moved = () => {}; // called before each drawing
    this.onZoom = () => {};
    this.frame = 0;
    this.stripes = null;
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    painting.addEventListener('change', () => this.redraw());
    painting.addEventListener('photo', () => {
      this.comparison = null;
      this.viewport.show(painting.photo);
      this.redraw();
    });
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    if (width === 0 || height === 0) return;
    this.ratio = window.devicePixelRatio || 1;
    for (const { canvas } of [this.ctx, this.holeLayer, this.edgeLayer]) {
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
    }
  }

  drawPhoto(photo, { left, top, right, bottom }) {
    const { ctx, viewport, ratio } = this;
    const scale = viewport.scale * ratio;
    ctx.setTransform(scale, 0, 0, scale, viewport.x * ratio, viewport.y * ratio);
    photo.draw(ctx, scale, left, top, right - left, bottom - top);
    ctx.setTransform(1, 0, 0, 1, 0, 0);
  }

  drawComparison(visible) {
    const { ctx, ratio } = this;
    const split = Math.round(this.comparison.split * ratio);
    const half = (x, width, photo) => {
      ctx.save();
      ctx.beginPath();
      ctx.rect(x, 0, width, ctx.canvas.height);
      ctx.clip();
      this.drawPhoto(photo, visible);
      ctx.restore();
    };
    half(0, split, this.painting.photo);
    half(split, ctx.canvas.width - split, this.comparison.photo);
  }

  /** The hole as stripes, the drawn edges over it. Edges outside the hole count for nothing: dim. */
  drawPaint(visible) {
    const { ctx, holeLayer, edgeLayer } = this;
    const { hole, structure } = this.painting;
    if (hole.tiles.size > 0) {
      this.drawLayer(holeLayer, hole, visible);
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
