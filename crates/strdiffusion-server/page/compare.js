import { byId, show } from './dom.js';

const KEYS = {
  ArrowLeft: -2,
  ArrowRight: 2,
  ArrowDown: -2,
  ArrowUp: 2,
  PageDown: -10,
  PageUp: 10,
  Home: -100,
  End: 100,
};

const LABEL = 110; // screen pixels

/** The line between before and after: dragged, or moved with the arrow keys. */
export class Compare {
  /** @param {import('./canvas-view.js').CanvasView} view */
  constructor(view) {
    this.view = view;
    this.fraction = 0.5; // of the visible part of the photo
    this.divider = byId('divider');
    this.divider.addEventListener('pointerdown', (event) => {
      this.divider.setPointerCapture(event.pointerId);
      this.dragged = true;
      event.preventDefault();
      this.divider.focus({ preventScroll: true });
    });
    this.divider.addEventListener('pointermove', (event) => {
      if (this.dragged) this.follow(event.clientX);
    });
    for (const name of ['pointerup', 'pointercancel']) {
      this.divider.addEventListener(name, () => {
        this.dragged = false;
      });
    }
    this.divider.addEventListener('keydown', (event) => {
      const step = KEYS[event.key];
      if (step === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      this.set(this.fraction + (event.shiftKey ? 5 * step : step) / 100);
    });
  }

  /**
   * Compares the photo with a result; null ends it.
   * @param {import('./photo.js').Photo | null} photo
   */
  with(photo) {
    this.view.comparison = photo && { photo, split: 0 };
    show(photo !== null, byId('compare'));
    this.view.redraw();
  }

  /** Puts the line beside a part of the photo, so that all of it is seen as it is after. */
  beside({ x }) {
    const { viewport } = this.view;
    const [from, to] = this.span();
    const [left] = viewport.toScreen(x, 0);
    const fraction = (left - 12 - from) / Math.max(1, to - from);
    this.set(Math.min(0.96, Math.max(0.04, fraction)));
  }

  follow(clientX) {
    const { left } = this.view.canvas.getBoundingClientRect();
    const [from, to] = this.span();
    this.set((clientX - left - from) / Math.max(1, to - from));
  }

  set(fraction) {
    this.fraction = Math.min(1, Math.max(0, fraction));
    this.view.redraw();
  }

  /** Shows the photo as it was for as long as a button is pressed. */
  showBeforeWhilePressed(button) {
    const isPress = ({ key }) => key === 'Enter' || key === ' ';
    button.addEventListener('pointerdown', () => this.showBefore(true));
    button.addEventListener('keydown', (event) => {
      if (isPress(event)) this.showBefore(true);
    });
    for (const name of ['pointerup', 'pointercancel', 'pointerleave', 'keyup', 'blur']) {
      button.addEventListener(name, () => this.showBefore(false));
    }
  }

  /** Shows the photo as it was, until told to go back. */
  showBefore(shown) {
    if (shown) this.resting ??= this.fraction;
    else if (this.resting === undefined) return;
    this.set(shown ? 1 : this.resting);
    if (!shown) delete this.resting;
  }

  /** From where to where the photo is visible on the screen. */
  span() {
    const { viewport } = this.view;
    const { x, y, width } = viewport.whole;
    const [left] = viewport.toScreen(x, y);
    const [right] = viewport.toScreen(x + width, y);
    return [Math.max(0, left), Math.min(viewport.width, right)];
  }

  place() {
    const { comparison, viewport } = this.view;
    if (!comparison) return;
    const [from, to] = this.span();
    comparison.split = from + this.fraction * (to - from);
    const { x, y, height } = viewport.whole;
    const [, top] = viewport.toScreen(x, y);
    const [, bottom] = viewport.toScreen(x, y + height);
    const { style } = byId('compare');
    style.setProperty('--split', `${comparison.split}px`);
    style.setProperty('--left', `${from}px`);
    style.setProperty('--right', `${viewport.width - to}px`);
    style.setProperty('--top', `${Math.max(0, top)}px`);
    style.setProperty('--bottom', `${Math.max(0, viewport.height - bottom)}px`);
    show(comparison.split - from > LABEL, byId('label-before')); // else the line would cross it
    show(to - comparison.split > LABEL, byId('label-after'));
    const percent = Math.round(100 * this.fraction);
    this.divider.setAttribute('aria-valuenow', String(percent));
    this.divider.setAttribute('aria-valuetext', `${percent} percent before, ${100 - percent} percent after`);
  }
}
