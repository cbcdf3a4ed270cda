import { byId } from './dom.js';

const KEY = 'strdiffusion-token';
let token = read();

function read() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** The token that this tab uses, or null. */
export function currentToken() {
  return token;
}

let asking = null;

/**
 * Asks for a token in a dialog; two that ask at once share one dialog.
 * @param {boolean} refused whether a token was sent and not accepted
 * @returns {Promise<boolean>} whether one was given
 */
export function askForToken(refused) {
  asking ??= ask(refused).finally(() => {
    asking = null;
  });
  return asking;
}

function ask(refused) {
  const dialog = byId('token-dialog');
  const field = byId('token');
  byId('token-text').textContent = refused
    ? 'That token was not accepted. Please check it and try again.'
    : 'It was started with --token. The token is kept until this tab is closed.';
  field.value = '';
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      'close',
      () => {
        const given = dialog.returnValue === 'ok' && field.value.trim() !== '';
        if (given) remember(field.value.trim());
        resolve(given);
      },
      { once: true },
    );
  });
}

function remember(value) {
  token = value;
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // it holds until the page is closed
  }
}
