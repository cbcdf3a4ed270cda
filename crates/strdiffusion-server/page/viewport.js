const MARGIN = 24;
const CLOSEST = 32; // screen pixels per photo pixel
const NONE = { left: 0, top: 0, right: 0, bottom: 0 };

/** Where the photo lies on the screen: screen = photo · scale + offset, in CSS pixels. */
export class Viewport {
  constructor() {
    this.width = 1;
    this.height = 1;
    this.photo = { width: 1, height: 1 };
    this.margins = NONE; // what is added around the photo, in its pixels
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.fitted = true;
  }

  /** Takes the size of the screen area. A photo that was fitted stays so. */
  resize(width, height) {
    this.width = width;
    this.height = height;
    if (this.fitted) this.fit();
    else this.hold();
  }

  /** Takes another photo. */
  show(photo) {
    this.photo = photo;
    this.margins = NONE;
    this.fit();
  }

  /** Takes other margins; a photo that was fitted stays so. */
  surround(margins) {
    this.margins = margins;
    if (this.fitted) this.fit();
  }

  /** Photo and margins together: from the photo's corner, in its pixels. */
  get whole() {
    const { left, top, right, bottom } = this.margins;
    const { width, height } = this.photo;
    return { x: -left, y: -top, width: width + left + right, height: height + top + bottom };
  }

  get fitScale() {
    const margin = Math.min(MARGIN, this.width / 30);
    const { width, height } = this.whole;
    return Math.min((this.width - 2 * margin) / width, (this.height - 2 * margin) / height, CLOSEST);
  }

  /** Shows the whole photo. */
  fit() {
    this.scale = Math.max(this.fitScale, 1e-4);
    const { x, y, width, height } = this.whole;
    this.x = (this.width - width * this.scale) / 2 - x * this.scale;
    this.y = (this.height - height * this.scale) / 2 - y * this.scale;
    this.fitted = true;
  }

  /** Zooms so that the point of the photo under (screenX, screenY) stays there. */
  zoom(factor, screenX = this.width / 2, screenY = this.height / 2) {
    const scale = Math.min(CLOSEST, Math.max(this.fitScale / 2, this.scale * factor));
    this.x = screenX - ((screenX - this.x) * scale) / this.scale;
    this.y = screenY - ((screenY - this.y) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.hold();
  }

  /** Moves the photo. */
  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
    this.hold();
  }

  /** Keeps some of the photo on the screen. */
  hold() {
    const keep = (offset, photo, screen) => {
      const visible = Math.min(80, photo);
      return Math.min(screen - visible, Math.max(visible - photo, offset));
    };
    this.x = keep(this.x, this.photo.width * this.scale, this.width);
    this.y = keep(this.y, this.photo.height * this.scale, this.height);
  }

  /** Screen to photo. */
  toPhoto(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  /** Photo to screen. */
  toScreen(x, y) {
    return [x * this.scale + this.x, y * this.scale + this.y];
  }

  /** The part of the photo that is on the screen, in photo pixels; null if none is. */
  visible() {
    const [left, top] = this.toPhoto(0, 0).map((value) => Math.max(0, Math.floor(value)));
    const [r, b] = this.toPhoto(this.width, this.height);
    const right = Math.min(this.photo.width, Math.ceil(r));
    const bottom = Math.min(this.photo.height, Math.ceil(b));
    return right > left && bottom > top ? { left, top, right, bottom } : null;
  }
}
