const TYPING = 'input:not([type=range]):not([type=radio]):not([type=checkbox]), textarea, select';

/**
 * Keys that work anywhere on the page but in fields and dialogs.
 * @param {Record<string, () => void>} actions by key; `ctrl+z` for a key with Ctrl or Command
 * @param {(held: boolean) => void} space told when the space bar is pressed and let go
 */
export function listenForShortcuts(actions, space) {
  document.addEventListener('keydown', (event) => {
    if (document.querySelector('dialog[open]')) return;
    const typing = event.target.closest?.(TYPING);
    if (event.key === ' ' && (event.target === document.body || event.target.id === 'view')) {
      event.preventDefault(); // the photo moves, not the page
      return space(true);
    }
    const name = nameOf(event);
    const action = actions[name];
    if (!action || (typing && name !== 'Escape')) return;
    event.preventDefault();
    action();
  });
  document.addEventListener('keyup', (event) => {
    if (event.key === ' ') space(false);
  });
  window.addEventListener('blur', () => space(false));
}

function nameOf(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!event.ctrlKey && !event.metaKey) return event.altKey ? '' : key;
  return `ctrl+${event.shiftKey ? 'shift+' : ''}${key}`;
}
