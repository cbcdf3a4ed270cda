// What the tests share: a browser, a page that is watched for errors, and what people do with it.

import { mkdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import puppeteer from 'puppeteer-core';
import { startMock } from './mock.mjs';

const SCREENSHOTS = fileURLToPath(new URL('screenshots/', import.meta.url));

/**
 * The server under test: the one at STRDIFFUSION_URL, else the stand-in.
 * @returns {Promise<{url: string, close: () => Promise<void>}>}
 */
export async function startServer() {
  const { STRDIFFUSION_URL: url } = process.env;
  return url ? { url, close: async () => {} } : startMock();
}

/** A browser without a window. */
export function startBrowser() {
  return puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox'],
  });
}

/**
 * Opens the page. `page.problems` collects errors in the console, of the page and of requests.
 * @param {import('puppeteer-core').Browser} browser
 * @param {string} url
 * @param {{viewport?: object, theme?: 'light' | 'dark'}} options
 */
export async function openPage(browser, url, { viewport, theme = 'light' } = {}) {
  const page = await browser.newPage();
  page.problems = [];
  page.on('dialog', (dialog) => dialog.accept());
  page.on('pageerror', (error) => page.problems.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warn') page.problems.push(message.text());
  });
  await page.setViewport(viewport ?? { width: 1280, height: 800 });
  await page.emulateMediaFeatures([
    { name: 'prefers-color-scheme', value: theme },
    { name: 'prefers-reduced-motion', value: 'reduce' },
  ]);
  await page.evaluateOnNewDocument(recordForms);
  await page.goto(url);
  return page;
}

/** Runs in the page: keeps what is sent to be filled. */
function recordForms() {
  window.sentForms = [];
  const send = window.fetch;
  window.fetch = (address, options) => {
    if (options?.body instanceof FormData) window.sentForms.push(options.body);
    return send(address, options);
  };
}

/** Waits for a mode of the page: empty, paint, fill or result. */
export function inMode(page, mode) {
  return page.waitForSelector(`body[data-mode=${mode}]`, { timeout: 180_000 });
}

/** Opens the example without its hole. */
export async function openExample(page) {
  await page.click('#try-example');
  await inMode(page, 'paint');
  await page.waitForFunction(() => document.getElementById('fill').getAttribute('aria-disabled') === 'false');
}

/** Opens the example and takes its hole away, so that a test paints its own. */
export async function openExampleWithoutHole(page) {
  await openExample(page);
  await page.click('#clear');
}

/**
 * Draws with the mouse. Points are fractions of the stage.
 * @param {Array<[number, number]>} points
 */
export async function draw(page, points) {
  const { x, y, width, height } = await (await page.$('#view')).boundingBox();
  const at = ([fx, fy]) => [x + fx * width, y + fy * height];
  await page.mouse.move(...at(points[0]));
  await page.mouse.down();
  for (const point of points.slice(1)) await page.mouse.move(...at(point), { steps: 6 });
  await page.mouse.up();
}

/** Sets a field as typing would. */
export function setField(page, id, value) {
  return page.$eval(
    `#${id}`,
    (field, text) => {
      field.value = text;
      field.dispatchEvent(new Event('input', { bubbles: true }));
      field.dispatchEvent(new Event('change', { bubbles: true }));
    },
    String(value),
  );
}

/** Presses keys together, such as Control and z. */
export async function chord(page, ...keys) {
  for (const key of keys.slice(0, -1)) await page.keyboard.down(key);
  await page.keyboard.press(keys.at(-1));
  for (const key of keys.slice(0, -1).reverse()) await page.keyboard.up(key);
}

/** How many pixels of the hole's stripes are on the screen: whether, and roughly how much, is painted. */
export function paintedOnScreen(page) {
  return page.evaluate(async () => {
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    const view = document.getElementById('view');
    const copy = new OffscreenCanvas(view.width, view.height);
    const ctx = copy.getContext('2d');
    ctx.drawImage(view, 0, 0);
    const { data } = ctx.getImageData(0, 0, copy.width, copy.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) {
      if (data[i] > data[i + 1] + 70 && data[i] > data[i + 2] + 70) count += 1;
    }
    return count;
  });
}

/** Whether the page has a hole to fill. */
export function hasHole(page) {
  return page.$eval('#fill', (fill) => fill.getAttribute('aria-disabled') === 'false');
}

/**
 * What was sent last: its settings, and of each picture its size and the rectangle of its bright
 * pixels.
 */
export function lastSent(page) {
  return page.evaluate(async () => {
    const form = window.sentForms.at(-1);
    const about = async (file) => {
      if (!file) return null;
      const bitmap = await createImageBitmap(file);
      const { width, height } = bitmap;
      const ctx = new OffscreenCanvas(width, height).getContext('2d');
      ctx.drawImage(bitmap, 0, 0);
      const { data } = ctx.getImageData(0, 0, width, height);
      const area = { count: 0, left: width, top: height, right: 0, bottom: 0 };
      for (let i = 0; i < width * height; i++) {
        if (data[4 * i] < 128) continue;
        const [x, y] = [i % width, Math.floor(i / width)];
        area.count += 1;
        area.left = Math.min(area.left, x);
        area.right = Math.max(area.right, x);
        area.top = Math.min(area.top, y);
        area.bottom = Math.max(area.bottom, y);
      }
      return { name: file.name, type: file.type, width, height, ...area };
    };
    return {
      settings: JSON.parse(form.get('settings')),
      image: await about(form.get('image')),
      mask: await about(form.get('mask')),
      structure: await about(form.get('structure')),
      avoid: await about(form.get('avoid')),
    };
  });
}

/** Puts a file that is drawn in the page into a file field, as choosing it would. */
export async function chooseDrawnFile(page, field, name, type, width, height, drawing) {
  await page.evaluate(
    async (id, name, type, width, height, drawing) => {
      const canvas = new OffscreenCanvas(width, height);
      const ctx = canvas.getContext('2d');
      for (const [colour, ...rectangle] of drawing) {
        ctx.fillStyle = colour;
        ctx.fillRect(...rectangle);
      }
      const blob = await canvas.convertToBlob({ type });
      const transfer = new DataTransfer();
      transfer.items.add(new File([blob], name, { type }));
      const input = document.getElementById(id);
      input.files = transfer.files;
      input.dispatchEvent(new Event('change', { bubbles: true }));
    },
    field,
    name,
    type,
    width,
    height,
    drawing,
  );
}

/** The text of an element. */
export function textOf(page, id) {
  return page.$eval(`#${id}`, (element) => element.textContent.trim());
}

/** Takes a picture of the page, for people to look at. */
export async function screenshot(page, name) {
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: `${SCREENSHOTS}${name}.png` });
}

/** Source of axe-core, which looks for what people with disabilities would stumble over. */
export function axeSource() {
  return readFile(fileURLToPath(new URL('node_modules/axe-core/axe.min.js', import.meta.url)), 'utf8');
}
