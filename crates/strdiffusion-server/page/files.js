import { byId, show } from './dom.js';

/**
 * Takes files that are chosen, dropped on the page or pasted.
 * @param {{photos: (files: File[]) => void, mask: (file: File) => void}} take
 * @returns {{photo: () => void, mask: () => void}} open the file dialogs
 */
export function takeFiles(take) {
  const picker = (id, taker) => {
    const input = byId(id);
    input.addEventListener('change', () => {
      const files = [...input.files];
      if (files.length > 0) taker(files);
      input.value = ''; // so that the same file can be chosen again
    });
    return () => input.click();
  };

  const hint = byId('drop-hint');
  const holdsFiles = (event) => event.dataTransfer?.types.includes('Files');
  addEventListener('dragover', (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    show(true, hint);
  });
  addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) show(false, hint);
  });
  addEventListener('drop', (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    show(false, hint);
    const files = [...event.dataTransfer.files];
    if (files.length > 0) take.photos(files);
  });
  addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter(({ type }) => type.startsWith('image/'));
    if (files.length > 0) take.photos(files);
  });

  return {
    photo: picker('photo-file', take.photos),
    mask: picker('mask-file', ([file]) => take.mask(file)),
  };
}
