import { byId, show } from './dom.js';

const SIDES = ['left', 'top', 'right', 'bottom'];
/** How far each key moves a side outward, in hundredths of the photo's side. */
const KEYS = { PageUp: 10, PageDown: -10, Home: -Infinity };
const OUTWARD = { left: 'ArrowLeft', top: 'ArrowUp', right: 'ArrowRight', bottom: 'ArrowDown' };
const INWARD = { left: 'ArrowRight', top: 'ArrowDown', right: 'ArrowLeft', bottom: 'ArrowUp' };

/** Handles on the photo's four sides: pulled outward they add to it. */
export class Extend {
  /**
   * @param {import('./canvas-view.js').CanvasView} view
   * @param {import('./painting.js').Painting} painting
   */
  constructor(view, painting) {
    Object.assign(this, { view, painting });
    for (const side of SIDES) this.listen(side, byId(`extend-${side}`));
    painting.addEventListener('margins', () => this.tell());
    painting.addEventListener('photo', () => this.tell());
  }

  /** Shows the handles, or takes them away. */
  show(shown) {
    show(shown, byId('extend-handles'));
    if (shown) this.place();
  }

  /** Puts the handles where the photo is. */
  place() {
    const { viewport } = this.view;
    const { x, y, width, height } = viewport.whole;
    const [left, top] = viewport.toScreen(x, y);
    const [right, bottom] = viewport.toScreen(x + width, y + height);
    const { style } = byId('extend-handles');
    const inside = (value, most) => `${Math.min(most - 16, Math.max(16, value))}px`;
    style.setProperty('--left', inside(left, viewport.width));
    style.setProperty('--right', inside(right, viewport.width));
    style.setProperty('--top', inside(top, viewport.height));
    style.setProperty('--bottom', inside(bottom, viewport.height));
    style.setProperty('--across', inside((left + right) / 2, viewport.width));
    style.setProperty('--down', inside((top + bottom) / 2, viewport.height));
  }

  /** The longest that a side may reach: as far as the photo itself. */
  most(side) {
    const { width, height } = this.painting.photo;
    return side === 'left' || side === 'right' ? width : height;
  }

  with(side, pixels) {
    const margin = Math.round(Math.min(this.most(side), Math.max(0, pixels)));
    return { ...this.painting.margins, [side]: margin };
  }

  listen(side, handle) {
    const sign = side === 'left' || side === 'top' ? -1 : 1;
    const along = ({ clientX, clientY }) => (side === 'left' || side === 'right' ? clientX : clientY);
    let drag = null;
    handle.addEventListener('pointerdown', (event) => {
      event.preventDefault();
      handle.focus({ preventScroll: true });
      handle.setPointerCapture(event.pointerId);
      this.view.viewport.fitted = false; // the photo stays under the pointer
      drag = { from: along(event), before: this.painting.margins };
    });
    handle.addEventListener('pointermove', (event) => {
      if (!drag) return;
      const moved = (sign * (along(event) - drag.from)) / this.view.viewport.scale;
      this.painting.stretch(this.with(side, drag.before[side] + moved));
    });
    for (const name of ['pointerup', 'pointercancel']) {
      handle.addEventListener(name, () => {
        if (!drag) return;
        const { before } = drag;
        drag = null;
        this.view.move((viewport) => viewport.fit());
        if (this.painting.margins[side] !== before[side]) this.painting.extend(this.painting.margins, before);
      });
    }
    handle.addEventListener('keydown', (event) => {
      const percent = { ...KEYS, [OUTWARD[side]]: 1, [INWARD[side]]: -1 }[event.key];
      if (percent === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      const step = (percent * (event.shiftKey ? 5 : 1) * this.most(side)) / 100;
      this.painting.extend(this.with(side, this.painting.margins[side] + step));
      this.view.move((viewport) => viewport.fit());
    });
  }

  tell() {
    const { margins, photo } = this.painting;
    if (!photo) return;
    for (const side of SIDES) {
      const handle = byId(`extend-${side}`);
      handle.setAttribute('aria-valuemax', String(this.most(side)));
      handle.setAttribute('aria-valuenow', String(margins[side]));
      handle.setAttribute('aria-valuetext', `${margins[side]} pixels`);
    }
  }
}
