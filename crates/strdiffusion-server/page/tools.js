import { byId, show } from './dom.js';

/** Screen pixels: fine enough to be a line to the model, which sees a hole at most at this size. */
const PEN_WIDTH = 2.5;
const STEP = 1.25;

/** Which tool is in hand, and its size in screen pixels: zooming in makes every tool finer. */
export class Tools extends EventTarget {
  constructor() {
    super();
    this.slider = byId('brush-size');
    for (const input of this.inputs) input.addEventListener('change', () => this.refresh());
    this.slider.addEventListener('input', () => this.refresh());
    this.refresh();
  }

  get inputs() {
    return document.querySelectorAll('input[name="tool"]');
  }

  /** `brush`, `eraser` or `structure`. */
  get tool() {
    return document.querySelector('input[name="tool"]:checked').value;
  }

  /** Width of the stroke in screen pixels. */
  get width() {
    return this.tool === 'structure' ? PEN_WIDTH : Number(this.slider.value);
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
      if (!this.linesOnly) painting.hole.line(x0, y0, x1, y1, width, true);
    } else if (this.tool === 'structure') {
      painting.structure.line(x0, y0, x1, y1, Math.max(1.5, this.width / scale));
    } else {
      painting.hole.line(x0, y0, x1, y1, Math.max(1, this.width / scale));
    }
  }

  refresh() {
    const { tool } = this;
    byId('brush-size-value').textContent = this.slider.value;
    show(tool !== 'structure', byId('size-option'));
    show(tool === 'eraser', byId('lines-only-option'));
    show(tool === 'structure', byId('structure-hint'));
    this.dispatchEvent(new Event('change'));
  }
}
