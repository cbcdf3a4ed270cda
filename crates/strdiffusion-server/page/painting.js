import { Layer, TILE_BYTES } from './mask.js';
import { History } from './history.js';
import { decode } from './photo.js';

/** What a person paints: the hole, edges inside it, and what nothing is copied from. */
const LAYERS = ['hole', 'structure', 'avoid'];
const NONE = { left: 0, top: 0, right: 0, bottom: 0 };

/**
 * What a person works on: a photo, the hole painted over it, the edges drawn inside it and what the
 * fill shall not be copied from, with undo. Opening another photo is a change like any other, so it
 * can be taken back too.
 */
export class Painting extends EventTarget {
  constructor() {
    super();
    this.photo = null;
    this.hole = null;
    this.structure = null;
    this.avoid = null;
    this.masked = false; // whether a mask said what the hole is, rather than a hand
    this.margins = NONE; // what is to be added around the photo, in its pixels; all of it hole
    this.history = new History(() => this.changed());
  }

  changed() {
    this.dispatchEvent(new Event('change'));
  }

  /** Whether something is painted that can be filled. */
  get hasHole() {
    return this.hole !== null && (this.extends || !this.hole.isEmpty);
  }

  /** Whether nothing is painted, and nothing to be added around the photo. */
  get isBlank() {
    return !this.extends && LAYERS.every((name) => this[name]?.isEmpty ?? true);
  }

  /** Whether something is to be added around the photo. */
  get extends() {
    return Object.values(this.margins).some((margin) => margin > 0);
  }

  /** Takes another photo, without a hole. */
  open(photo) {
    let other = this.exchange(unpainted(photo));
    if (!other.photo) return this.changed();
    this.history.push({
      label: 'photo',
      bytes: 4 * other.photo.width * other.photo.height,
      swap: () => {
        other = this.exchange(other);
      },
    });
  }

  /**
   * Takes another photo in a row, and what was painted on it the last time. What was done before
   * cannot be undone any more.
   * @param {object | null} painted as `painted` gave it
   */
  turnTo(photo, painted) {
    const before = this.exchange({ ...unpainted(photo), ...painted });
    this.history.clear();
    before.photo?.close();
  }

  /** What is painted, to be taken up again. */
  get painted() {
    const { hole, structure, avoid, margins, masked } = this;
    return { hole, structure, avoid, margins, masked };
  }

  exchange({ photo, ...painted }) {
    const before = { photo: this.photo, ...this.painted };
    Object.assign(this, { photo, ...painted });
    this.dispatchEvent(new Event('photo'));
    return before;
  }

  /** Shows other margins while they are being changed. */
  stretch(margins) {
    this.margins = margins;
    this.dispatchEvent(new Event('margins'));
  }

  /** Takes other margins, as one step of undo from those before. */
  extend(margins, before = this.margins) {
    this.stretch(margins);
    let other = before;
    this.history.push({
      label: 'extension',
      bytes: 64,
      swap: () => {
        const now = this.margins;
        this.stretch(other);
        other = now;
      },
    });
  }

  /** Starts a change of what is painted. */
  begin() {
    for (const name of LAYERS) this[name].begin();
  }

  /** Ends a change, as one step of undo. */
  end(label) {
    this.keep(label, LAYERS.map((name) => [this[name], this[name].end()]));
  }

  /** Ends a change and takes it back, as if it had not been begun. */
  abandon() {
    for (const name of LAYERS) {
      const patch = this[name].end();
      if (patch) this[name].swap(patch);
    }
    this.changed();
  }

  /** Removes all that is painted, and what was to be added around the photo. */
  clear() {
    if (this.extends) this.extend(NONE);
    this.begin();
    for (const name of LAYERS) this[name].clear();
    this.end('clear');
  }

  /**
   * Takes the hole from a mask file: white = hole.
   * @param {Blob} blob
   * @param {string} name
   */
  async openMask(blob, name) {
    const { bitmap: picture } = await decode(blob, name);
    const { hole } = this;
    if (picture.width !== hole.width || picture.height !== hole.height) {
      throw new Error(
        `The mask is ${picture.width} × ${picture.height} pixels but the photo is ${hole.width} × ${hole.height}; they must have the same size.`,
      );
    }
    const white = (r, g, b, a) => a >= 128 && 0.299 * r + 0.587 * g + 0.114 * b >= 127.5;
    const { patch, count } = await hole.patchFrom(picture, white);
    picture.close();
    if (count === 0) throw new Error('The mask has no white pixels, so it marks no hole.');
    if (count === hole.width * hole.height) {
      throw new Error('The mask is white everywhere; something of the photo must be left to fill from.');
    }
    this.take(hole, patch, 'mask');
  }

  /** Takes the photo's transparent pixels as the hole. Returns whether there were any. */
  async holeFromTransparency() {
    const { hole, photo } = this;
    const { patch, count } = await hole.patchFrom(photo.full, (r, g, b, a) => a < 128);
    if (count > 0) this.take(hole, patch, 'transparent parts');
    return count > 0;
  }

  take(hole, patch, label) {
    if (hole !== this.hole) return; // another photo was opened meanwhile
    this.masked = true;
    this.keep(label, [[hole, hole.swap(patch)]]);
  }

  /**
   * Keeps a change that was made, as one step of undo.
   * @param {Array<[Layer, Map | null]>} all layers, and the patches that take their changes back
   */
  keep(label, all) {
    const changes = all.filter(([, patch]) => patch);
    if (changes.length === 0) return this.changed();
    const tiles = changes.flatMap(([, patch]) => [...patch.values()]);
    this.history.push({
      label,
      bytes: tiles.reduce((sum, tile) => sum + (tile ? TILE_BYTES : 64), 0),
      swap: () => {
        for (const change of changes) change[1] = change[0].swap(change[1]);
      },
    });
  }
}

function unpainted(photo) {
  return {
    photo,
    ...Object.fromEntries(LAYERS.map((name) => [name, new Layer(photo.width, photo.height)])),
    margins: NONE,
    masked: false,
  };
}
