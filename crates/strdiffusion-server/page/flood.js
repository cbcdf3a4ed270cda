// What belongs together: a classical flood from one point, stopped by other colours and by edges.

const FARTHEST = Math.hypot(255, 255, 255);
const EDGE = 0.5; // of the tolerance: a step between neighbours that counts as an edge

/**
 * The region around a point whose colours are like the point's, reached without crossing an edge.
 * What it encloses belongs to it.
 * @param {ImageData} picture
 * @param {number} tolerance 0 to 1: how far colours may differ
 * @returns {Uint8Array} one byte a pixel, 1 = inside
 */
export function flood({ data, width, height }, x, y, tolerance) {
  const most = (tolerance * FARTHEST) ** 2;
  const edge = most * EDGE ** 2;
  const [r, g, b] = meanAround(data, width, height, x, y);
  const inside = new Uint8Array(width * height);
  spread(inside, width, height, [y * width + x], (to, from) => {
    const [i, j] = [4 * to, 4 * from];
    return (
      squared(data[i] - r, data[i + 1] - g, data[i + 2] - b) <= most &&
      squared(data[i] - data[j], data[i + 1] - data[j + 1], data[i + 2] - data[j + 2]) <= edge
    );
  });
  return withEnclosed(inside, width, height);
}

const squared = (r, g, b) => r * r + g * g + b * b;

/** The mean colour of a point and its neighbours: one pixel alone may be grain. */
function meanAround(data, width, height, x, y) {
  const sum = [0, 0, 0];
  let count = 0;
  for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
    for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
      for (let c = 0; c < 3; c++) sum[c] += data[4 * (row * width + column) + c];
      count += 1;
    }
  }
  return sum.map((value) => value / count);
}

/** Marks all that can be reached from the starts, one neighbour to the next. */
function spread(marked, width, height, starts, mayStep) {
  const waiting = starts.filter((start) => !marked[start]);
  for (const start of waiting) marked[start] = 1;
  while (waiting.length > 0) {
    const from = waiting.pop();
    const x = from % width;
    const step = (to) => {
      if (marked[to] || !mayStep(to, from)) return;
      marked[to] = 1;
      waiting.push(to);
    };
    if (x > 0) step(from - 1);
    if (x < width - 1) step(from + 1);
    if (from >= width) step(from - width);
    if (from < width * (height - 1)) step(from + width);
  }
}

/** A region and all that cannot be reached from the picture's border without crossing it. */
function withEnclosed(inside, width, height) {
  const outside = new Uint8Array(width * height);
  const border = [];
  for (let x = 0; x < width; x++) border.push(x, (height - 1) * width + x);
  for (let y = 0; y < height; y++) border.push(y * width, (y + 1) * width - 1);
  const starts = border.filter((index) => !inside[index]);
  spread(outside, width, height, starts, (to) => !inside[to]);
  return outside.map((reached) => 1 - reached);
}
