import { byId, show } from './dom.js';

const MOST_FRAMES = 64; // of a candidate; a slow sampler has hundreds of steps

/** The steps of each candidate, kept so that a fill that was too quick to watch can be gone through. */
export class Replay {
  constructor() {
    this.reels = new Map(); // candidate → { frames, stride, seen }
    this.reel = null;
    byId('replay-step').addEventListener('input', () => this.refresh());
  }

  /** Forgets the steps of the last fill. */
  clear() {
    this.reels.clear();
    this.reel = null;
    show(false, byId('replay'));
  }

  /** Keeps a `step` event. */
  keep({ candidate, step, texture, structure }) {
    if (!texture || !structure) return;
    const reel = this.reels.get(candidate) ?? { frames: [], stride: 1, seen: 0 };
    this.reels.set(candidate, reel);
    if (reel.seen % reel.stride === 0) reel.frames.push({ step, texture, structure });
    else reel.frames[reel.frames.length - 1] = { step, texture, structure }; // the last is kept
    reel.seen += 1;
    if (reel.frames.length > MOST_FRAMES) {
      reel.frames = reel.frames.filter((_, index) => index % 2 === 0);
      reel.stride *= 2;
    }
  }

  /** Shows the steps of a candidate, the last one first. */
  show(candidate) {
    this.reel = this.reels.get(candidate) ?? null;
    show(this.reel !== null, byId('replay'));
    if (!this.reel) return;
    const slider = byId('replay-step');
    slider.max = this.reel.frames.length;
    slider.value = slider.max;
    show(this.reel.frames.length > 1, slider);
    this.refresh();
  }

  refresh() {
    const slider = byId('replay-step');
    const frame = this.reel.frames[Number(slider.value) - 1];
    byId('replay-texture').src = frame.texture;
    byId('replay-structure').src = frame.structure;
    slider.setAttribute('aria-valuetext', `step ${slider.value} of ${slider.max}`);
  }
}
