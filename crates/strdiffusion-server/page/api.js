import { askForToken, currentToken } from './token.js';

/** A request that failed, with one sentence for the person. */
export class ApiError extends Error {
  /**
   * @param {string} code the server's code, or `offline`
   * @param {string} message one plain sentence
   * @param {number} status the HTTP status, 0 where there was no answer
   */
  constructor(code, message, status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

const address = (path) => new URL(`v1/${path}`, document.baseURI);

async function request(path, options = {}) {
  for (;;) {
    const token = currentToken();
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    let response;
    try {
      response = await fetch(address(path), { ...options, headers });
    } catch (cause) {
      if (cause.name === 'AbortError') throw cause;
      throw new ApiError(
        'offline',
        'The server does not answer. Check that strdiffusion serve is still running; your painting is kept.',
      );
    }
    if (response.status === 401) {
      // Another request may have brought a token while this one was on its way.
      if (token !== currentToken() || (await askForToken(token !== null))) continue;
    }
    if (!response.ok) throw await errorFrom(response);
    return response;
  }
}

async function errorFrom(response) {
  try {
    const { error } = await response.json();
    return new ApiError(error.code, error.message, response.status);
  } catch {
    return new ApiError(
      'unexpected',
      `The server answered with an error it did not explain (HTTP ${response.status}).`,
      response.status,
    );
  }
}

/** The models that the server has loaded. */
export async function listModels(signal) {
  return (await (await request('models', { signal })).json()).models;
}

/** A photograph as PNG, where the browser cannot read its format. */
export async function convert(blob, name) {
  const form = new FormData();
  form.append('image', blob, name);
  return (await request('preview', { method: 'POST', body: form })).blob();
}

/**
 * Puts a fill in the server's queue.
 * @param {FormData} form
 * @param {AbortSignal} signal
 */
export async function createJob(form, signal) {
  return (await request('jobs', { method: 'POST', body: form, signal })).json();
}

/** How a job stands. */
export async function getJob(id) {
  return (await request(`jobs/${id}`)).json();
}

/** Cancels a job that waits or runs; forgets one that has ended. */
export async function deleteJob(id) {
  await request(`jobs/${id}`, { method: 'DELETE', keepalive: true });
}

/**
 * A candidate at full size.
 * @param {{detail?: number, signal?: AbortSignal}} options detail: another share of it, 0 to 1
 */
export async function getCandidate(id, index, { detail, signal } = {}) {
  const query = detail === undefined ? '' : `?detail=${detail}`;
  return (await request(`jobs/${id}/candidates/${index}${query}`, { signal })).blob();
}

/**
 * The stream of a job's events. EventSource cannot send headers, so the token goes in the address.
 * @returns {EventSource}
 */
export function openEvents(id) {
  const url = address(`jobs/${id}/events`);
  const token = currentToken();
  if (token) url.searchParams.set('token', token);
  return new EventSource(url);
}
