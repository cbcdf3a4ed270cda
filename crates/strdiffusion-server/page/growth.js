const DIRECTIONS = 16;

/**
 * Draws what lies within `radius` of something drawn, roughly: copies of it on rings, close enough
 * together that nothing thicker than a third of the radius slips through.
 * @param {CanvasRenderingContext2D} ctx
 * @param {HTMLCanvasElement} drawn
 * @param {number} radius in its pixels
 */
export function drawGrown(ctx, drawn, radius) {
  ctx.globalCompositeOperation = 'source-over';
  ctx.clearRect(0, 0, ctx.canvas.width, ctx.canvas.height);
  for (const ring of radius > 6 ? [1, 2 / 3, 1 / 3] : [1]) {
    for (let i = 0; i < DIRECTIONS; i++) {
      const angle = (2 * Math.PI * i) / DIRECTIONS;
      ctx.drawImage(drawn, ring * radius * Math.cos(angle), ring * radius * Math.sin(angle));
    }
  }
}

/**
 * The growth that a painted hole has unless a person wants another: hands leave rims.
 * @param {{width: number, height: number}} photo
 * @returns {number} pixels
 */
export function usualGrowth({ width, height }) {
  return Math.max(2, Math.round(Math.max(width, height) / 250));
}
