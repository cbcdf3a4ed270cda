// A scene drawn here, so that a person without a photo at hand can start: a house front with a
// balloon before it that is to be removed.

const WIDTH = 768;
const HEIGHT = 512;
const BALLOON = { x: 376, y: 206, rx: 30, ry: 36 };

/** @returns {Promise<Blob>} the scene as PNG */
export function drawExample() {
  const canvas = new OffscreenCanvas(WIDTH, HEIGHT);
  const ctx = canvas.getContext('2d');
  sky(ctx);
  house(ctx, 60, 96, 300, 336, '#c9a27e', '#8d6b50', 4);
  house(ctx, 360, 60, 348, 372, '#b9c0bd', '#6f7a79', 5);
  street(ctx);
  balloon(ctx);
  grain(ctx);
  return canvas.convertToBlob({ type: 'image/png' });
}

/**
 * Paints the hole over the balloon.
 * @param {import('./painting.js').Painting} painting
 */
export function paintExampleHole(painting) {
  painting.begin();
  const { x, y, rx, ry } = BALLOON;
  painting.hole.line(x, y - 10, x, y + 12, 2 * rx + 16);
  painting.hole.line(x, y + ry - 8, x + 3, y + ry + 48, 22);
  painting.end('example');
}

function sky(ctx) {
  const gradient = ctx.createLinearGradient(0, 0, 0, 330);
  gradient.addColorStop(0, '#7fa9d0');
  gradient.addColorStop(1, '#e4e9ea');
  ctx.fillStyle = gradient;
  ctx.fillRect(0, 0, WIDTH, HEIGHT);
}

function house(ctx, x, y, width, height, wall, shade, columns) {
  const light = ctx.createLinearGradient(x, 0, x + width, 0);
  light.addColorStop(0, wall);
  light.addColorStop(1, shade);
  ctx.fillStyle = wall;
  ctx.fillRect(x, y, width, height);
  ctx.globalAlpha = 0.35;
  ctx.fillStyle = light;
  ctx.fillRect(x, y, width, height);
  ctx.globalAlpha = 1;
  ctx.fillStyle = shade;
  ctx.fillRect(x - 6, y - 12, width + 12, 16); // the eaves
  ctx.fillRect(x, y + height - 74, width, 6);
  const pitch = width / columns;
  for (let row = 0; row < 3; row++) {
    for (let column = 0; column < columns; column++) {
      windowPane(ctx, x + pitch * (column + 0.5), y + 34 + row * 84, 34, 52, shade);
    }
  }
  ctx.fillStyle = '#4a3a33';
  ctx.fillRect(x + width / 2 - 19, y + height - 62, 38, 62);
}

function windowPane(ctx, middle, top, width, height, frame) {
  ctx.fillStyle = '#eeece6';
  ctx.fillRect(middle - width / 2 - 4, top - 4, width + 8, height + 8);
  const glass = ctx.createLinearGradient(0, top, 0, top + height);
  glass.addColorStop(0, '#516779');
  glass.addColorStop(1, '#27343f');
  ctx.fillStyle = glass;
  ctx.fillRect(middle - width / 2, top, width, height);
  ctx.fillStyle = '#eeece6';
  ctx.fillRect(middle - 1.5, top, 3, height);
  ctx.fillRect(middle - width / 2, top + height * 0.4, width, 3);
  ctx.fillStyle = frame;
  ctx.fillRect(middle - width / 2 - 7, top + height + 4, width + 14, 5);
}

function street(ctx) {
  ctx.fillStyle = '#a9a49c';
  ctx.fillRect(0, 432, WIDTH, 26);
  ctx.fillStyle = '#77736d';
  ctx.fillRect(0, 456, WIDTH, 6);
  ctx.fillStyle = '#5c5b5d';
  ctx.fillRect(0, 462, WIDTH, 50);
}

function balloon(ctx) {
  const { x, y, rx, ry } = BALLOON;
  const shine = ctx.createRadialGradient(x - 14, y - 18, 4, x, y, ry);
  shine.addColorStop(0, '#ffe9a0');
  shine.addColorStop(1, '#d99a12');
  ctx.fillStyle = shine;
  ctx.beginPath();
  ctx.ellipse(x, y, rx, ry, 0, 0, 2 * Math.PI);
  ctx.fill();
  ctx.strokeStyle = '#4a3a1a';
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  ctx.moveTo(x, y + ry);
  ctx.quadraticCurveTo(x + 8, y + ry + 24, x + 2, y + ry + 52);
  ctx.stroke();
}

/** A little grain, the same each time: flat colours are nothing that a photo has. */
function grain(ctx) {
  const image = ctx.getImageData(0, 0, WIDTH, HEIGHT);
  let state = 1;
  for (let i = 0; i < image.data.length; i += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const noise = (state >>> 24) / 16 - 8;
    for (let channel = 0; channel < 3; channel++) image.data[i + channel] += noise;
  }
  ctx.putImageData(image, 0, 0);
}
