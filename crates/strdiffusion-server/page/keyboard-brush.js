import { announce } from './announce.js';

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Painting without a pointer: on the focused view the arrow keys move the brush, Enter starts and
 * ends a stroke.
 */
export class KeyboardBrush {
  /**
   * @param {import('./pointer.js').Pointer} pointer shows the brush and draws the strokes
   */
  constructor(pointer) {
    this.pointer = pointer;
    this.drawing = false;
    const { canvas } = pointer.view;
    canvas.addEventListener('keydown', (event) => this.key(event));
    canvas.addEventListener('blur', () => this.lift());
    canvas.addEventListener('pointerdown', () => this.lift(), { capture: true });
  }

  key(event) {
    const { pointer } = this;
    if (event.ctrlKey || event.metaKey || event.altKey || !pointer.painting.photo) return;
    const direction = ARROWS[event.key];
    if (direction) {
      event.preventDefault();
      this.step(direction, event.shiftKey);
    } else if (event.key === 'Enter' && pointer.mayPaint()) {
      event.preventDefault();
      if (this.drawing) this.lift();
      else this.lower();
    }
  }

  step([dx, dy], far) {
    const { pointer } = this;
    const { viewport } = pointer.view;
    const length = far ? 48 : 12;
    if (!pointer.mayPaint()) {
      pointer.view.move(() => viewport.pan(-dx * length, -dy * length));
      return;
    }
    const from = this.position();
    const to = {
      x: Math.min(viewport.width, Math.max(0, from.x + dx * length)),
      y: Math.min(viewport.height, Math.max(0, from.y + dy * length)),
    };
    if (this.drawing) pointer.paint(from, to);
    pointer.hover = to;
    pointer.showRing();
  }

  lower() {
    const { pointer } = this;
    this.drawing = true;
    pointer.hover = this.position();
    pointer.erases = pointer.tools.tool === 'eraser';
    pointer.painting.begin();
    pointer.paint(pointer.hover, pointer.hover);
    pointer.showRing();
    announce('Stroke started. Arrow keys paint, Enter ends it.');
  }

  /** Ends a stroke. */
  lift() {
    if (!this.drawing) return;
    this.drawing = false;
    this.pointer.painting.end(this.pointer.tools.tool);
    announce('Stroke ended.');
  }

  position() {
    const { viewport } = this.pointer.view;
    return this.pointer.hover ?? { x: viewport.width / 2, y: viewport.height / 2 };
  }
}
