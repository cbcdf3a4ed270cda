import { byId, show } from './dom.js';

/** Screen pixels: fine enough to be a line to the model, which sees a hole at most at this size. */
const PEN_WIDTH = 2.5;
const STEP = 1.25;
/** Tools whose width counts. */
const BRUSHES = new Set(['brush', 'eraser', 'structure', 'avoid']);
/** Tools that can take away as well, and mark what to avoid. */
const AREAS = new Set(['rectangle', 'lasso', 'polygon', 'select']);

/** Which tool is in hand, and its size in screen pixels: zooming in makes every tool finer. */
export class Tools extends EventTarget {
  constructor() {
    super();
    this.slider = byId('brush-size');
    for (const input of this.inputs) input.addEventListener('change', () => this.refresh());
    byId('tolerance').addEventListener('input', () => this.showTolerance());
    this.showTolerance();
    this.slider.addEventListener('input', () => this.refresh());
    this.refresh();
  }

  get inputs() {
    return document.querySelectorAll('input[name="tool"]');
  }

  /** The value of its radio button, such as `brush`. */
  get tool() {
    return document.querySelector('input[name="tool"]:checked').value;
  }

  /** Width of the stroke in screen pixels; none where a tool has none. */
  get width() {
    if (!BRUSHES.has(this.tool)) return null;
    return this.tool === 'structure' ? PEN_WIDTH : Number(this.slider.value);
  }

  /** The layer of a painting that the tool in hand works on, but for the eraser, which works on all. */
  layerOf(painting) {
    if (this.tool === 'structure') return painting.structure;
    const avoids = this.tool === 'avoid' || (AREAS.has(this.tool) && byId('avoid-area').checked);
    return avoids ? painting.avoid : painting.hole;
  }

  /** Whether an area is taken away rather than added. */
  get takesAway() {
    return byId('take-away').checked;
  }

  /** How far colours may differ to be selected together, 0 to 1. */
  get tolerance() {
    return Number(byId('tolerance').value) / 100;
  }

  get linesOnly() {
    return byId('lines-only').checked;
  }

  /** Takes a tool in hand. */
  choose(tool) {
    for (const input of this.inputs) input.checked = input.value === tool;
    this.refresh();
  }

  /** Makes the brush larger or smaller. */
  resize(larger) {
    const value = Number(this.slider.value);
    this.slider.value = Math.round(larger ? Math.max(value + 1, value * STEP) : value / STEP);
    this.refresh();
    return Number(this.slider.value);
  }

  /**
   * Draws with the tool in hand, in photo pixels.
   * @param {import('./painting.js').Painting} painting
   */
  stroke(painting, x0, y0, x1, y1, scale, erase = this.tool === 'eraser') {
    if (erase) {
      const width = Number(this.slider.value) / scale;
      painting.structure.line(x0, y0, x1, y1, width, true);
      if (this.linesOnly) return;
      for (const layer of [painting.hole, painting.avoid]) layer.line(x0, y0, x1, y1, width, true);
    } else {
      const least = this.tool === 'structure' ? 1.5 : 1;
      this.layerOf(painting).line(x0, y0, x1, y1, Math.max(least, this.width / scale));
    }
  }

  showTolerance() {
    byId('tolerance-value').textContent = byId('tolerance').value;
  }

  refresh() {
    const { tool } = this;
    byId('brush-size-value').textContent = this.slider.value;
    show(BRUSHES.has(tool) && tool !== 'structure', byId('size-option'));
    show(tool === 'select', byId('tolerance-option'));
    show(AREAS.has(tool), byId('take-away-option'), byId('avoid-area-option'));
    show(tool === 'polygon', byId('polygon-hint'));
    show(tool === 'extend', byId('extend-hint'));
    show(tool === 'eraser', byId('lines-only-option'));
    show(tool === 'structure', byId('structure-hint'));
    show(tool === 'avoid', byId('avoid-hint'));
    this.dispatchEvent(new Event('change'));
  }
}
