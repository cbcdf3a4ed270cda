import { crc32 } from './crc32.js';

// PNG (ISO/IEC 15948) with one bit a pixel. A canvas of the photo's size would need four bytes a
// pixel and can be larger than a phone allows; this needs a 32nd of it, a band of rows at a time.

function chunk(type, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

function header(width, height) {
  const data = new Uint8Array(13);
  const view = new DataView(data.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  data[8] = 1; // bits a pixel; the rest 0: grayscale, deflate, no interlace
  return data;
}

/** The rows of a band, each with filter type 0 before it. */
function filtered({ rows, bytes }) {
  const stride = bytes.length / rows;
  const lines = new Uint8Array(rows * (stride + 1));
  for (let y = 0; y < rows; y++) {
    lines.set(bytes.subarray(y * stride, (y + 1) * stride), y * (stride + 1) + 1);
  }
  return lines;
}

/**
 * A layer as a black and white PNG: painted = white.
 * @param {import('./mask.js').Layer} layer
 * @returns {Promise<Blob>}
 */
export async function pngFromLayer(layer) {
  const deflate = new CompressionStream('deflate');
  const compressed = new Response(deflate.readable).arrayBuffer();
  const writer = deflate.writable.getWriter();
  for await (const band of layer.bits()) await writer.write(filtered(band));
  await writer.close();
  const signature = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
  return new Blob(
    [
      signature,
      chunk('IHDR', header(layer.width, layer.height)),
      chunk('IDAT', new Uint8Array(await compressed)),
      chunk('IEND', new Uint8Array(0)),
    ],
    { type: 'image/png' },
  );
}
