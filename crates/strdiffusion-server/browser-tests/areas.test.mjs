import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import {
  chooseDrawnFile,
  draw,
  hasHole,
  inMode,
  lastSent,
  openExampleWithoutHole,
  paintedOnScreen,
  setField,
  textOf,
} from './browser.mjs';
import { open, page } from './fresh-page.mjs';

beforeEach(() => open());

/** The hole as it is sent. */
async function sentHole() {
  await page.click('#fill');
  await inMode(page, 'result');
  return (await lastSent(page)).mask;
}

/** Where a place on the stage, in fractions of it, lies in the photo. */
async function inPhoto([fx, fy], { width, height } = { width: 768, height: 512 }) {
  const stage = await (await page.$('#view')).boundingBox();
  const zoom = Number.parseInt(await textOf(page, 'zoom-level'), 10) / 100;
  return [width / 2 + ((fx - 0.5) * stage.width) / zoom, height / 2 + ((fy - 0.5) * stage.height) / zoom];
}

function assertNear(found, expected, what) {
  assert.ok(Math.abs(found - expected) <= 4, `${what}: ${found} and not ${expected}`);
}

async function click(fx, fy) {
  const { x, y, width, height } = await (await page.$('#view')).boundingBox();
  await page.mouse.click(x + fx * width, y + fy * height);
}

test('a rectangle becomes hole, and a part of it is taken away again', async () => {
  await openExampleWithoutHole(page);
  await page.keyboard.press('r');
  await draw(page, [[0.35, 0.4], [0.6, 0.6]]);
  const painted = await paintedOnScreen(page);
  await page.click('#take-away');
  await draw(page, [[0.3, 0.3], [0.45, 0.7]]);
  assert.ok((await paintedOnScreen(page)) < painted);
  const hole = await sentHole();
  const [[left, top], [right, bottom]] = [await inPhoto([0.45, 0.4]), await inPhoto([0.6, 0.6])];
  assertNear(hole.left, left, 'left');
  assertNear(hole.top, top, 'top');
  assertNear(hole.right, right, 'right');
  assertNear(hole.bottom, bottom, 'bottom');
  const area = (hole.right - hole.left + 1) * (hole.bottom - hole.top + 1);
  assertNear(hole.count / area, 1, 'share');
});

test('a lasso fills what it surrounds, as one step of undo', async () => {
  await openExampleWithoutHole(page);
  await page.keyboard.press('l');
  await draw(page, [[0.4, 0.4], [0.6, 0.4], [0.5, 0.6]]);
  const { count, left, right, top, bottom } = await sentHole();
  const half = ((right - left) * (bottom - top)) / 2; // a triangle
  assert.ok(Math.abs(count - half) < half / 10, `${count} pixels of ${half}`);
  await page.click('#back');
  await page.click('#undo');
  assert.equal(await hasHole(page), false);
});

test('a polygon grows corner by corner and closes at the first one', async () => {
  await openExampleWithoutHole(page);
  await page.keyboard.press('p');
  for (const corner of [[0.4, 0.4], [0.6, 0.4], [0.7, 0.5], [0.6, 0.6]]) await click(...corner);
  assert.equal(await hasHole(page), false);
  await page.keyboard.down('Control');
  await page.keyboard.press('z'); // the last corner alone
  await page.keyboard.up('Control');
  await click(0.4, 0.4);
  assert.equal(await hasHole(page), true);
  const hole = await sentHole();
  const [[, middle], [right]] = [await inPhoto([0.7, 0.5]), await inPhoto([0.7, 0.5])];
  assertNear(hole.right, right, 'right');
  assertNear(hole.bottom, middle, 'bottom');
});

test('Escape lets go of a polygon, and filling closes one', async () => {
  await openExampleWithoutHole(page);
  await page.keyboard.press('p');
  for (const corner of [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6]]) await click(...corner);
  await page.keyboard.press('Escape');
  await click(0.4, 0.4);
  assert.equal(await hasHole(page), false);
  for (const corner of [[0.6, 0.4], [0.6, 0.6]]) await click(...corner);
  await page.keyboard.press('f');
  await inMode(page, 'result');
  assert.ok((await lastSent(page)).mask.count > 1000);
});

test('areas are painted with the keyboard alone', async () => {
  await openExampleWithoutHole(page);
  await page.focus('#view');
  const walk = async (key, times) => {
    for (let i = 0; i < times; i++) await page.keyboard.press(key);
  };
  await page.keyboard.press('r');
  await page.keyboard.press('Enter');
  await walk('ArrowRight', 5);
  await walk('ArrowDown', 4);
  await page.keyboard.press('Enter');
  const rectangle = await paintedOnScreen(page);
  assert.ok(rectangle > 1000, `${rectangle} pixels`);
  await page.keyboard.press('p');
  await page.keyboard.press('Enter');
  await walk('ArrowLeft', 12);
  await page.keyboard.press('Enter');
  await walk('ArrowUp', 6);
  await page.keyboard.press('Enter');
  assert.match(await textOf(page, 'status'), /^Corner 3 set/);
  await page.keyboard.press('Enter');
  assert.equal(await textOf(page, 'status'), 'Polygon closed.');
  assert.ok((await paintedOnScreen(page)) > rectangle);
});

/** A photo of plain colours: a red square with a yellow dot inside, on green that fades to the right. */
const SCENE = [
  ['#2a6', 0, 0, 200, 160],
  ['#2b7', 100, 0, 100, 160],
  ['#c22', 60, 40, 50, 50],
  ['#ed2', 80, 60, 8, 8],
];

test('a click selects what has one colour, with what it encloses, up to the next edge', async () => {
  await chooseDrawnFile(page, 'photo-file', 'scene.png', 'image/png', 200, 160, SCENE);
  await inMode(page, 'paint');
  await page.keyboard.press('w');
  await click(0.36, 0.3); // in the red square, beside the dot
  const hole = await sentHole();
  assert.deepEqual([hole.left, hole.top, hole.right, hole.bottom], [60, 40, 109, 89]);
  assert.equal(hole.count, 50 * 50);
});

test('tolerance says which colours are one', async () => {
  await chooseDrawnFile(page, 'photo-file', 'scene.png', 'image/png', 200, 160, SCENE);
  await inMode(page, 'paint');
  await page.keyboard.press('w');
  const selected = async (tolerance) => {
    await setField(page, 'tolerance', tolerance);
    await click(0.75, 0.5);
    const { count } = await sentHole();
    await page.click('#back');
    await page.click('#undo');
    return count;
  };
  assert.equal(await selected(2), 100 * 160 - 10 * 50);
  // The other green and what is in it, but for one corner.
  await chooseDrawnFile(page, 'photo-file', 'scene.png', 'image/png', 200, 160, [...SCENE, ['#15e', 0, 0, 20, 20]]);
  await page.waitForFunction(() => document.getElementById('undo').disabled === false);
  await page.keyboard.press('w');
  assert.equal(await selected(30), 200 * 160 - 20 * 20);
});
