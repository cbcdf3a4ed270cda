/**
 * Mouse, pen and fingers on the view: one uses the tool in hand, two fingers (or space, the middle
 * button, or any button while a result is shown) move and zoom the photo.
 */
export class Pointer {
  /**
   * @param {import('./canvas-view.js').CanvasView} view
   * @param {import('./painting.js').Painting} painting
   * @param {import('./tools.js').Tools} tools
   * @param {HTMLElement} ring the outline of the brush
   * @param {Record<string, object>} gestures what each tool does while the pointer is down
   * @param {() => boolean} mayPaint
   */
  constructor(view, painting, tools, ring, gestures, mayPaint) {
    Object.assign(this, { view, painting, tools, ring, gestures, mayPaint });
    this.down = new Map(); // pointer id → last position on the screen
    this.action = null; // 'paint', 'pan' or 'pinch'
    this.space = false;
    this.hover = null;
    const { canvas } = view;
    canvas.addEventListener('pointerdown', (event) => this.press(event));
    canvas.addEventListener('pointermove', (event) => this.move(event));
    canvas.addEventListener('pointerup', (event) => this.release(event));
    canvas.addEventListener('pointercancel', (event) => this.release(event, true));
    canvas.addEventListener('pointerleave', () => this.point(null));
    canvas.addEventListener('contextmenu', (event) => event.preventDefault());
    canvas.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    tools.addEventListener('change', () => {
      this.settle();
      this.showRing();
    });
  }

  get gesture() {
    return this.gestures[this.tools.tool];
  }

  /** Tells whether the space bar is held. */
  holdSpace(held) {
    this.space = held;
    this.showRing();
  }

  /** Whether a stroke or a drag is under way. */
  get busy() {
    return this.action !== null;
  }

  /** Takes back what is under way. */
  abandon() {
    if (this.action === 'paint') this.used.cancel();
    this.used?.clear?.();
    this.action = null;
  }

  /** Whether a polygon waits for more corners. */
  get waits() {
    return this.used?.isOpen ?? false;
  }

  /** Ends what waits for more. */
  settle() {
    if (this.waits) this.used.close();
  }

  /** Puts the tool in hand down at a place on the screen. */
  lower(position, erases = false) {
    this.used = this.gesture;
    this.used.begin(position, erases);
  }

  press(event) {
    if (!this.painting.photo) return;
    const { canvas } = this.view;
    const position = this.positionOf(event);
    canvas.setPointerCapture?.(event.pointerId);
    if (event.pointerType === 'mouse') canvas.focus({ preventScroll: true });
    event.preventDefault();
    this.down.set(event.pointerId, position);
    if (this.down.size === 2) {
      if (this.action === 'paint') this.used.cancel(); // the first finger did not mean to paint
      this.action = 'pinch';
    } else if (this.down.size === 1) {
      const pans = this.space || event.button === 1 || !this.mayPaint() || !this.gesture;
      if (!pans && event.button > 0 && event.button !== 5) return; // 5: the pen's eraser end
      this.action = pans ? 'pan' : 'paint';
      if (this.action === 'paint') this.lower(position, event.button === 5);
    }
    this.point(event);
  }

  move(event) {
    this.point(event);
    const last = this.down.get(event.pointerId);
    if (!last) return this.used?.hover?.(this.positionOf(event));
    if (this.action === 'paint') {
      const coalesced = event.getCoalescedEvents?.() ?? [];
      for (const sample of coalesced.length > 0 ? coalesced : [event]) {
        this.used.drag(this.positionOf(sample));
      }
      this.down.set(event.pointerId, this.positionOf(event));
      return;
    }
    const position = this.positionOf(event);
    if (this.action === 'pan') {
      this.view.move((viewport) => viewport.pan(position.x - last.x, position.y - last.y));
    } else if (this.action === 'pinch') {
      this.pinch(event.pointerId, last, position);
    }
    this.down.set(event.pointerId, position);
  }

  pinch(id, last, position) {
    const other = [...this.down].find(([key]) => key !== id)?.[1];
    if (!other) return;
    const distance = (p) => Math.max(1, Math.hypot(p.x - other.x, p.y - other.y));
    const middle = (p) => ({ x: (p.x + other.x) / 2, y: (p.y + other.y) / 2 });
    const [from, to] = [middle(last), middle(position)];
    this.view.move((viewport) => {
      viewport.pan(to.x - from.x, to.y - from.y);
      viewport.zoom(distance(position) / distance(last), to.x, to.y);
    });
  }

  release(event, cancelled = false) {
    if (!this.down.delete(event.pointerId)) return;
    if (this.action === 'paint') {
      if (cancelled) this.used.cancel();
      else this.used.end();
      this.action = null;
    } else if (this.down.size === 0) {
      this.action = null;
    }
    this.point(event.pointerType === 'touch' ? null : event);
  }

  wheel(event) {
    if (!this.painting.photo) return;
    event.preventDefault();
    const { x, y } = this.positionOf(event);
    const pixels = event.deltaY * (event.deltaMode === 1 ? 32 : 1);
    this.view.move((viewport) => viewport.zoom(Math.exp(-pixels / 400), x, y));
    this.showRing();
  }

  positionOf(event) {
    const { left, top } = this.view.canvas.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  point(event) {
    this.hover = event && this.positionOf(event);
    this.showRing();
  }

  /** Shows the size of the brush where the pointer is. */
  showRing() {
    const { canvas } = this.view;
    const moves = this.action === 'pan' || this.action === 'pinch';
    const paints = this.mayPaint() && this.gesture && !this.space && !moves;
    canvas.dataset.cursor = paints ? 'paint' : this.action === 'pan' ? 'grabbing' : 'grab';
    this.ring.hidden = !(paints && this.hover);
    if (this.ring.hidden) return;
    const size = Math.max(6, this.tools.width ?? 0);
    this.ring.dataset.tool = this.tools.tool;
    this.ring.style.width = this.ring.style.height = `${size}px`;
    this.ring.style.transform = `translate(${this.hover.x - size / 2}px, ${this.hover.y - size / 2}px)`;
  }
}
