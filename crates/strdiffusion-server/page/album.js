import { byId, show } from './dom.js';
import { zip } from './zip.js';

/** Several photos in a row: which are done, which wait, and the results to take home together. */
export class Album {
  /** @param {(index: number) => void} turnTo asked to open a photo of the row */
  constructor(turnTo) {
    this.entries = []; // { blob, name, painted, result: { name, blob } | null }
    this.at = 0;
    this.turnTo = turnTo;
  }

  /** Whether there is more than one photo. */
  get isRow() {
    return this.entries.length > 1;
  }

  get current() {
    return this.entries[this.at];
  }

  /** Photos with a result that was kept. */
  get kept() {
    return this.entries.filter(({ result }) => result);
  }

  /** Index of the next photo without a result; -1 if there is none. */
  get next() {
    const { length } = this.entries;
    const after = Array.from({ length }, (_, i) => (this.at + 1 + i) % length);
    return after.find((index) => !this.entries[index].result) ?? -1;
  }

  /**
   * Adds photos to the row; one alone takes the place of one alone.
   * @param {Array<{blob: Blob, name: string}>} photos
   * @returns {number} the index of the first of them
   */
  add(photos) {
    if (photos.length === 1 && !this.isRow) this.entries = [];
    const first = this.entries.length;
    this.entries.push(...photos.map((photo) => ({ ...photo, painted: null, result: null })));
    this.refresh();
    return first;
  }

  /** Takes a photo out of the row, such as one that is no picture. */
  remove(index) {
    this.entries.splice(index, 1);
    if (index < this.at) this.at -= 1;
    this.refresh();
  }

  /** All results that were kept, in one file. */
  download() {
    const used = new Set();
    return zip(this.kept.map(({ result }) => ({ blob: result.blob, name: unlike(used, result.name) })));
  }

  /** Brings the list up to date. */
  refresh() {
    show(this.isRow, byId('album'));
    byId('album-list').replaceChildren(...this.entries.map((entry, index) => this.item(entry, index)));
    const count = this.kept.length;
    byId('album-zip').disabled = count === 0;
    byId('album-zip').textContent = count === 0 ? 'Download as ZIP' : `Download ${count} as ZIP`;
  }

  item({ name, result }, index) {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'quiet';
    button.textContent = name;
    const state = document.createElement('span');
    state.className = 'state';
    state.textContent = index === this.at ? 'open' : result ? 'filled' : 'waiting';
    button.append(state);
    if (index === this.at) button.setAttribute('aria-current', 'true');
    button.addEventListener('click', () => index !== this.at && this.turnTo(index));
    const item = document.createElement('li');
    item.append(button);
    return item;
  }
}

/** The name, with a number where it was used before. */
function unlike(used, name) {
  let other = name;
  for (let n = 2; used.has(other); n++) other = name.replace(/(\.[^.]*)?$/, (ending) => `-${n}${ending}`);
  used.add(other);
  return other;
}
