import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeEach, test } from 'node:test';
import { PNG } from 'pngjs';
import {
  draw,
  hasHole,
  inMode,
  lastSent,
  openExample,
  paintedOnScreen,
  setField,
  textOf,
} from './browser.mjs';
import { browser, open, page } from './fresh-page.mjs';

beforeEach(() => open());

/** Chooses files at once: photos of one colour each, and whatever else is named. */
function choose(...files) {
  return page.evaluate(async (files) => {
    const transfer = new DataTransfer();
    for (const { name, colour, bytes } of files) {
      let blob = new Blob([Uint8Array.from(bytes ?? [])]);
      if (colour) {
        const canvas = new OffscreenCanvas(120, 90);
        const ctx = canvas.getContext('2d');
        ctx.fillStyle = colour;
        ctx.fillRect(0, 0, 120, 90);
        blob = await canvas.convertToBlob({ type: 'image/png' });
      }
      transfer.items.add(new File([blob], name, { type: colour ? 'image/png' : '' }));
    }
    const input = document.getElementById('photo-file');
    input.files = transfer.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  }, files);
}

const list = () => page.$$eval('#album-list button', (buttons) => buttons.map((b) => [b.firstChild.data, b.lastChild.textContent]));

const opened = (name) =>
  page.waitForFunction((name) => document.getElementById('status').textContent.startsWith(`${name},`), {}, name);

async function paintAndFill() {
  await draw(page, [[0.45, 0.5], [0.55, 0.5]]);
  await setField(page, 'candidates', 1);
  await page.click('#fill');
  await inMode(page, 'result');
}

test('photos are filled one after the other and taken home as one ZIP', async () => {
  await choose({ name: 'a.png', colour: '#a44' }, { name: 'b.png', colour: '#4a4' }, { name: 'b.png', colour: '#44a' });
  await opened('a.png');
  assert.deepEqual(await list(), [['a.png', 'open'], ['b.png', 'waiting'], ['b.png', 'waiting']]);
  for (let left = 3; left > 0; left--) {
    await paintAndFill();
    await page.click('#keep');
    if (left > 1) await inMode(page, 'paint');
  }
  await page.waitForFunction(() => document.getElementById('album-zip').textContent === 'Download 3 as ZIP');
  assert.match(await textOf(page, 'status'), /^Every photo is filled/);

  const folder = await mkdtemp(join(tmpdir(), 'strdiffusion-'));
  const client = await browser.target().createCDPSession();
  await client.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: folder, eventsEnabled: true });
  const completed = new Promise((resolve) => {
    client.on('Browser.downloadProgress', ({ state }) => state === 'completed' && resolve());
  });
  await page.click('#album-zip');
  await completed;
  // A reader that is not ours.
  const unpack = 'import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; z.extractall(sys.argv[2])';
  await promisify(execFile)('python3', ['-c', unpack, join(folder, 'filled.zip'), folder]);
  for (const [name, channel] of [['a-filled-0.png', 0], ['b-filled-0.png', 1], ['b-filled-0-2.png', 2]]) {
    const { width, height, data } = PNG.sync.read(await readFile(join(folder, name)));
    assert.deepEqual([width, height], [120, 90]);
    assert.equal(Math.max(...data.subarray(0, 3)), data[channel], name);
  }
  await rm(folder, { recursive: true });
});

test('a photo that is left keeps its painting and its result', async () => {
  await choose({ name: 'a.png', colour: '#a44' }, { name: 'b.png', colour: '#4a4' });
  await opened('a.png');
  await draw(page, [[0.45, 0.5], [0.55, 0.5]]);
  const painted = await paintedOnScreen(page);
  const turnTo = async (index, name) => {
    await (await page.$$('#album-list button'))[index].click();
    await opened(name);
  };
  await turnTo(1, 'b.png');
  assert.equal(await hasHole(page), false);
  await paintAndFill();
  await turnTo(0, 'a.png');
  assert.equal(await hasHole(page), true);
  assert.ok(Math.abs((await paintedOnScreen(page)) - painted) < painted / 50);
  assert.deepEqual(await list(), [['a.png', 'open'], ['b.png', 'filled']]);
});

test('of several files those that are no pictures are left out, and said', async () => {
  await choose({ name: 'letter.txt', bytes: [104, 105] }, { name: 'a.png', colour: '#a44' }, { name: 'b.png', colour: '#44a' });
  await opened('a.png');
  assert.match(await textOf(page, 'message-text'), /^letter\.txt cannot be read/);
  assert.deepEqual(await list(), [['a.png', 'open'], ['b.png', 'waiting']]);
  page.problems = page.problems.filter((text) => !text.includes('400'));
});

/** A TIFF of 40 × 30 gray pixels, not compressed. */
function tiff() {
  const [width, height] = [40, 30];
  const tags = [[256, width], [257, height], [258, 8], [259, 1], [262, 1], [273, 8], [277, 1], [278, height], [279, width * height]];
  const directory = Buffer.alloc(2 + 12 * tags.length + 4);
  directory.writeUInt16LE(tags.length, 0);
  for (const [i, [tag, value]] of tags.entries()) {
    directory.writeUInt16LE(tag, 2 + 12 * i);
    directory.writeUInt16LE(4, 4 + 12 * i); // LONG
    directory.writeUInt32LE(1, 6 + 12 * i);
    directory.writeUInt32LE(value, 10 + 12 * i);
  }
  const head = Buffer.from('II*\0\0\0\0\0', 'latin1');
  head.writeUInt32LE(8 + width * height, 4);
  return [...head, ...Buffer.alloc(width * height, 120), ...directory];
}

test('a TIFF is shown by the server and sent as it is', async () => {
  await choose({ name: 'scan.tif', bytes: tiff() });
  await opened('scan.tif');
  assert.equal(await textOf(page, 'status'), 'scan.tif, 40 by 30 pixels.');
  const size = await page.evaluate(async () => {
    const form = window.sentForms.at(-1);
    return form.get('image').size;
  });
  assert.equal(size, tiff().length);
});

test('a hole is changed after a fill and filled anew, of the same photo', async () => {
  await openExample(page);
  await page.click('#fill');
  await inMode(page, 'result');
  const first = await lastSent(page);
  await page.click('#back');
  await draw(page, [[0.3, 0.3], [0.35, 0.3]]);
  await page.click('#to-result'); // what was filled is still there
  await inMode(page, 'result');
  await page.click('#back');
  await page.click('#fill');
  await page.waitForFunction(() => window.sentForms.length === 2);
  await inMode(page, 'result');
  const second = await lastSent(page);
  assert.equal(second.image.name, first.image.name);
  assert.ok(second.mask.count > first.mask.count);
});

test('the photo as it was is seen while a button is pressed', async () => {
  await openExample(page);
  await page.click('#fill');
  await inMode(page, 'result');
  const split = () => page.$eval('#divider', (divider) => Number(divider.ariaValueNow));
  const drawn = () => page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  await drawn(); // the line goes beside the hole first
  const resting = await split();
  await page.focus('#before');
  for (const key of ['Space', 'Enter']) {
    await page.keyboard.down(key);
    await drawn();
    assert.equal(await split(), 100);
    await page.keyboard.up(key);
    await drawn();
    assert.equal(await split(), resting);
  }
  const { x, y } = await (await page.$('#before')).boundingBox();
  await page.mouse.move(x + 10, y + 10);
  await page.mouse.down();
  await drawn();
  assert.equal(await split(), 100);
  await page.mouse.up();
  await drawn();
  assert.equal(await split(), resting);
});
