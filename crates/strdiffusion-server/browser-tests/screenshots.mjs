// Takes pictures of the page in each of its states, in light and dark, on a desktop and a phone,
// for people to look at:  node screenshots.mjs [part of a name]

import {
  draw,
  inMode,
  openExample,
  openPage,
  screenshot,
  setField,
  startBrowser,
  startServer,
} from './browser.mjs';

const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 360, height: 740, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const LOOKS = [
  ['desktop-light', DESKTOP, 'light'],
  ['desktop-dark', DESKTOP, 'dark'],
  ['phone-light', PHONE, 'light'],
  ['phone-dark', PHONE, 'dark'],
];

const server = await startServer();
const browser = await startBrowser();
for (const [name, viewport, theme] of LOOKS) {
  if (!name.includes(process.argv[2] ?? '')) continue;
  const page = await openPage(browser, server.url, { viewport, theme });
  await page.waitForFunction(() => document.getElementById('model-note').textContent !== '');
  await screenshot(page, `${name}-1-empty`);
  await openExample(page);
  await screenshot(page, `${name}-2-painting`);
  await page.keyboard.press('s');
  await draw(page, [[0.46, 0.2], [0.46, 0.6]]);
  await page.click('#sampling summary');
  await screenshot(page, `${name}-3-structure`);
  await page.keyboard.press('r');
  await draw(page, [[0.7, 0.3], [0.8, 0.5]]);
  await page.keyboard.press('p');
  for (const corner of [[0.2, 0.6], [0.3, 0.55], [0.32, 0.7]]) await draw(page, [corner]);
  await screenshot(page, `${name}-3a-areas`);
  await page.keyboard.press('Escape');
  await page.keyboard.press('w');
  await draw(page, [[0.3, 0.3]]);
  await screenshot(page, `${name}-3b-select`);
  await page.click('#undo');
  await page.keyboard.press('a');
  await draw(page, [[0.7, 0.3], [0.8, 0.5]]);
  await screenshot(page, `${name}-3d-avoid`);
  await page.click('#undo');
  await page.keyboard.press('x');
  await page.focus('#extend-right');
  for (let i = 0; i < 2; i++) await page.keyboard.press('PageUp');
  await screenshot(page, `${name}-3c-extend`);
  await page.click('#undo');
  await page.click('#undo');
  await page.keyboard.press('b');
  await setField(page, 'candidates', 4);
  await setField(page, 'steps', 20);
  await page.click('#fill');
  await page.waitForFunction(() => document.getElementById('pane-texture').naturalWidth > 0);
  await screenshot(page, `${name}-4-filling`);
  await inMode(page, 'result');
  await screenshot(page, `${name}-5-result`);
  await page.click('#open-help');
  await screenshot(page, `${name}-6-help`);
  await page.keyboard.press('Escape');
  await page.click('#back');
  await page.$eval('#photo-file', async (input) => {
    const transfer = new DataTransfer();
    for (const [name, colour] of [['morning.png', '#b86'], ['noon.png', '#8ab'], ['evening.png', '#547']]) {
      const canvas = new OffscreenCanvas(640, 480);
      canvas.getContext('2d').fillStyle = colour;
      canvas.getContext('2d').fillRect(0, 0, 640, 480);
      transfer.items.add(new File([await canvas.convertToBlob()], name, { type: 'image/png' }));
    }
    input.files = transfer.files;
    input.dispatchEvent(new Event('change'));
  });
  await page.waitForFunction(() => document.getElementById('status').textContent.startsWith('morning.png'));
  await page.keyboard.press('b');
  await draw(page, [[0.4, 0.5], [0.5, 0.5]]);
  await setField(page, 'steps', 2);
  await page.click('#fill');
  await inMode(page, 'result');
  await screenshot(page, `${name}-6a-row`);
  await page.click('#back');
  await setField(page, 'seed', 'seven');
  await page.$eval('#photo-file', (input) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(['hello'], 'letter.png', { type: 'image/png' }));
    input.files = transfer.files;
    input.dispatchEvent(new Event('change'));
  });
  await page.waitForFunction(() => !document.getElementById('message').hidden);
  await screenshot(page, `${name}-7-message`);
  await page.close();
}
await browser.close();
await server.close();
