// For the test file that imports this: a server, a browser, and the page that a test has open, in
// which nothing may have gone wrong when the test is over.

import assert from 'node:assert/strict';
import { after, afterEach, before } from 'node:test';
import { openPage, startBrowser, startServer } from './browser.mjs';

let server;
export let browser;
export let page;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(async () => {
  await browser.close();
  await server.close();
});
afterEach(async () => {
  assert.deepEqual(page.problems, []);
  await page.close();
});

/** Opens the page for the test that runs; see `openPage` for the options. */
export async function open(options) {
  page = await openPage(browser, server.url, options);
}
