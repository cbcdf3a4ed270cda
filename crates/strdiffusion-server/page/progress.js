import { byId, show } from './dom.js';

/** What is seen while a fill runs: both processes, how far it is, how long it will take. */
export class Progress {
  /** Shows the card, before anything is known. */
  start(text) {
    this.say(text);
    byId('progress-bar').removeAttribute('value');
    for (const name of ['texture', 'structure']) this.picture(name, null);
    show(true, byId('progress-card'));
  }

  /** Takes the card away. */
  stop() {
    show(false, byId('progress-card'));
  }

  /** A `state` event. */
  state({ state, position }) {
    if (state !== 'queued') return;
    this.say(position > 0 ? `Waiting: ${position} before this one.` : 'Waiting for its turn…');
  }

  /** A `step` event. */
  step(event) {
    const { candidate, candidates, region, regions, step, total, eta_seconds: eta } = event;
    byId('progress-bar').max = total;
    byId('progress-bar').value = step;
    if (event.texture) this.picture('texture', event.texture);
    if (event.structure) this.picture('structure', event.structure);
    const parts = [`Step ${step} of ${total}`];
    if (candidates > 1) parts.push(`candidate ${candidate + 1} of ${candidates}`);
    if (regions > 1) parts.push(`region ${region + 1} of ${regions}`);
    if (eta !== null && eta !== undefined && step < total) parts.push(remaining(eta));
    this.say(parts.join(' · '));
  }

  say(text) {
    byId('progress-text').textContent = text;
  }

  picture(name, source) {
    const image = byId(`pane-${name}`);
    if (source) image.src = source;
    else image.removeAttribute('src');
  }
}

/**
 * How long something will still take, in words.
 * @param {number} seconds
 */
export function remaining(seconds) {
  if (seconds < 1) return 'less than a second left';
  if (seconds < 90) return `about ${Math.round(seconds)} s left`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min left`;
  return `about ${Math.round(seconds / 3600)} h left`;
}
