import { createJob, deleteJob, getCandidate, getJob, openEvents } from './api.js';
import { pngFromLayer } from './png.js';

const ENDED = new Set(['done', 'failed', 'cancelled']);
const MOST_FAILURES = 4;

/**
 * Fills the hole: sends the painting, follows the job, fetches each candidate as it is ready.
 *
 * @param {import('./painting.js').Painting} painting
 * @param {object} settings as `Settings.read` gives them
 * @param {AbortSignal} signal cancels the job
 * @param {{state: Function, step: Function, candidate: Function}} on told what happens;
 *   `candidate` gets `{ index, seed, detail, blob }`
 * @returns {Promise<object>} the last state of the job, which the server keeps
 */
export async function fill(painting, settings, signal, on) {
  const form = await formFrom(painting, settings);
  signal.throwIfAborted();
  const { id } = await createJob(form, signal);
  const leave = () => void deleteJob(id).catch(() => {}); // nobody waits for it any more
  addEventListener('pagehide', leave);
  const fetches = new Map();
  const take = ({ index, seed, detail }) => {
    if (fetches.has(index)) return;
    fetches.set(
      index,
      getCandidate(id, index).then((blob) => on.candidate({ index, seed, detail, blob })),
    );
  };
  try {
    const state = await follow(id, signal, { ...on, candidate: take });
    const fetched = Promise.all(fetches.values());
    if (state.state === 'done') await fetched;
    else await fetched.catch(() => {}); // those that came are kept
    return state;
  } catch (error) {
    leave();
    throw error;
  } finally {
    removeEventListener('pagehide', leave);
  }
}

async function formFrom(painting, settings) {
  const { photo, hole, structure, avoid, margins } = painting;
  const form = new FormData();
  form.append('image', photo.blob, photo.name);
  if (!hole.isEmpty || !painting.extends) form.append('mask', await pngFromLayer(hole), 'mask.png');
  if (!structure.isEmpty) {
    form.append('structure', await pngFromLayer(structure.extended(margins)), 'structure.png');
  }
  if (!avoid.isEmpty) form.append('avoid', await pngFromLayer(avoid), 'avoid.png');
  if (painting.extends) {
    const { left, top, right, bottom } = margins;
    settings = { ...settings, extend: [left, top, right, bottom] };
  }
  form.append('settings', JSON.stringify(settings));
  return form;
}

/** Follows a job's events to its end. A broken connection is taken up again. */
function follow(id, signal, on) {
  return new Promise((resolve, reject) => {
    let failures = 0;
    let events = null;

    const leave = () => {
      events.close();
      signal.removeEventListener('abort', cancel);
    };
    const end = (state) => {
      leave();
      candidatesOf(state).forEach(on.candidate); // also those whose event was missed
      resolve(state);
    };
    const seen = (state) => {
      if (ENDED.has(state.state)) return end(state);
      candidatesOf(state).forEach(on.candidate);
      on.state(state);
    };
    const cancel = () => {
      leave();
      deleteJob(id).catch(() => {});
      resolve({ id, state: 'cancelled', candidates: [] });
    };
    const listen = () => {
      events = openEvents(id);
      const told = (name, handle) =>
        events.addEventListener(name, (event) => {
          failures = 0;
          handle(JSON.parse(event.data));
        });
      told('state', seen);
      told('step', on.step);
      told('candidate', on.candidate);
      for (const name of ENDED) told(name, end);
      events.onerror = lost;
    };
    const lost = async () => {
      const { readyState } = events;
      failures += 1;
      try {
        const state = await getJob(id);
        if (signal.aborted) return;
        seen(state);
        if (ENDED.has(state.state)) return;
        if (failures >= MOST_FAILURES) throw new Error('The connection to the server breaks off again and again; your painting is kept.');
        if (readyState === EventSource.CLOSED) setTimeout(() => signal.aborted || listen(), 1000);
      } catch (error) {
        if (signal.aborted || (error.code === 'offline' && failures < MOST_FAILURES && readyState !== EventSource.CLOSED)) return;
        leave();
        reject(error);
      }
    };
    if (signal.aborted) {
      deleteJob(id).catch(() => {});
      resolve({ id, state: 'cancelled', candidates: [] });
      return;
    }
    signal.addEventListener('abort', cancel);
    listen();
  });
}

/** A state's finished candidates; the address of each ends with its index. */
function candidatesOf(state) {
  return (state.candidates ?? []).map(({ seed, url, detail }) => ({ seed, detail, index: Number(url.split('/').pop()) }));
}
