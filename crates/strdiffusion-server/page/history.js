const MOST_BYTES = 256 * 2 ** 20;
const MOST_ENTRIES = 200;

/**
 * Undo and redo. An entry is `{ label, bytes, swap }`; `swap()` takes the change back and, called
 * again, brings it again.
 */
export class History {
  /** @param {() => void} changed called after every change */
  constructor(changed) {
    this.changed = changed;
    this.done = [];
    this.undone = [];
  }

  /** Adds something that was just done. The oldest entries go when they need too much memory. */
  push(entry) {
    this.done.push(entry);
    this.undone = [];
    let bytes = this.done.reduce((sum, { bytes }) => sum + bytes, 0);
    while (this.done.length > 1 && (bytes > MOST_BYTES || this.done.length > MOST_ENTRIES)) {
      bytes -= this.done.shift().bytes;
    }
    this.changed();
  }

  /** Forgets everything. */
  clear() {
    this.done = [];
    this.undone = [];
    this.changed();
  }

  /** Takes the last change back and returns its label, or null. */
  undo() {
    return this.move(this.done, this.undone);
  }

  /** Brings back what was taken back last and returns its label, or null. */
  redo() {
    return this.move(this.undone, this.done);
  }

  get canUndo() {
    return this.done.length > 0;
  }

  get canRedo() {
    return this.undone.length > 0;
  }

  move(from, to) {
    const entry = from.pop();
    if (!entry) return null;
    entry.swap();
    to.push(entry);
    this.changed();
    return entry.label;
  }
}
