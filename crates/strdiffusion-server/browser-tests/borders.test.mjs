import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
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
import { open, page } from './fresh-page.mjs';

beforeEach(() => open());

const valueOf = (id) => page.$eval(`#${id}`, (field) => field.value);

async function fillAndLookAtWhatWasSent() {
  await page.click('#fill');
  await inMode(page, 'result');
  return lastSent(page);
}

test('what the hole will gain is shown, and sent', async () => {
  await openExample(page);
  await setField(page, 'grow', 0);
  const hole = await paintedOnScreen(page);
  await setField(page, 'grow', 20);
  assert.ok((await paintedOnScreen(page)) > 1.2 * hole);
  await setField(page, 'feather', 6);
  const { settings } = await fillAndLookAtWhatWasSent();
  assert.deepEqual([settings.grow, settings.feather], [20, 6]);
});

test('a painted hole grows by itself; a mask from a file or of transparency does not', async () => {
  await openExampleWithoutHole(page);
  assert.equal(await valueOf('grow'), '3');
  await chooseDrawnFile(page, 'mask-file', 'mask.png', 'image/png', 768, 512, [['#fff', 500, 130, 40, 30]]);
  await page.waitForFunction(() => document.getElementById('grow').value === '0');
  const { settings } = await fillAndLookAtWhatWasSent();
  assert.equal('grow' in settings, false);
  await chooseDrawnFile(page, 'photo-file', 'cutout.png', 'image/png', 200, 160, [['#7a8', 0, 0, 200, 90]]);
  await page.waitForFunction(() => document.getElementById('status').textContent.includes('transparent'));
  assert.equal(await valueOf('grow'), '0');
});

test('a growth that a person chose stays', async () => {
  await openExample(page);
  await setField(page, 'grow', 9);
  await chooseDrawnFile(page, 'photo-file', 'other.jpg', 'image/jpeg', 300, 200, [['#446', 0, 0, 300, 200]]);
  await page.waitForFunction(() => document.getElementById('status').textContent.startsWith('other.jpg'));
  assert.equal(await valueOf('grow'), '9');
});

test('a side is pulled outward, filled, and goes on as the photo', async () => {
  await openExampleWithoutHole(page);
  await page.keyboard.press('x');
  const { x, y, width, height } = await (await page.$('#extend-right')).boundingBox();
  const zoom = Number.parseInt(await textOf(page, 'zoom-level'), 10) / 100;
  await page.mouse.move(x + width / 2, y + height / 2);
  await page.mouse.down();
  await page.mouse.move(x + width / 2 + 60, y + height / 2, { steps: 4 });
  await page.mouse.up();
  const pulled = Number(await page.$eval('#extend-right', (handle) => handle.ariaValueNow));
  assert.ok(Math.abs(pulled - 60 / zoom) < 3, `${pulled} pixels`);
  assert.ok((await paintedOnScreen(page)) > 4000);
  await page.focus('#extend-top');
  await page.keyboard.press('ArrowUp'); // a hundredth of 512
  assert.equal(await page.$eval('#extend-top', (handle) => handle.ariaValueText), '5 pixels');
  const { settings, mask } = await fillAndLookAtWhatWasSent();
  assert.deepEqual(settings.extend, [0, 5, pulled, 0]);
  assert.equal(mask, null);
  assert.match(await textOf(page, 'result-note'), new RegExp(` ${768 + pulled} × 517 pixels`));
  await page.click('#continue');
  await inMode(page, 'paint');
  assert.equal(await page.$eval('#extend-right', (handle) => handle.ariaValueNow), '0');
  assert.equal(await hasHole(page), false);
});

test('an extension is undone, redone and cleared, and goes with a painted hole', async () => {
  await openExample(page);
  await page.keyboard.press('x');
  await page.focus('#extend-left');
  await page.keyboard.press('PageUp');
  const wide = () => page.$eval('#extend-left', (handle) => handle.ariaValueNow);
  assert.equal(await wide(), '77');
  await page.click('#undo');
  assert.equal(await wide(), '0');
  await page.click('#redo');
  assert.equal(await wide(), '77');
  await page.keyboard.press('s');
  await draw(page, [[0.5, 0.5], [0.55, 0.5]]);
  const { settings, mask, structure } = await fillAndLookAtWhatWasSent();
  assert.deepEqual(settings.extend, [77, 0, 0, 0]);
  assert.deepEqual([mask.width, structure.width], [768, 768 + 77]);
  await page.click('#back');
  await page.click('#clear');
  assert.equal(await wide(), '0');
  assert.equal(await hasHole(page), false);
});
