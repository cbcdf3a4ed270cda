import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, test } from 'node:test';
import { PNG } from 'pngjs';
import {
  chooseDrawnFile,
  draw,
  hasHole,
  inMode,
  lastSent,
  openExample,
  openExampleWithoutHole,
  paintedOnScreen,
  setField,
  textOf,
} from './browser.mjs';
import { browser, open, page } from './fresh-page.mjs';

beforeEach(() => open());

/** Answers requests to an address itself; the rest goes on. */
async function intercept(page, path, answer) {
  await page.setRequestInterception(true);
  page.on('request', (request) => {
    if (new URL(request.url()).pathname === path) answer(request);
    else request.continue();
  });
}

async function waitForMessage(page) {
  await page.waitForFunction(() => !document.getElementById('message').hidden);
  return textOf(page, 'message-text');
}

test('a fill is watched step by step, in texture and structure', async () => {
  await openExample(page);
  await setField(page, 'steps', 4); // a model's own setting may be a single step
  await page.evaluate(() => {
    window.said = [];
    new MutationObserver(() => window.said.push(document.getElementById('progress-text').textContent)).observe(
      document.getElementById('progress-text'),
      { childList: true, characterData: true, subtree: true },
    );
  });
  await page.click('#fill');
  await inMode(page, 'result');
  const said = await page.evaluate(() => window.said);
  assert.ok(said.some((text) => /^Step \d+ of \d+ · candidate 1 of 2/.test(text)), said.join('\n'));
  for (const pane of ['texture', 'structure']) {
    assert.match(await page.$eval(`#pane-${pane}`, (image) => image.src), /^data:image\/png/);
  }
  // A fill that was too quick to watch can be gone through again.
  const steps = Number(await page.$eval('#replay-step', (slider) => slider.max));
  assert.ok(steps > 1);
  const last = await page.$eval('#replay-texture', (image) => image.src);
  await setField(page, 'replay-step', 1);
  assert.notEqual(await page.$eval('#replay-texture', (image) => image.src), last);
});

test('candidates have different seeds and can be picked and compared', async () => {
  await openExample(page);
  await setField(page, 'candidates', 3);
  await setField(page, 'seed', 41);
  await page.click('#fill');
  await inMode(page, 'result');
  const names = await page.$$eval('#thumbs input', (inputs) => inputs.map((input) => input.ariaLabel));
  assert.deepEqual(names, ['Candidate 1, seed 41', 'Candidate 2, seed 42', 'Candidate 3, seed 43']);
  await page.focus('#thumbs input');
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction(() => document.getElementById('result-note').textContent.startsWith('Seed 42 '));

  const split = () => page.$eval('#divider', (divider) => Number(divider.getAttribute('aria-valuenow')));
  await page.focus('#divider');
  await page.keyboard.press('Home');
  await page.waitForFunction(() => document.getElementById('divider').getAttribute('aria-valuenow') === '0');
  await page.keyboard.press('PageUp');
  await page.waitForFunction(() => document.getElementById('divider').getAttribute('aria-valuenow') === '10');
  const { x, y, width, height } = await (await page.$('#divider')).boundingBox();
  await page.mouse.move(x + width / 2, y + height / 2);
  await page.mouse.down();
  await page.mouse.move(x + width / 2 + 300, y + height / 2, { steps: 4 });
  await page.mouse.up();
  await page.waitForFunction(() => Number(document.getElementById('divider').getAttribute('aria-valuenow')) > 20);
  assert.ok((await split()) < 60);
});

test('the result is downloaded at full size, and outside the hole it is the photo', async () => {
  await openExample(page);
  await setField(page, 'candidates', 1);
  await setField(page, 'seed', 7);
  await page.click('#fill');
  await inMode(page, 'result');

  const folder = await mkdtemp(join(tmpdir(), 'strdiffusion-'));
  const client = await browser.target().createCDPSession();
  await client.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: folder, eventsEnabled: true });
  const completed = new Promise((resolve) => {
    client.on('Browser.downloadProgress', ({ state }) => state === 'completed' && resolve());
  });
  const named = new Promise((resolve) => {
    client.on('Browser.downloadWillBegin', ({ suggestedFilename }) => resolve(suggestedFilename));
  });
  await page.click('#download');
  assert.equal(await named, 'example-filled-7.png');
  await completed;
  const result = PNG.sync.read(await readFile(join(folder, 'example-filled-7.png')));
  await rm(folder, { recursive: true });
  assert.deepEqual([result.width, result.height], [768, 512]);

  const { mask, settings } = await lastSent(page);
  const photo = await page.evaluate(async () => {
    const blob = window.sentForms.at(-1).get('image');
    return Array.from(new Uint8Array(await blob.arrayBuffer()));
  });
  const original = PNG.sync.read(Buffer.from(photo));
  let [changed, outside] = [0, 0];
  for (let i = 0; i < 768 * 512; i++) {
    if ([0, 1, 2].every((c) => original.data[4 * i + c] === result.data[4 * i + c])) continue;
    const [x, y] = [i % 768, Math.floor(i / 768)];
    changed += 1;
    const { grow } = settings;
    if (x < mask.left - grow || x > mask.right + grow || y < mask.top - grow || y > mask.bottom + grow) outside += 1;
  }
  assert.ok(changed > mask.count / 2, `${changed} of ${mask.count} pixels are new`);
  assert.equal(outside, 0);
});

/** The pixels of a picture that the page can show. */
function pixelsOf(page, address) {
  return page.evaluate(async (src) => {
    const image = Object.assign(new Image(), { src });
    await image.decode();
    const ctx = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext('2d');
    ctx.drawImage(image, 0, 0);
    return ctx.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data.join();
  }, address);
}

const downloadOf = (page) => page.$eval('#download', (link) => link.href);

/** Waits until the picture that goes with the slider is there. */
const settled = (page) => page.waitForSelector('#results[aria-busy=false]');

test('a finished fill is shown with another share of its detail, without filling again', async () => {
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  await openExample(page);
  await setField(page, 'candidates', 1);
  await page.click('#fill');
  await inMode(page, 'result');
  assert.match(await textOf(page, 'detail-note'), /^Detail: (good|fair|poor) match/);
  assert.match(await page.$eval('#detail-note', (note) => note.title), /^Confidence [01]\.\d\d/);
  const whole = await pixelsOf(page, await downloadOf(page));
  const onScreen = () => page.$eval('#view', (canvas) => canvas.toDataURL());
  const before = await onScreen();

  await page.focus('#detail');
  await page.keyboard.press('Home'); // all the way to none
  assert.equal(await downloadOf(page), ''); // what is shown is not yet what was asked for
  await settled(page);
  assert.equal(await textOf(page, 'detail-value'), '0 %');
  assert.equal(await page.$eval('#detail', (slider) => slider.ariaValueText), '0 percent');
  assert.match(await textOf(page, 'status'), /0 percent of the detail/);
  const none = await pixelsOf(page, await downloadOf(page));
  assert.notEqual(none, whole);
  assert.notEqual(await onScreen(), before);
  const [address] = asked.filter((url) => url.includes('detail='));
  assert.equal(new URL(address).searchParams.get('detail'), '0');
  assert.equal(none, await pixelsOf(page, address));

  await page.keyboard.press('End');
  await settled(page);
  assert.equal(await pixelsOf(page, await downloadOf(page)), whole);
  assert.equal(asked.filter((url) => url.endsWith('/v1/jobs')).length, 1);
});

test('each candidate keeps its own share of detail', async () => {
  await openExample(page);
  await page.click('#fill');
  await inMode(page, 'result');
  await setField(page, 'detail', 40);
  await page.waitForSelector('#results[aria-busy=true]');
  await settled(page);
  const pick = async (number) => {
    const [first, second] = await page.$$('#thumbs input');
    await (number === 1 ? first : second).click();
    await page.waitForFunction((seed) => document.getElementById('result-note').textContent.startsWith(`Seed ${seed} `), {}, number - 1);
  };
  await pick(2);
  assert.equal(await textOf(page, 'detail-value'), '100 %');
  await pick(1);
  assert.equal(await textOf(page, 'detail-value'), '40 %');
});

test('a photo with nothing to take detail from has no share to choose', async () => {
  const square = [['#777', 0, 0, 8, 8]];
  await chooseDrawnFile(page, 'photo-file', 'tiny.png', 'image/png', 8, 8, square);
  await inMode(page, 'paint');
  const hole = [['#fff', 2, 2, 4, 4]];
  await chooseDrawnFile(page, 'mask-file', 'mask.png', 'image/png', 8, 8, hole);
  await page.waitForFunction(() => document.getElementById('fill').getAttribute('aria-disabled') === 'false');
  await page.click('#fill');
  await inMode(page, 'result');
  assert.ok(await page.$eval('#detail', (slider) => slider.disabled));
  assert.match(await textOf(page, 'detail-note'), /^Detail: none/);
});

test('detail of a fill that the server has forgotten stays as it is', async () => {
  let job = '';
  page.on('request', (request) => (job = /\/v1\/jobs\/[^/]+/.exec(request.url())?.[0] ?? job));
  await openExample(page);
  await page.click('#fill');
  await inMode(page, 'result');
  const before = await downloadOf(page);
  await page.evaluate((path) => fetch(path, { method: 'DELETE' }), job);
  await setField(page, 'detail', 50);
  assert.match(await waitForMessage(page), /no longer has this fill/);
  assert.equal(await textOf(page, 'detail-value'), '100 %');
  assert.equal(await downloadOf(page), before);
  page.problems = page.problems.filter((text) => !text.includes('404'));
});

test('a person goes on from a result, and can undo that', async () => {
  await openExample(page);
  const painted = await paintedOnScreen(page);
  await page.click('#fill');
  await inMode(page, 'result');
  await page.click('#continue');
  await inMode(page, 'paint');
  assert.equal(await hasHole(page), false);
  await draw(page, [[0.2, 0.6], [0.25, 0.6]]);
  await page.keyboard.press('f');
  await inMode(page, 'result');
  const { image } = await lastSent(page);
  assert.match(image.name, /^example-filled-\d+\.png$/);
  await page.keyboard.press('Escape');
  await inMode(page, 'paint');
  await page.click('#undo'); // the stroke
  await page.click('#undo'); // the photo
  assert.equal(await paintedOnScreen(page), painted);
});

test('filling again takes another seed', async () => {
  await openExample(page);
  await page.click('#fill');
  await inMode(page, 'result');
  const { settings: first } = await lastSent(page);
  await page.click('#again');
  await page.waitForFunction(() => window.sentForms.length === 2);
  await inMode(page, 'result');
  const { settings: second } = await lastSent(page);
  assert.notEqual(first.seed, second.seed);
});

test('a fill is cancelled, and the painting is kept', async () => {
  await openExample(page);
  const painted = await paintedOnScreen(page);
  await setField(page, 'candidates', 8);
  await setField(page, 'steps', 100);
  await page.click('#fill');
  await page.waitForFunction(() => document.getElementById('progress-bar').value > 0);
  const deleted = page.waitForRequest((request) => request.method() === 'DELETE');
  await page.click('#cancel');
  await deleted;
  await inMode(page, 'paint');
  assert.equal(await paintedOnScreen(page), painted);
  assert.match(await textOf(page, 'status'), /Cancelled/);
});

test('drawn structure is sent as white lines on black, of the size of the photo', async () => {
  await openExampleWithoutHole(page);
  await setField(page, 'brush-size', 120);
  await draw(page, [[0.4, 0.5], [0.6, 0.5]]);
  await page.keyboard.press('s');
  assert.match(await textOf(page, 'structure-hint'), /guided by it/);
  await draw(page, [[0.42, 0.5], [0.58, 0.5]]);
  await page.click('#fill');
  await inMode(page, 'result');
  const { image, mask, structure } = await lastSent(page);
  assert.deepEqual([structure.width, structure.height], [image.width, image.height]);
  assert.ok(structure.count > 0 && structure.count < mask.count / 10, JSON.stringify(structure));
  assert.ok(structure.bottom - structure.top < 6); // a thin line
  assert.ok(structure.left > mask.left && structure.right < mask.right);
});

test('what is to be avoided is sent apart from the hole, by brush and by area', async () => {
  await openExampleWithoutHole(page);
  await draw(page, [[0.4, 0.5], [0.5, 0.5]]);
  await page.keyboard.press('a');
  assert.match(await textOf(page, 'avoid-hint'), /copied from what you paint/);
  await setField(page, 'brush-size', 60);
  await draw(page, [[0.7, 0.3], [0.8, 0.3]]);
  await page.keyboard.press('r');
  await page.click('#avoid-area');
  await draw(page, [[0.7, 0.6], [0.8, 0.8]]);
  await page.click('#fill');
  await inMode(page, 'result');
  const { image, mask, avoid } = await lastSent(page);
  assert.deepEqual([avoid.width, avoid.height], [image.width, image.height]);
  assert.ok(mask.right < avoid.left, JSON.stringify({ mask, avoid }));
  assert.ok(avoid.top < image.height / 2 && avoid.bottom > image.height / 2, JSON.stringify(avoid));
});

test('what is to be avoided can be erased, undone and cleared, and is no hole', async () => {
  await openExampleWithoutHole(page);
  await page.keyboard.press('a');
  await draw(page, [[0.3, 0.3], [0.6, 0.3]]);
  assert.equal(await hasHole(page), false);
  await page.keyboard.press('e');
  await setField(page, 'brush-size', 200);
  await draw(page, [[0.28, 0.3], [0.62, 0.3]]);
  assert.equal(await page.$eval('#clear', (clear) => clear.disabled), true);
  await page.click('#undo');
  assert.equal(await page.$eval('#clear', (clear) => clear.disabled), false);
  await page.click('#clear');
  assert.equal(await page.$eval('#clear', (clear) => clear.disabled), true);
});

test('neither lines nor what to avoid are sent where none was painted, nor settings that are the model’s own', async () => {
  await openExample(page);
  await page.click('#fill');
  await inMode(page, 'result');
  const { settings, structure, avoid } = await lastSent(page);
  assert.deepEqual([structure, avoid], [null, null]);
  // 3 pixels more: a painted hole of a photo of 768 × 512 grows by itself.
  assert.deepEqual(settings, { seed: 0, candidates: 2, grow: 3 });
});

test('changed settings are sent, wrong ones are explained and not sent', async () => {
  await openExample(page);
  await page.click('#sampling summary');
  await page.select('#sampler', 'euler');
  await setField(page, 'steps', 3);
  await setField(page, 'seed', 'seven');
  await page.click('#fill');
  assert.match(await textOf(page, 'settings-error'), /The seed must be a whole number/);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'seed');
  assert.equal(await page.evaluate(() => window.sentForms.length), 0);
  await setField(page, 'seed', 12);
  await page.click('#fill');
  await inMode(page, 'result');
  const { settings } = await lastSent(page);
  assert.deepEqual(settings, { seed: 12, candidates: 2, grow: 3, sampler: 'euler', steps: 3 });
});

test('what the server refuses is said in its words, and the painting is kept', async () => {
  await openExample(page);
  const painted = await paintedOnScreen(page);
  await intercept(page, '/v1/jobs', (request) =>
    request.respond({
      status: 429,
      contentType: 'application/json',
      body: JSON.stringify({ error: { code: 'queue_full', message: 'The queue is full; try again soon.' } }),
    }),
  );
  await page.click('#fill');
  assert.equal(await waitForMessage(page), 'The queue is full; try again soon.');
  assert.equal(await paintedOnScreen(page), painted);
  page.problems = page.problems.filter((text) => !text.includes('429')); // the browser's own line
});

test('a server that is gone is said to be gone, and the painting is kept', async () => {
  await openExample(page);
  const painted = await paintedOnScreen(page);
  await intercept(page, '/v1/jobs', (request) => request.abort('connectionrefused'));
  await page.click('#fill');
  assert.match(await waitForMessage(page), /The server does not answer/);
  assert.equal(await paintedOnScreen(page), painted);
  page.problems = page.problems.filter((text) => !text.includes('ERR_CONNECTION_REFUSED'));
});

test('a lost event stream does not lose the fill', async () => {
  await openExample(page);
  let lost = 0;
  await page.setRequestInterception(true);
  page.on('request', (request) => {
    if (request.url().endsWith('/events') && lost++ === 0) request.abort('connectionreset');
    else request.continue();
  });
  await page.click('#fill');
  await inMode(page, 'result');
  assert.equal((await page.$$('#thumbs input')).length, 2);
  page.problems = page.problems.filter((text) => !text.includes('ERR_CONNECTION_RESET'));
});
