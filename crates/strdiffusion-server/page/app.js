import { Album } from './album.js';
import { listModels } from './api.js';
import { announce, complain, hush } from './announce.js';
import { byId, show } from './dom.js';
import { CanvasView } from './canvas-view.js';
import { Compare } from './compare.js';
import { drawExample, paintExampleHole } from './example.js';
import { Extend } from './extend.js';
import { fill } from './fill.js';
import { takeFiles } from './files.js';
import { KeyboardBrush } from './keyboard-brush.js';
import { Outline } from './outline.js';
import { Painting } from './painting.js';
import { Pointer } from './pointer.js';
import { Progress } from './progress.js';
import { readPhoto } from './photo.js';
import { Replay } from './replay.js';
import { Results } from './results.js';
import { Select } from './select.js';
import { Settings } from './settings.js';
import { listenForShortcuts } from './shortcuts.js';
import { Stroke } from './stroke.js';
import { toggleTheme } from './theme.js';
import { Tools } from './tools.js';

const painting = new Painting();
const settings = new Settings();
const tools = new Tools();
const view = new CanvasView(byId('view'), painting);
const compare = new Compare(view);
const replay = new Replay();
const results = new Results(painting, compare, replay);
const progress = new Progress();
const extend = new Extend(view, painting);
const album = new Album((index) =>
  attempt(() => {
    leavePhoto();
    return turnTo(index);
  }),
);
const stroke = new Stroke(view, painting, tools);
const outline = new Outline(view, painting, tools);
const gestures = {
  brush: stroke,
  eraser: stroke,
  structure: stroke,
  avoid: stroke,
  rectangle: outline,
  lasso: outline,
  polygon: outline,
  select: new Select(view, painting, tools),
};
const pointer = new Pointer(view, painting, tools, byId('brush-ring'), gestures, () => mode === 'paint');
const keyboardBrush = new KeyboardBrush(pointer);

let mode = 'empty'; // 'empty', 'paint', 'fill' or 'result'
let running = null; // AbortController of the fill that runs
let unsaved = false; // whether leaving the page would lose work

function setMode(next) {
  mode = next;
  document.body.dataset.mode = mode;
  show(mode === 'empty', byId('welcome'));
  show(mode !== 'empty', byId('view'), byId('zoom'), byId('side'));
  show(mode === 'paint' || mode === 'fill', byId('tools'), byId('settings'), byId('fill'), byId('fill-hint'));
  show(mode === 'paint', byId('open-mask'));
  show(mode === 'result', byId('results'), byId('result-actions'), byId('download'));
  show(mode === 'result' && album.isRow, byId('keep'));
  for (const id of ['tools', 'settings']) byId(id).inert = mode === 'fill';
  if (mode !== 'result') results.leave();
  pointer.showRing();
  showHandles();
  refresh();
}

function showHandles() {
  extend.show(mode === 'paint' && tools.tool === 'extend');
}

function refresh() {
  byId('undo').disabled = !painting.history.canUndo;
  byId('redo').disabled = !painting.history.canRedo;
  const hasHole = painting.hasHole;
  byId('clear').disabled = painting.isBlank;
  view.growth = settings.growth;
  view.redraw();
  show(mode === 'paint' && results.chosen !== null, byId('to-result'));
  const ready = mode === 'paint' && hasHole;
  byId('fill').setAttribute('aria-disabled', String(!ready));
  byId('fill').textContent = mode === 'fill' ? 'Filling…' : 'Fill the hole';
  byId('fill-hint').textContent = hasHole || mode !== 'paint' ? '' : 'Paint over what should go.';
}

/** Runs something a person asked for; what goes wrong is said in one sentence. */
async function attempt(action) {
  hush();
  try {
    await action();
  } catch (error) {
    complain(error.message);
    if (!error.code && error.constructor !== Error) console.error(error);
  }
}

// --- photos and masks

/** Opens photos: one, or several in a row. */
async function openPhotos(photos) {
  if (mode === 'fill') return complain('A fill is running; cancel it before opening another photo.');
  leavePhoto();
  try {
    await turnTo(album.add(photos));
  } catch (error) {
    if (mode === 'empty' && album.entries.length > 0) await turnTo(0);
    throw error;
  }
}

/** Keeps what was done to the photo that is open. */
function leavePhoto() {
  if (mode === 'empty' || !album.current) return;
  const { blob, name } = painting.photo;
  Object.assign(album.current, { blob, name, painted: painting.painted });
  if (mode === 'result') album.current.result = results.kept;
}

/** Opens a photo of the row, with what was painted on it. */
async function turnTo(index) {
  if (mode === 'fill') return complain('A fill is running; cancel it before opening another photo.');
  const entry = album.entries[index];
  announce(`Opening ${entry.name}`);
  const photo = await readPhoto(entry.blob, entry.name).catch((error) => {
    album.remove(index);
    throw error;
  });
  pointer.abandon();
  results.clear();
  if (album.isRow) painting.turnTo(photo, entry.painted);
  else painting.open(photo);
  album.at = index;
  album.refresh();
  setMode('paint');
  let note = `${entry.name}, ${photo.width} by ${photo.height} pixels.`;
  if (!entry.painted && mayBeTransparent(entry) && (await painting.holeFromTransparency())) {
    note += ' Its transparent parts are the hole.';
  }
  announce(note);
}

function mayBeTransparent({ blob, name }) {
  return /png|webp|tiff/.test(blob.type) || /\.tiff?$/i.test(name);
}

/** Keeps the result that is shown, and goes on to the next photo that has none. */
async function keepResult() {
  leavePhoto();
  if (album.next >= 0) return turnTo(album.next);
  album.refresh();
  announce('Every photo is filled. Download them as ZIP.');
}

async function downloadAll() {
  leavePhoto();
  const link = document.createElement('a');
  link.href = URL.createObjectURL(await album.download());
  link.download = 'filled.zip';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser has begun to read it
  unsaved = false;
}

async function openMask(blob, name) {
  await painting.openMask(blob, name);
  announce('The mask is the hole now.');
}

async function openExample() {
  const blob = await drawExample();
  await openPhotos([{ blob, name: 'example.png' }]);
  paintExampleHole(painting);
  announce('An example with a hole over the balloon. Press Fill the hole.');
}

// --- filling

async function startFill() {
  if (mode !== 'paint' || pointer.busy) return;
  keyboardBrush.lift();
  pointer.settle();
  if (!painting.hasHole) {
    announce('There is no hole yet. Paint over what should go.');
    return;
  }
  const chosen = settings.read();
  if (!chosen) return;
  running = new AbortController();
  results.clear();
  setMode('fill');
  progress.start('Sending the photo…');
  announce('Filling the hole.');
  byId('cancel').focus();
  try {
    const adding = [];
    const state = await fill(painting, chosen, running.signal, {
      state: (state) => progress.state(state),
      step: (event) => {
        progress.step(event);
        replay.keep(event);
      },
      candidate: (candidate) => adding.push(results.add(candidate)),
    });
    await Promise.all(adding);
    await finish(state);
  } catch (error) {
    setMode('paint');
    if (error.name !== 'AbortError') throw error;
    announce('Cancelled.');
  } finally {
    running = null;
    progress.stop();
  }
}

async function finish(state) {
  if (results.list.length > 0) {
    results.job = state.id;
    await results.choose(results.list[0]);
    setMode('result');
    compare.with(results.chosen.photo);
    if (!painting.extends) compare.beside(painting.hole.bounds());
    unsaved = true;
    announce(
      `${state.state === 'done' ? 'Filled' : 'Stopped early'}: ${results.list.length} to choose from.`,
    );
    byId('divider').focus({ preventScroll: true });
    return;
  }
  setMode('paint');
  if (state.state === 'failed') {
    throw new Error(state.error?.message ?? 'The fill failed on the server; your painting is kept.');
  }
  announce('Cancelled. Your painting is kept.');
}

function backToPainting() {
  if (mode !== 'result') return;
  setMode('paint');
  byId('view').focus({ preventScroll: true });
  announce('Back to painting.');
}

function showResult() {
  results.again();
  setMode('result');
  byId('divider').focus({ preventScroll: true });
}

function continueFromResult() {
  const photo = results.takeChosen();
  painting.open(photo);
  results.clear();
  setMode('paint');
  byId('view').focus({ preventScroll: true });
  announce('The result is the photo now. Undo brings the last one back.');
}

async function fillAgain() {
  settings.roll();
  setMode('paint');
  await startFill();
}

// --- undo

function step(direction) {
  if (mode !== 'paint' || pointer.busy) return;
  keyboardBrush.lift();
  if (pointer.waits) return pointer.used.cancel();
  const label = direction === 'undo' ? painting.history.undo() : painting.history.redo();
  if (label) announce(`${direction === 'undo' ? 'Undone' : 'Done again'}: ${label}`);
}

function clear() {
  if (mode === 'paint' && !pointer.busy) painting.clear();
}

// --- wiring

function escape() {
  if (pointer.busy || pointer.waits) return pointer.abandon();
  if (mode === 'fill') return running?.abort();
  if (mode === 'result') return backToPainting();
  hush();
}

function choose(tool) {
  if (mode !== 'paint') return;
  tools.choose(tool);
  announce(tool);
}

function resizeBrush(larger) {
  announce(`Brush size ${tools.resize(larger)}`);
}

function zoom(factor) {
  view.move((viewport) => (factor ? viewport.zoom(factor) : viewport.fit()));
}

function click(id, action) {
  byId(id).addEventListener('click', () => attempt(action));
}

// What was filled before fits neither another photo nor one of another size.
for (const change of ['photo', 'margins']) painting.addEventListener(change, () => results.clear());
for (const change of ['photo', 'change']) {
  painting.addEventListener(change, () => painting.photo && settings.growFor(painting));
}
tools.addEventListener('change', showHandles);
byId('settings').addEventListener('input', refresh);
view.moved = () => {
  compare.place();
  if (!byId('extend-handles').hidden) extend.place();
};
painting.addEventListener('change', () => {
  unsaved ||= painting.hasHole;
  refresh();
});
view.onZoom = (scale) => {
  byId('zoom-level').textContent = `${Math.round(100 * scale)} %`;
};

const pickFiles = takeFiles({
  photos: (files) =>
    attempt(() => openPhotos(files.map((blob) => ({ blob, name: blob.name || 'pasted picture.png' })))),
  mask: (file) => attempt(() => openMask(file, file.name)),
});
click('open-photo', pickFiles.photo);
click('choose-photo', pickFiles.photo);
click('open-mask', pickFiles.mask);
click('try-example', openExample);
click('fill', startFill);
click('cancel', () => running?.abort());
click('again', fillAgain);
click('back', backToPainting);
click('to-result', showResult);
click('continue', continueFromResult);
click('keep', keepResult);
click('album-zip', downloadAll);
click('undo', () => step('undo'));
click('redo', () => step('redo'));
click('clear', clear);
click('zoom-in', () => zoom(1.25));
click('zoom-out', () => zoom(0.8));
click('zoom-fit', () => zoom(0));
click('theme-toggle', () => announce(`${toggleTheme()} theme`));
click('open-help', () => byId('help-dialog').showModal());
compare.showBeforeWhilePressed(byId('before'));
byId('message-close').addEventListener('click', hush);
byId('token-cancel').addEventListener('click', () => byId('token-dialog').close(''));
byId('download').addEventListener('click', () => {
  unsaved = false;
});

listenForShortcuts(
  {
    b: () => choose('brush'),
    e: () => choose('eraser'),
    r: () => choose('rectangle'),
    l: () => choose('lasso'),
    p: () => choose('polygon'),
    w: () => choose('select'),
    s: () => choose('structure'),
    a: () => choose('avoid'),
    x: () => choose('extend'),
    f: () => attempt(startFill),
    '[': () => resizeBrush(false),
    ']': () => resizeBrush(true),
    'ctrl+z': () => step('undo'),
    'ctrl+shift+z': () => step('redo'),
    'ctrl+y': () => step('redo'),
    '+': () => zoom(1.25),
    '=': () => zoom(1.25),
    '-': () => zoom(0.8),
    0: () => zoom(0),
    Escape: escape,
    '?': () => byId('help-dialog').showModal(),
  },
  (held) => pointer.holdSpace(held),
);

addEventListener('beforeunload', (event) => {
  if (unsaved && mode !== 'empty') event.preventDefault();
});

setMode('empty');
attempt(async () => {
  settings.useModels(await listModels());
});
