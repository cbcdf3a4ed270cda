import { byId, show } from './dom.js';

/**
 * Says something to people who use a screen reader, when they have a moment.
 * @param {string} text
 */
export function announce(text) {
  byId('status').textContent = text;
}

/**
 * Shows a sentence that must be read, with a button to close it.
 * @param {string} text
 */
export function complain(text) {
  byId('message-text').textContent = text;
  show(true, byId('message'));
}

/** Takes the message away. */
export function hush() {
  show(false, byId('message'));
}
