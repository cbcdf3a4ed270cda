import { announce, complain } from './announce.js';
import { getCandidate } from './api.js';
import { byId } from './dom.js';

const REST_MS = 200; // so long the slider rests before a picture is asked for

// By confidence. At one half a fill is as likely to look wrong as right.
const MATCHES = [
  [2 / 3, 'good match'],
  [1 / 2, 'fair match'],
  [0, 'poor match, nothing like it in the photograph'],
];

/** How much detail the result that is shown has from the photograph around the hole. */
export class Detail {
  /** @param {import('./results.js').Results} results told of other pictures of a candidate */
  constructor(results) {
    this.results = results;
    this.candidate = null;
    this.slider = byId('detail');
    this.slider.addEventListener('input', () => this.moved());
  }

  /** Takes a candidate; its `share` of detail is 1 until a person wants another. */
  of(candidate) {
    this.stop();
    this.candidate = candidate;
    this.wait(false);
    const holes = candidate.detail;
    this.slider.disabled = holes.length === 0;
    this.set(holes.length === 0 ? 0 : candidate.share);
    const note = byId('detail-note');
    note.textContent = `Detail: ${matchOf(holes)}.`;
    note.title = titleOf(holes);
  }

  /** Waits for no picture any more. */
  stop() {
    if (!this.pending) return;
    clearTimeout(this.timer);
    this.pending.abort();
    this.settle();
  }

  settle() {
    this.pending = null;
    this.wait(false);
  }

  set(share) {
    this.slider.value = String(Math.round(100 * share));
    this.refresh();
  }

  refresh() {
    const percent = this.slider.value;
    byId('detail-value').textContent = `${percent} %`;
    this.slider.setAttribute('aria-valuetext', `${percent} percent`);
  }

  moved() {
    this.refresh();
    this.stop();
    const share = Number(this.slider.value) / 100;
    if (share === this.candidate.share) return;
    this.wait(true);
    this.pending = new AbortController();
    this.timer = setTimeout(() => this.fetch(share, this.pending.signal), REST_MS);
  }

  async fetch(share, signal) {
    const { candidate, results } = this;
    try {
      const blob = await getCandidate(results.job, candidate.index, { detail: share, signal });
      if (!(await results.replace(candidate, blob, signal))) return;
      candidate.share = share;
      this.settle();
      announce(`Shown with ${Math.round(100 * share)} percent of the detail.`);
    } catch (error) {
      if (signal.aborted) return;
      this.settle();
      this.set(candidate.share);
      this.slider.disabled = error.code === 'not_found';
      complain(
        error.code === 'not_found'
          ? 'The server no longer has this fill, so its detail stays as it is.'
          : error.message,
      );
    }
  }

  /** Nothing can be taken while the picture that is shown is not the one that was asked for. */
  wait(waiting) {
    byId('results').setAttribute('aria-busy', String(waiting));
    byId('continue').disabled = waiting;
    if (waiting) byId('download').removeAttribute('href');
    else byId('download').href = this.candidate.url;
  }
}

const leastOf = (holes) => Math.min(...holes.map(({ confidence }) => confidence));

/** How well the photograph served, in words; the worst hole counts. */
function matchOf(holes) {
  if (holes.length === 0) return 'none, there is too little photograph around the hole';
  return MATCHES.find(([least]) => leastOf(holes) >= least)[1];
}

function titleOf(holes) {
  if (holes.length === 0) return '';
  const which = holes.length === 1 ? '' : `, the least of ${holes.length} holes`;
  return `Confidence ${leastOf(holes).toFixed(2)} from 0 to 1${which}`;
}
