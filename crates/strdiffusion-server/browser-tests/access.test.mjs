import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  axeSource,
  hasHole,
  inMode,
  lastSent,
  openExample,
  openExampleWithoutHole,
  paintedOnScreen,
  textOf,
} from './browser.mjs';
import { open, page } from './fresh-page.mjs';

const PHONE = { width: 360, height: 740, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

const focused = () => page.evaluate(() => document.activeElement.id);

/** Presses Tab until an element has the focus. */
async function tabTo(id) {
  for (let presses = 0; presses < 40; presses++) {
    await page.keyboard.press('Tab');
    if ((await focused()) === id) return;
  }
  assert.fail(`Tab never reaches #${id}`);
}

test('everything works with the keyboard alone', async () => {
  await open();
  await tabTo('try-example');
  await page.keyboard.press('Enter');
  await inMode(page, 'paint');
  await page.waitForFunction(() => document.getElementById('status').textContent.startsWith('An example'));
  await tabTo('clear');
  await page.keyboard.press('Enter');
  assert.equal(await paintedOnScreen(page), 0);

  await page.keyboard.down('Shift');
  for (let presses = 0; (await focused()) !== 'view'; presses++) {
    assert.ok(presses < 40, 'Shift+Tab never reaches the photo');
    await page.keyboard.press('Tab');
  }
  await page.keyboard.up('Shift');
  await page.keyboard.press(']');
  await page.keyboard.press('Enter'); // a stroke begins
  for (let i = 0; i < 8; i++) await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  const painted = await paintedOnScreen(page);
  assert.ok(painted > 4000, `${painted} pixels`);

  await page.keyboard.press('s');
  await page.keyboard.press('Enter');
  for (let i = 0; i < 4; i++) await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('Enter');

  await page.keyboard.press('f');
  await inMode(page, 'result');
  const { mask, structure } = await lastSent(page);
  assert.ok(mask.right - mask.left > 8 * 9, JSON.stringify(mask));
  assert.ok(structure.count > 0);
  await page.waitForFunction(() => document.activeElement.id === 'divider');
  await page.keyboard.press('ArrowRight');
  await tabTo('continue');
  await page.keyboard.press('Enter');
  await inMode(page, 'paint');
  assert.equal(await hasHole(page), false);
});

test('shortcuts choose tools, and letters in a field are letters', async () => {
  await open();
  await openExample(page);
  const tool = () => page.$eval('input[name=tool]:checked', (input) => input.value);
  for (const [key, name] of [['e', 'eraser'], ['s', 'structure'], ['b', 'brush']]) {
    await page.keyboard.press(key);
    assert.equal(await tool(), name);
  }
  const size = () => page.$eval('#brush-size', (slider) => Number(slider.value));
  const before = await size();
  await page.keyboard.press(']');
  assert.ok((await size()) > before);
  await page.keyboard.press('[');
  await page.keyboard.press('[');
  assert.ok((await size()) < before);

  await page.focus('#seed');
  await page.keyboard.type('f');
  assert.equal(await page.evaluate(() => document.body.dataset.mode), 'paint');
});

test('the question mark opens the help, and Escape closes it', async () => {
  await open();
  await page.keyboard.type('?');
  assert.ok(await page.$eval('#help-dialog', (dialog) => dialog.open));
  await page.keyboard.press('Escape');
  assert.ok(await page.$eval('#help-dialog', (dialog) => !dialog.open));
});

test('the theme follows the system until it is chosen, and is remembered', async () => {
  await open({ theme: 'dark' });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  await page.click('#theme-toggle');
  const light = await ground();
  assert.notEqual(dark, light);
  await page.reload();
  assert.equal(await ground(), light);
  await page.evaluate(() => localStorage.clear());
});

for (const width of [360, 768]) {
  test(`a screen of ${width} pixels shows everything without scrolling sideways`, async () => {
    await open({ viewport: { ...PHONE, width } });
    const fits = async (primary) => {
      const { wide, box, height } = await page.evaluate((id) => {
        const { left, right, top, bottom } = document.getElementById(id).getBoundingClientRect();
        return {
          wide: document.documentElement.scrollWidth,
          box: { left, right, top, bottom },
          height: innerHeight,
        };
      }, primary);
      assert.ok(wide <= width, `${primary}: the page is ${wide} pixels wide`);
      assert.ok(box.left >= 0 && box.right <= width && box.top >= 0 && box.bottom <= height + 0.5, `${primary}: ${JSON.stringify(box)}`);
    };
    await fits('choose-photo');
    await page.tap('#try-example');
    await inMode(page, 'paint');
    for (const id of ['fill', 'undo', 'clear', 'brush-size']) await fits(id);
    await page.waitForFunction(() => document.getElementById('fill').getAttribute('aria-disabled') === 'false');
    await page.tap('#fill');
    await inMode(page, 'result');
    for (const id of ['download', 'continue']) await fits(id);
  });
}

for (const theme of ['light', 'dark']) {
  test(`axe finds nothing to complain about, ${theme}`, async () => {
    await open({ theme });
    await page.waitForFunction(() => document.getElementById('model-note').textContent !== '');
    // Through the debugger, for the page's own policy allows no other scripts.
    const axe = await axeSource();
    const check = async (where) => {
      await page.mouse.move(0, 0); // what is hovered looks different
      await page.evaluate(axe);
      const violations = await page.evaluate(async () => {
        const { violations } = await window.axe.run();
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
      });
      assert.deepEqual(violations, [], where);
    };
    await check('empty');
    await openExampleWithoutHole(page);
    await check('no hole yet');
    await page.click('#undo');
    await page.click('#sampling summary');
    await page.keyboard.press('s');
    await check('painting');
    await page.click('#open-help');
    await check('help');
    await page.keyboard.press('Escape');
    await page.click('#fill');
    await inMode(page, 'result');
    await check('result');
    await page.click('#back');
    await page.$eval('#candidates', (field) => {
      field.value = 8;
    });
    await page.$eval('#steps', (field) => {
      field.value = 100;
    });
    await page.click('#fill');
    await page.waitForFunction(() => document.getElementById('progress-bar').value > 0);
    await check('filling');
    await page.click('#cancel');
    await page.waitForSelector('body:not([data-mode=fill])');
  });
}

test('what happens is told to people who do not see it', async () => {
  await open();
  await openExample(page);
  await page.evaluate(() => {
    window.told = [];
    const status = document.getElementById('status');
    new MutationObserver(() => window.told.push(status.textContent)).observe(status, { childList: true });
  });
  await page.click('#clear');
  await page.click('#undo');
  await page.click('#fill');
  await inMode(page, 'result');
  await page.waitForFunction(() => window.told.some((text) => text.startsWith('Filled')));
  const told = await page.evaluate(() => window.told);
  assert.deepEqual(told, ['Undone: clear', 'Filling the hole.', 'Filled: 2 to choose from.']);
  assert.match(await textOf(page, 'result-note'), /768 × 512/);
});
