/** Brush, eraser and structure pen: what is drawn while the pointer is down. */
export class Stroke {
  /**
   * @param {import('./canvas-view.js').CanvasView} view
   * @param {import('./painting.js').Painting} painting
   * @param {import('./tools.js').Tools} tools
   */
  constructor(view, painting, tools) {
    Object.assign(this, { view, painting, tools });
    this.last = null; // screen position
  }

  get started() {
    return 'Stroke started. Arrow keys paint, Enter ends it.';
  }

  begin(position, erases) {
    this.erases = erases || this.tools.tool === 'eraser';
    this.painting.begin();
    this.last = position;
    this.drag(position);
  }

  drag(position) {
    const { viewport } = this.view;
    const [x0, y0] = viewport.toPhoto(this.last.x, this.last.y);
    const [x1, y1] = viewport.toPhoto(position.x, position.y);
    this.tools.stroke(this.painting, x0, y0, x1, y1, viewport.scale, this.erases);
    this.last = position;
    this.view.redraw();
  }

  end() {
    this.painting.end(this.erases ? 'eraser' : this.tools.tool);
  }

  cancel() {
    this.painting.abandon();
  }
}
