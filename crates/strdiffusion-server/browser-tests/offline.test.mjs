import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inMode, openPage, startBrowser } from './browser.mjs';
import { startMock } from './mock.mjs';

test('the page can be installed, and opens while the server is not there', async () => {
  const server = await startMock(); // a server that can go away
  const browser = await startBrowser();
  try {
    const page = await openPage(browser, server.url);
    const client = await page.createCDPSession();
    const { errors, url } = await client.send('Page.getAppManifest');
    assert.deepEqual(errors, []);
    assert.equal(url, `${server.url}assets/app.webmanifest`);
    const { installabilityErrors } = await client.send('Page.getInstallabilityErrors');
    assert.deepEqual(installabilityErrors.filter(({ errorId }) => errorId !== 'in-incognito'), []);
    await page.waitForFunction(async () => {
      const kept = await (await caches.open('strdiffusion-page')).keys();
      const loaded = performance.getEntriesByType('resource').filter(({ name }) => name.includes('/assets/'));
      const names = new Set(loaded.map(({ name }) => name));
      return kept.length >= names.size + 1;
    });
    assert.deepEqual(page.problems, []);

    await server.close();
    await page.reload();
    await page.waitForFunction(() => document.getElementById('message-text').textContent.includes('does not answer'));
    await page.click('#try-example');
    await inMode(page, 'paint');
  } finally {
    await browser.close();
    await server.close();
  }
});
