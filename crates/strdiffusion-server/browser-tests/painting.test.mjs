import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import {
  chooseDrawnFile,
  chord,
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
import { open, page } from './fresh-page.mjs';

beforeEach(() => open());

test('a stroke is painted, undone, redone, erased and cleared', async () => {
  await openExampleWithoutHole(page);
  assert.equal(await paintedOnScreen(page), 0);
  await draw(page, [[0.3, 0.3], [0.6, 0.3]]);
  const painted = await paintedOnScreen(page);
  assert.ok(painted > 4000, `${painted} pixels`);

  await chord(page, 'Control', 'z');
  assert.equal(await paintedOnScreen(page), 0);
  await chord(page, 'Control', 'Shift', 'z');
  assert.equal(await paintedOnScreen(page), painted);

  await page.keyboard.press('e');
  await draw(page, [[0.3, 0.3], [0.45, 0.3]]);
  const left = await paintedOnScreen(page);
  assert.ok(left > 0 && left < painted, `${left} of ${painted} pixels`);
  await page.click('#undo');
  assert.equal(await paintedOnScreen(page), painted);

  await page.click('#clear');
  assert.equal(await paintedOnScreen(page), 0);
  await page.click('#undo');
  assert.equal(await paintedOnScreen(page), painted);
});

test('erasing everything leaves nothing to fill', async () => {
  await openExampleWithoutHole(page);
  await draw(page, [[0.4, 0.4], [0.42, 0.4]]);
  await page.keyboard.press('e');
  await setField(page, 'brush-size', 200);
  await draw(page, [[0.38, 0.4], [0.44, 0.4]]);
  assert.equal(await hasHole(page), false);
  assert.equal(await textOf(page, 'fill-hint'), 'Paint over what should go.');
});

test('the hole that is sent lies where it was painted, at any zoom', async () => {
  await openExampleWithoutHole(page);
  const place = await (await page.$('#view')).boundingBox();
  const [x, y] = [place.x + place.width / 2, place.y + place.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.wheel({ deltaY: -600 });
  await page.waitForFunction(() => document.getElementById('zoom-level').textContent !== '121 %');
  const zoom = Number.parseInt(await textOf(page, 'zoom-level'), 10) / 100;
  await draw(page, [[0.5, 0.5], [0.6, 0.5]]);
  await page.click('#fill');
  await inMode(page, 'result');
  const { image, mask } = await lastSent(page);
  assert.deepEqual([mask.width, mask.height], [image.width, image.height]);
  // The stage's middle is the photo's middle; the brush is 40 screen pixels wide.
  const half = 20 / zoom;
  const end = image.width / 2 + (0.1 * place.width) / zoom;
  assert.ok(Math.abs(mask.left - (image.width / 2 - half)) < 3, JSON.stringify(mask));
  assert.ok(Math.abs(mask.right - (end + half)) < 3, JSON.stringify(mask));
  assert.ok(Math.abs(mask.bottom - mask.top - 2 * half) < 3, JSON.stringify(mask));
});

test('space and drag move the photo and paint nothing', async () => {
  await openExampleWithoutHole(page);
  await page.focus('#view');
  await page.keyboard.down('Space');
  await draw(page, [[0.5, 0.5], [0.3, 0.5]]);
  await page.keyboard.up('Space');
  assert.equal(await paintedOnScreen(page), 0);
  assert.ok(await page.$eval('#undo', (undo) => !undo.disabled)); // clearing the example, no more
  await chord(page, 'Control', 'z');
  assert.ok((await paintedOnScreen(page)) > 0);
});

test('one finger paints, two fingers zoom and paint nothing', async () => {
  await openExampleWithoutHole(page);
  const { x, y, width, height } = await (await page.$('#view')).boundingBox();
  const finger = (id, fx, fy) => ({ id, x: x + fx * width, y: y + fy * height });
  const client = await page.createCDPSession();
  const touch = (type, ...touchPoints) => client.send('Input.dispatchTouchEvent', { type, touchPoints });

  await touch('touchStart', finger(0, 0.3, 0.5));
  await touch('touchMove', finger(0, 0.4, 0.5));
  await touch('touchEnd');
  const painted = await paintedOnScreen(page);
  assert.ok(painted > 1000, `${painted} pixels`);
  await page.click('#undo');

  const before = await textOf(page, 'zoom-level');
  await touch('touchStart', finger(0, 0.45, 0.5));
  await touch('touchStart', finger(0, 0.45, 0.5), finger(1, 0.55, 0.5));
  for (const spread of [0.1, 0.15, 0.2]) {
    await touch('touchMove', finger(0, 0.5 - spread, 0.5), finger(1, 0.5 + spread, 0.5));
  }
  await touch('touchEnd');
  await page.waitForFunction((old) => document.getElementById('zoom-level').textContent !== old, {}, before);
  assert.ok(Number.parseInt(await textOf(page, 'zoom-level'), 10) > 1.5 * Number.parseInt(before, 10));
  assert.equal(await paintedOnScreen(page), 0);
});

test('a mask file becomes the hole; one of another size is refused in a sentence', async () => {
  await openExampleWithoutHole(page);
  await chooseDrawnFile(page, 'mask-file', 'small.png', 'image/png', 100, 80, [['#fff', 0, 0, 50, 50]]);
  await page.waitForFunction(() => !document.getElementById('message').hidden);
  assert.match(await textOf(page, 'message-text'), /100 × 80 pixels but the photo is 768 × 512/);

  await chooseDrawnFile(page, 'mask-file', 'mask.png', 'image/png', 768, 512, [
    ['#000', 0, 0, 768, 512],
    ['#fff', 500, 130, 40, 30],
  ]);
  await page.waitForFunction(() => document.getElementById('fill').getAttribute('aria-disabled') === 'false');
  await page.click('#fill');
  await inMode(page, 'result');
  const { mask } = await lastSent(page);
  assert.deepEqual(
    [mask.left, mask.top, mask.right, mask.bottom, mask.count],
    [500, 130, 539, 159, 40 * 30],
  );
});

test('transparent parts of a photo are its hole', async () => {
  await chooseDrawnFile(page, 'photo-file', 'cutout.png', 'image/png', 200, 160, [
    ['#7a8', 0, 0, 200, 70],
    ['#a87', 0, 70, 90, 90],
    ['#a87', 120, 70, 80, 90],
  ]);
  await page.waitForFunction(() => document.getElementById('fill').getAttribute('aria-disabled') === 'false');
  assert.match(await textOf(page, 'status'), /transparent parts/);
});

test('opening another photo can be undone, with the painting', async () => {
  await openExample(page);
  const painted = await paintedOnScreen(page);
  await chooseDrawnFile(page, 'photo-file', 'other.jpg', 'image/jpeg', 300, 200, [['#446', 0, 0, 300, 200]]);
  await page.waitForFunction(() => document.getElementById('status').textContent.startsWith('other.jpg'));
  assert.equal(await paintedOnScreen(page), 0);
  await page.click('#undo');
  assert.equal(await paintedOnScreen(page), painted);
});

test('a photo can be dropped and pasted', async () => {
  for (const kind of ['drop', 'paste']) {
    await page.evaluate(async (kind) => {
      const canvas = new OffscreenCanvas(120, 90);
      canvas.getContext('2d').fillRect(0, 0, 120, 90);
      const blob = await canvas.convertToBlob({ type: 'image/jpeg' });
      const transfer = new DataTransfer();
      transfer.items.add(new File([blob], `${kind}.jpg`, { type: 'image/jpeg' }));
      const options = { bubbles: true, cancelable: true };
      const event =
        kind === 'drop'
          ? new DragEvent('drop', { ...options, dataTransfer: transfer })
          : new ClipboardEvent('paste', { ...options, clipboardData: transfer });
      document.body.dispatchEvent(event);
    }, kind);
    await page.waitForFunction(
      (kind) => document.getElementById('status').textContent === `${kind}.jpg, 120 by 90 pixels.`,
      {},
      kind,
    );
  }
});

test('a file that is no picture is refused in a sentence', async () => {
  await page.evaluate(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(['hello'], 'letter.png', { type: 'image/png' }));
    const input = document.getElementById('photo-file');
    input.files = transfer.files;
    input.dispatchEvent(new Event('change'));
  });
  await page.waitForFunction(() => !document.getElementById('message').hidden);
  page.problems = page.problems.filter((text) => !text.includes('400')); // the browser's own line
  assert.match(await textOf(page, 'message-text'), /letter\.png cannot be read as a picture/);
});

test('a photo of 24 megapixels is painted and sent at its full size', async () => {
  await chooseDrawnFile(page, 'photo-file', 'large.jpg', 'image/jpeg', 6000, 4000, [
    ['#89a', 0, 0, 6000, 2000],
    ['#665', 0, 2000, 6000, 2000],
  ]);
  await inMode(page, 'paint');
  await draw(page, [[0.45, 0.5], [0.5, 0.52]]);
  await setField(page, 'candidates', 1);
  // What is sent matters here, not the fill.
  await page.click('#fill');
  await page.waitForFunction(() => window.sentForms.length > 0, { timeout: 180_000 });
  await page.keyboard.press('Escape');
  await page.waitForSelector('body:not([data-mode=fill])', { timeout: 180_000 });
  const { image, mask } = await lastSent(page);
  assert.deepEqual([image.width, image.height, image.type], [6000, 4000, 'image/jpeg']);
  assert.deepEqual([mask.width, mask.height], [6000, 4000]);
  assert.ok(mask.count > 50_000 && mask.right - mask.left < 1000, JSON.stringify(mask));
});
