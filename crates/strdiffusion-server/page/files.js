import { byId, show } from './dom.js';

/**
 * Takes files that are chosen, dropped on the page or pasted.
 * @param {{photo: (file: File) => void, mask: (file: File) => void}} take
 * @returns {{photo: () => void, mask: () => void}} open the file dialogs
 */
export function takeFiles(take) {
  const picker = (id, taker) => {
    const input = byId(id);
    input.addEventListener('change', () => {
      const [file] = input.files;
      if (file) taker(file);
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
    const [file] = event.dataTransfer.files;
    if (file) take.photo(file);
  });
  addEventListener('paste', (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith('image/'));
    if (file) take.photo(file);
  });

  return { photo: picker('photo-file', take.photo), mask: picker('mask-file', take.mask) };
}
