import { deleteJob } from './api.js';
import { Detail } from './detail.js';
import { byId, show } from './dom.js';
import { readPhoto, stemOf } from './photo.js';

const THUMB = 144;

/** The candidates of a fill: thumbnails to pick from, the one picked, its detail, its download. */
export class Results {
  /**
   * @param {import('./painting.js').Painting} painting
   * @param {import('./compare.js').Compare} compare
   * @param {import('./replay.js').Replay} replay
   */
  constructor(painting, compare, replay) {
    this.painting = painting;
    this.compare = compare;
    this.replay = replay;
    this.list = []; // { index, seed, detail, share, blob, url }
    this.chosen = null; // { candidate, photo }
    this.job = null; // the server keeps it for the sake of its detail
    this.detail = new Detail(this);
    addEventListener('pagehide', () => this.forgetJob());
  }

  /** Forgets the candidates of the last fill. */
  clear() {
    this.leave();
    this.forgetJob();
    this.choosing = null;
    this.replay.clear();
    this.chosen?.photo.close();
    this.chosen = null;
    for (const { url } of this.list) URL.revokeObjectURL(url);
    this.list = [];
    byId('thumbs').replaceChildren();
  }

  /** The results are no longer looked at. */
  leave() {
    this.compare.with(null);
    this.detail.stop();
  }

  forgetJob() {
    if (this.job) void deleteJob(this.job).catch(() => {});
    this.job = null;
  }

  /** Adds a candidate that was completed. */
  async add({ index, seed, detail, blob }) {
    const candidate = { index, seed, detail, share: 1, blob, url: URL.createObjectURL(blob) };
    this.list.push(candidate);
    this.list.sort((a, b) => a.index - b.index);
    const photo = await readPhoto(blob, `candidate ${index + 1}`);
    candidate.label = this.thumbnail(candidate, photo);
    photo.close();
    byId('thumbs').replaceChildren(...this.list.flatMap(({ label }) => label ?? []));
    show(this.list.length > 1, byId('thumbs').parentElement);
  }

  /** Shows a candidate beside the photo. */
  async choose(candidate) {
    this.choosing = candidate;
    candidate.label.querySelector('input').checked = true;
    const photo = await readPhoto(candidate.blob, this.nameOf(candidate));
    if (this.choosing !== candidate) return photo.close(); // another was picked meanwhile
    this.present(candidate, photo);
    this.replay.show(candidate.index);
    byId('result-note').textContent =
      `Seed ${candidate.seed} · ${photo.width} × ${photo.height} pixels. ` +
      'Pixels outside the hole are unchanged, but for a feather.';
    byId('download').download = this.nameOf(candidate);
    this.detail.of(candidate);
  }

  /**
   * Puts another picture in the place of the candidate that is shown.
   * @returns {Promise<boolean>} whether it is shown now; not where it was aborted
   */
  async replace(candidate, blob, signal) {
    const photo = await readPhoto(blob, this.nameOf(candidate));
    if (signal.aborted) {
      photo.close();
      return false;
    }
    URL.revokeObjectURL(candidate.url);
    Object.assign(candidate, { blob, url: URL.createObjectURL(blob) });
    this.drawThumbnail(candidate.label.querySelector('canvas'), photo);
    this.present(candidate, photo);
    return true;
  }

  present(candidate, photo) {
    const previous = this.chosen?.photo;
    this.chosen = { candidate, photo };
    this.compare.with(photo);
    if (previous !== photo) previous?.close();
  }

  /** The result that is shown, as a file. */
  get kept() {
    const { candidate } = this.chosen;
    return { name: this.nameOf(candidate), blob: candidate.blob };
  }

  /** Shows again what was shown last. */
  again() {
    this.present(this.chosen.candidate, this.chosen.photo);
    this.detail.of(this.chosen.candidate);
  }

  /** Hands over the result that is shown, so that it can become the photo. */
  takeChosen() {
    const { candidate, photo } = this.chosen;
    this.chosen = null;
    photo.name = this.nameOf(candidate);
    return photo;
  }

  nameOf({ seed }) {
    const stem = stemOf(this.painting.photo.name).replace(/(-filled-\d+)+$/, '');
    return `${stem}-filled-${seed}.png`;
  }

  drawThumbnail(canvas, photo) {
    canvas.width = canvas.height = THUMB;
    const around = this.painting.extends ? null : this.painting.hole.bounds();
    drawAround(canvas.getContext('2d'), photo, around);
  }

  /** A radio button with the filled place as its picture. */
  thumbnail(candidate, photo) {
    const canvas = document.createElement('canvas');
    this.drawThumbnail(canvas, photo);
    const input = document.createElement('input');
    Object.assign(input, { type: 'radio', name: 'candidate', value: String(candidate.index) });
    input.setAttribute('aria-label', `Candidate ${candidate.index + 1}, seed ${candidate.seed}`);
    input.addEventListener('change', () => this.choose(candidate));
    const label = document.createElement('label');
    label.title = `Seed ${candidate.seed}`;
    label.append(input, canvas);
    return label;
  }
}

/** Draws the square around a hole, with as much again of what surrounds it. */
function drawAround(ctx, photo, bounds) {
  const { x, y, width, height } = bounds ?? { x: 0, y: 0, width: photo.width, height: photo.height };
  const side = Math.min(1.6 * Math.max(width, height), Math.max(photo.width, photo.height));
  const place = (middle, length) =>
    length > side ? Math.min(length - side, Math.max(0, middle - side / 2)) : (length - side) / 2;
  const scale = THUMB / side;
  ctx.scale(scale, scale);
  ctx.translate(-place(x + width / 2, photo.width), -place(y + height / 2, photo.height));
  photo.draw(ctx, scale, 0, 0, photo.width, photo.height);
}
