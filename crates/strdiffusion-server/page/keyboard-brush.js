import { announce } from './announce.js';

/** Tools that are done as soon as they are put down. */
const INSTANT = new Set(['polygon', 'select']);
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Painting without a pointer: on the focused view the arrow keys move the tool in hand, Enter puts it
 * down and lifts it.
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
    if (this.drawing) pointer.used.drag(to);
    else pointer.used?.hover?.(to);
    pointer.hover = to;
    pointer.showRing();
  }

  lower() {
    const { pointer } = this;
    if (!pointer.gesture) return;
    pointer.hover = this.position();
    pointer.lower(pointer.hover);
    pointer.showRing();
    this.drawing = !INSTANT.has(pointer.tools.tool);
    announce(pointer.used.started);
  }

  /** Lifts the tool. */
  lift() {
    if (!this.drawing) return;
    this.drawing = false;
    this.pointer.used.end();
    announce('Stroke ended.');
  }

  position() {
    const { viewport } = this.pointer.view;
    return this.pointer.hover ?? { x: viewport.width / 2, y: viewport.height / 2 };
  }
}
