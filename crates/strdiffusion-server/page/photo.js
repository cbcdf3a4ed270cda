import { convert } from './api.js';
import { breathe } from './dom.js';

/** What the server reads as it is; anything else the browser can show is sent as PNG. */
const SENT_AS_IS = new Set(['image/png', 'image/jpeg', 'image/webp', 'image/bmp', 'image/tiff']);
const SMALL_SIDE = 2048;

/** A picture that can be drawn quickly at any zoom, and the file it came from. */
export class Photo {
  constructor(blob, name, full, small) {
    this.blob = blob;
    this.name = name;
    this.full = full;
    this.small = small;
    this.width = full.width;
    this.height = full.height;
  }

  /** Draws a part of the photo; `scale` is screen pixels per photo pixel. */
  draw(ctx, scale, x, y, width, height) {
    const bitmap = this.small && scale * this.width <= this.small.width ? this.small : this.full;
    const ratio = bitmap.width / this.width;
    ctx.imageSmoothingEnabled = scale < 4; // pixels are shown as pixels when close
    ctx.imageSmoothingQuality = 'high';
    ctx.drawImage(bitmap, x * ratio, y * ratio, width * ratio, height * ratio, x, y, width, height);
  }

  /** Frees the memory of the decoded picture. */
  close() {
    this.full.close();
    this.small?.close();
  }
}

/**
 * Decodes a picture file. The browser turns it upright by its EXIF orientation, as the server does.
 * @param {Blob} blob
 * @param {string} name
 * @returns {Promise<Photo>}
 */
export async function readPhoto(blob, name) {
  const { bitmap: full, byServer } = await decode(blob, name);
  const longer = Math.max(full.width, full.height);
  const small =
    longer > SMALL_SIDE
      ? await createImageBitmap(full, {
          resizeWidth: Math.max(1, Math.round((full.width * SMALL_SIDE) / longer)),
          resizeHeight: Math.max(1, Math.round((full.height * SMALL_SIDE) / longer)),
          resizeQuality: 'medium',
        })
      : null;
  const sent = byServer || SENT_AS_IS.has(blob.type) ? blob : await toPng(full);
  return new Photo(sent, name, full, small);
}

/**
 * Decodes a picture file. What the browser cannot read, the server shows it, such as TIFF.
 * @param {Blob} blob
 * @param {string} name
 * @returns {Promise<{bitmap: ImageBitmap, byServer: boolean}>}
 */
export async function decode(blob, name) {
  try {
    return { bitmap: await bitmapOf(blob), byServer: false };
  } catch {
    return { bitmap: await bitmapOf(await shown(blob, name)), byServer: true };
  }
}

function bitmapOf(blob) {
  return createImageBitmap(blob, { imageOrientation: 'from-image' });
}

async function shown(blob, name) {
  try {
    return await convert(blob, name);
  } catch (error) {
    if (error.code !== 'bad_image') throw error;
    throw new Error(`${name} cannot be read as a picture. PNG, JPEG, WebP, TIFF and BMP files work.`);
  }
}

async function toPng(bitmap) {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext('2d').drawImage(bitmap, 0, 0);
  await breathe();
  return new Promise((resolve, reject) => {
    canvas.toBlob((png) => (png ? resolve(png) : reject(new Error('This picture is too large for the browser to convert; save it as PNG or JPEG first.'))));
  });
}

/** A file's name without its ending, for the names of results. */
export function stemOf(name) {
  return name.replace(/\.[^.]*$/, '') || 'photo';
}
