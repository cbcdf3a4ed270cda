const NEAR = 10; // screen pixels at which a polygon closes

/** Rectangle, lasso and polygon: an outline whose inside becomes hole or is to be avoided, or is taken away. */
export class Outline {
  /**
   * @param {import('./canvas-view.js').CanvasView} view
   * @param {import('./painting.js').Painting} painting
   * @param {import('./tools.js').Tools} tools
   */
  constructor(view, painting, tools) {
    Object.assign(this, { view, painting, tools });
    this.points = null; // photo positions
  }

  get started() {
    if (this.kind === 'polygon') {
      return this.points
        ? `Corner ${this.points.length} set. Enter at the last or first corner closes the polygon.`
        : 'Polygon closed.';
    }
    return this.kind === 'rectangle'
      ? 'Rectangle started. Arrow keys move its other corner, Enter ends it.'
      : 'Lasso started. Arrow keys draw, Enter closes it.';
  }

  /** Whether corners are still to come though the pointer is up. */
  get isOpen() {
    return this.points !== null && this.kind === 'polygon';
  }

  begin(position, erases) {
    if (this.isOpen) return this.addCorner(position);
    this.kind = this.tools.tool;
    this.erases = erases || this.tools.takesAway;
    this.layer = this.tools.layerOf(this.painting);
    this.points = [this.photoPoint(position)];
    this.show();
  }

  addCorner(position) {
    const isNear = (point) => {
      const [x, y] = this.view.viewport.toScreen(...point);
      return Math.hypot(position.x - x, position.y - y) < NEAR;
    };
    if (isNear(this.points[0]) || isNear(this.points.at(-1))) return this.close();
    this.points.push(this.photoPoint(position));
    this.show();
  }

  drag(position) {
    if (!this.points) return;
    const point = this.photoPoint(position);
    if (this.kind === 'lasso') this.points.push(point);
    else if (this.kind === 'rectangle') this.points = rectangle(this.points[0], point);
    this.show(point);
  }

  /** Shows the line from a polygon's last corner to the pointer. */
  hover(position) {
    if (this.isOpen) this.show(this.photoPoint(position));
  }

  end() {
    if (this.points && this.kind !== 'polygon') this.close();
  }

  /** Fills what the outline surrounds; a line alone surrounds nothing. */
  close() {
    const { points, kind, layer, painting } = this;
    this.clear();
    if (!points || points.length < 3) return painting.changed();
    painting.begin();
    layer.area(points, this.erases);
    painting.end(kind);
  }

  /** Takes back what the last press began: of a polygon its last corner. */
  cancel() {
    if (this.kind === 'polygon' && this.points?.length > 1) {
      this.points.pop();
      return this.show();
    }
    this.clear();
  }

  clear() {
    this.points = null;
    this.show();
  }

  show(next) {
    const isRubber = next && this.kind === 'polygon';
    this.view.outline = this.points && (isRubber ? [...this.points, next] : this.points);
    this.view.redraw();
  }

  photoPoint({ x, y }) {
    return this.view.viewport.toPhoto(x, y);
  }
}

function rectangle([x0, y0], [x1, y1]) {
  return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
}
