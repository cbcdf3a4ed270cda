import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { inMode, openExample, openPage, startBrowser } from './browser.mjs';
import { startMock } from './mock.mjs';

// A server that asks for a token: the one at STRDIFFUSION_TOKEN_URL, which must take the token
// `sesame`, else the stand-in.
const TOKEN = 'sesame';
let server;
let browser;

before(async () => {
  const { STRDIFFUSION_TOKEN_URL: url } = process.env;
  server = url ? { url, close: async () => {} } : await startMock({ token: TOKEN });
  browser = await startBrowser();
});
after(async () => {
  await browser.close();
  await server.close();
});

async function give(page, token) {
  await page.waitForSelector('#token-dialog[open]');
  await page.type('#token', token);
  await page.keyboard.press('Enter');
}

test('the page asks for the token, again where it is wrong, and uses it for everything', async () => {
  const page = await openPage(browser, server.url);
  await give(page, 'wrong');
  await page.waitForFunction(() => document.getElementById('token-text').textContent.includes('not accepted'));
  await give(page, TOKEN);
  await page.waitForFunction(() => document.getElementById('model-note').textContent !== '');
  await openExample(page);
  await page.click('#fill');
  await inMode(page, 'result');

  await page.reload(); // the token is kept for the tab
  await page.waitForFunction(() => document.getElementById('model-note').textContent !== '');
  assert.ok(await page.$eval('#token-dialog', (dialog) => !dialog.open));
  assert.deepEqual(page.problems.filter((text) => !text.includes('401')), []);
  await page.close();
});

test('without a token a person can paint, and is asked again when filling', async () => {
  const page = await openPage(browser, server.url);
  await page.waitForSelector('#token-dialog[open]');
  await page.click('#token-cancel');
  await page.waitForSelector('#token-dialog:not([open])');
  await openExample(page);
  await page.click('#fill');
  await give(page, TOKEN);
  await inMode(page, 'result');
  await page.close();
});
