// A stand-in for `strdiffusion serve`: the same addresses, a plausible slow fill. The page can be
// worked on and tested with it without building the server.
//
//   node mock.mjs [--port 7861] [--token T]

import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PNG } from 'pngjs';

const PAGE = fileURLToPath(new URL('../page', import.meta.url));
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
};
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; " +
  "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const STEP_MS = 40;
const MODEL = {
  name: 'mock',
  resolution: 64,
  timesteps: 100,
  sampling: {},
  licence: 'CC0-1.0',
  device: 'cpu',
  defaults: { steps: 4, sampler: 'fast', resampling: 0 },
};

/**
 * Starts the stand-in.
 * @param {{port?: number, token?: string}} options port 0: any free one
 * @returns {Promise<{url: string, close: () => Promise<void>}>}
 */
export async function startMock({ port = 0, token = null } = {}) {
  const jobs = new Map();
  const server = createServer((request, response) => {
    answer(request, response, jobs, token).catch((error) => {
      fail(response, error.status ?? 500, error.code ?? 'internal', error.message);
    });
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

function json(response, status, value, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}

function fail(response, status, code, message) {
  json(response, status, { error: { code, message } });
}

async function answer(request, response, jobs, token) {
  const url = new URL(request.url, 'http://localhost');
  const parts = url.pathname.split('/').filter(Boolean);
  if (parts[0] !== 'v1') return file(response, url.pathname);
  const given = url.searchParams.get('token') ?? request.headers.authorization?.slice(7);
  if (token && given !== token) {
    throw new Refusal(401, 'unauthorized', 'This server needs a token; send it as Authorization: Bearer.');
  }
  const [, resource, id, part, index] = parts;
  if (resource === 'models') return json(response, 200, { models: [MODEL] });
  if (resource === 'jobs' && !id && request.method === 'POST') {
    const job = await create(request);
    jobs.set(job.id, job);
    void run(job);
    return json(response, 202, stateOf(job), { location: `/v1/jobs/${job.id}` });
  }
  if (resource === 'preview') return converted(request, response);
  const job = jobs.get(id);
  if (!job) throw new Refusal(404, 'not_found', 'There is no such job.');
  if (request.method === 'DELETE') {
    if (job.state === 'running') end(job, 'cancelled');
    else jobs.delete(id);
    return json(response, 200, stateOf(job));
  }
  if (part === 'events') return events(job, response);
  if (part === 'candidates') {
    const share = url.searchParams.get('detail');
    if (share !== null && !(share >= 0 && share <= 1)) {
      throw new Refusal(400, 'bad_settings', 'detail is a number from 0 to 1.');
    }
    const seed = job.settings.seed + Number(index);
    response.writeHead(200, { 'content-type': 'image/png' });
    return response.end(share === null ? job.pictures[Number(index)] : filled(job, seed, Number(share)));
  }
  return json(response, 200, stateOf(job));
}

async function file(response, path) {
  const name = path === '/' ? 'index.html' : normalize(path).replace(/^\/assets\//, '');
  try {
    const bytes = await readFile(join(PAGE, name));
    response.writeHead(200, {
      'content-type': TYPES[extname(name)] ?? 'application/octet-stream',
      'content-security-policy': CSP,
    });
    response.end(bytes);
  } catch {
    fail(response, 404, 'not_found', 'There is no such page.');
  }
}

async function formOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const { 'content-type': type } = request.headers;
  return new Response(Buffer.concat(chunks), { headers: { 'content-type': type } }).formData();
}

/** A gray picture for anything that begins as TIFF does. */
async function converted(request, response) {
  const image = (await formOf(request)).get('image');
  const start = Buffer.from(await image.slice(0, 4).arrayBuffer()).toString('latin1');
  if (start !== 'II*\0') throw new Refusal(400, 'bad_image', 'That is no picture.');
  const png = new PNG({ width: 40, height: 30 });
  png.data.fill(255);
  response.writeHead(200, { 'content-type': 'image/png' });
  response.end(PNG.sync.write(png));
}

/** The pixels on a larger canvas, which is white: in a mask, hole. */
function extended(png, [left, top, right, bottom]) {
  const larger = new PNG({ width: png.width + left + right, height: png.height + top + bottom });
  larger.data.fill(255);
  PNG.bitblt(png, larger, 0, 0, png.width, png.height, left, top);
  return larger;
}

async function create(request) {
  const form = await formOf(request);
  const bytes = async (name) => (form.get(name) ? Buffer.from(await form.get(name).arrayBuffer()) : null);
  const image = await bytes('image');
  const settings = { seed: 0, candidates: 1, steps: MODEL.defaults.steps, ...JSON.parse(form.get('settings') ?? '{}') };
  const isPng = image.subarray(1, 4).toString() === 'PNG';
  const sent = form.get('mask') && PNG.sync.read(await bytes('mask'));
  let photo = isPng ? PNG.sync.read(image) : new PNG({ width: sent.width, height: sent.height, fill: true });
  let mask = sent ?? new PNG({ width: photo.width, height: photo.height });
  if (photo.width !== mask.width || photo.height !== mask.height) {
    throw new Refusal(400, 'bad_mask', 'The mask is not of the size of the photograph.');
  }
  if (settings.extend) [photo, mask] = [photo, mask].map((png) => extended(png, settings.extend));
  return {
    id: randomUUID(),
    state: 'running',
    photo,
    mask,
    settings,
    step: 0,
    total: settings.steps * settings.candidates,
    pictures: [],
    listeners: new Set(),
    log: [],
  };
}

function stateOf(job) {
  const { id, state, step, total, settings, photo, pictures } = job;
  return {
    id,
    state,
    position: 0,
    step,
    total,
    elapsed_seconds: (step * STEP_MS) / 1000,
    eta_seconds: ((total - step) * STEP_MS) / 1000,
    width: photo.width,
    height: photo.height,
    candidates: pictures.map((_, i) => candidateOf(job, i)),
    error: null,
  };
}

function candidateOf(job, index) {
  const url = `/v1/jobs/${job.id}/candidates/${index}`;
  return { index, seed: job.settings.seed + index, url, detail: detailOf(job) };
}

/** The whole hole as one; none where the photo is too small to take detail from. */
function detailOf({ mask }) {
  const { width, height } = mask;
  if (width < 16 || height < 16) return [];
  const at = [];
  for (let i = 0; i < width * height; i++) if (mask.data[4 * i] >= 128) at.push([i % width, Math.floor(i / width)]);
  const [xs, ys] = [0, 1].map((axis) => at.map((place) => place[axis]).sort((a, b) => a - b));
  const [x, y] = [xs[0], ys[0]];
  const size = { width: xs.at(-1) - x + 1, height: ys.at(-1) - y + 1 };
  return [{ x, y, ...size, pixels: at.length, confidence: 0.62, trust: 0.1 }];
}

function tell(job, name, data) {
  const text = `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
  for (const response of job.listeners) response.write(text);
}

function end(job, state) {
  job.state = state;
  tell(job, state, stateOf(job));
  for (const response of job.listeners) response.end();
  job.listeners.clear();
}

function events(job, response) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(`event: state\ndata: ${JSON.stringify(stateOf(job))}\n\n`);
  if (job.state !== 'running') {
    response.end(`event: ${job.state}\ndata: ${JSON.stringify(stateOf(job))}\n\n`);
    return;
  }
  job.listeners.add(response);
  response.on('close', () => job.listeners.delete(response));
}

async function run(job) {
  const { candidates, steps, seed } = job.settings;
  for (let candidate = 0; candidate < candidates; candidate++) {
    for (let step = 1; step <= steps; step++) {
      await new Promise((resolve) => setTimeout(resolve, STEP_MS));
      if (job.state !== 'running') return;
      job.step += 1;
      tell(job, 'step', {
        candidate,
        candidates,
        region: 0,
        regions: 1,
        step: job.step,
        total: job.total,
        eta_seconds: ((job.total - job.step) * STEP_MS) / 1000,
        texture: preview(job, step / steps, true),
        structure: preview(job, step / steps, false),
      });
    }
    job.pictures.push(filled(job, seed + candidate));
    tell(job, 'candidate', candidateOf(job, candidate));
  }
  end(job, 'done');
}

/** Noise that becomes the photo, 64 × 64. */
function preview({ photo }, progress, colour) {
  const png = new PNG({ width: 64, height: 64 });
  for (let i = 0; i < 64 * 64; i++) {
    const x = Math.floor(((i % 64) / 64) * photo.width);
    const y = Math.floor((Math.floor(i / 64) / 64) * photo.height);
    const from = 4 * (y * photo.width + x);
    for (let c = 0; c < 3; c++) {
      const value = photo.data[from + (colour ? c : 1)];
      png.data[4 * i + c] = value * progress + 255 * Math.random() * (1 - progress);
    }
    png.data[4 * i + 3] = 255;
  }
  return `data:image/png;base64,${PNG.sync.write(png).toString('base64')}`;
}

/** The photo with a gradient in its hole that depends on the seed; its detail is a pattern. */
function filled({ photo, mask }, seed, detail = 1) {
  const { width, height } = photo;
  const png = new PNG({ width, height });
  photo.data.copy(png.data);
  for (let i = 0; i < width * height; i++) {
    if (mask.data[4 * i] < 128) continue;
    png.data[4 * i] = 150 + ((seed * 37) % 60);
    png.data[4 * i + 1] = 150 + (60 * (i % width)) / width;
    png.data[4 * i + 2] = 150 + Math.round(60 * detail * ((i >> 2) % 2));
    png.data[4 * i + 3] = 255;
  }
  return PNG.sync.write(png);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const option = (name) => {
    const at = process.argv.indexOf(name);
    return at < 0 ? undefined : process.argv[at + 1];
  };
  const { url } = await startMock({ port: Number(option('--port') ?? 7861), token: option('--token') ?? null });
  console.log(url);
}
