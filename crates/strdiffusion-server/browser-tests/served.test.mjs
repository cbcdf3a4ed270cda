import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { startServer } from './browser.mjs';

const PAGE = new URL('../page/', import.meta.url);
const KINDS = {
  html: 'text/html',
  css: 'text/css',
  js: 'text/javascript',
  svg: 'image/svg+xml',
  webmanifest: 'application/manifest+json',
};
const AT_ROOT = { 'index.html': '', 'offline.js': 'offline.js' };

test('every file of the page is served as it is, and as what it is', async () => {
  const server = await startServer();
  for (const name of await readdir(PAGE)) {
    const address = AT_ROOT[name] ?? `assets/${name}`;
    const response = await fetch(new URL(address, server.url));
    assert.equal(response.status, 200, name);
    assert.ok(response.headers.get('content-type').startsWith(KINDS[name.split('.').pop()]), name);
    assert.equal(await response.text(), await readFile(new URL(name, PAGE), 'utf8'), name);
  }
  await server.close();
});

test('the page asks nothing of any other place', async () => {
  for (const name of await readdir(PAGE)) {
    const text = await readFile(new URL(name, PAGE), 'utf8');
    const elsewhere = text.match(/https?:\/\/(?!www\.w3\.org\/2000\/svg)[^\s"'`)]+/g);
    assert.equal(elsewhere, null, name);
  }
});
