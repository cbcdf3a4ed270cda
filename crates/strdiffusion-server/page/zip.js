import { crc32 } from './crc32.js';

// ZIP (APPNOTE.TXT 6.3): files as they are, for pictures cannot be compressed any more.

const UTF8_NAMES = 1 << 11;
const MOST_BYTES = 0xffffffff;
const FIRST_OF_1980 = (1 << 5) | 1; // the oldest date that there is: none is known

/**
 * Files in one.
 * @param {Array<{name: string, blob: Blob}>} files names that differ
 * @returns {Promise<Blob>}
 */
export async function zip(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, blob } of files) {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const file = { name: new TextEncoder().encode(name), size: bytes.length, crc: crc32(bytes), offset };
    const head = localHead(file);
    parts.push(head, blob);
    directory.push(directoryEntry(file));
    offset += head.length + bytes.length;
    if (offset > MOST_BYTES) throw new Error('The pictures are too large for one ZIP; download them one by one.');
  }
  const length = directory.reduce((sum, entry) => sum + entry.length, 0);
  return new Blob([...parts, ...directory, end(files.length, length, offset)], { type: 'application/zip' });
}

/** Numbers in little-endian order: pairs of bytes and value. */
function fields(...pairs) {
  const bytes = new Uint8Array(pairs.reduce((sum, [size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [size, value] of pairs) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}

function join(...arrays) {
  const all = new Uint8Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  return all;
}

/** What a file's head and its entry in the directory have in common. */
function common({ name, size, crc }) {
  const [version, stored, time] = [20, 0, 0];
  return [
    [2, version], [2, UTF8_NAMES], [2, stored], [2, time], [2, FIRST_OF_1980],
    [4, crc], [4, size], [4, size], [2, name.length], [2, 0],
  ];
}

function localHead(file) {
  return join(fields([4, 0x04034b50], ...common(file)), file.name);
}

function directoryEntry(file) {
  const [madeBy, comment, disk, inside, outside] = [20, 0, 0, 0, 0];
  const rest = [[2, comment], [2, disk], [2, inside], [4, outside], [4, file.offset]];
  return join(fields([4, 0x02014b50], [2, madeBy], ...common(file), ...rest), file.name);
}

function end(count, length, offset) {
  return fields([4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, length], [4, offset], [2, 0]);
}
