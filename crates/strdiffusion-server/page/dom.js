/**
 * The element with this id. A missing one is a mistake in the page, so it throws.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element #${id}`);
  return element;
}

/**
 * Shows or hides elements.
 * @param {boolean} visible
 * @param {...HTMLElement} elements
 */
export function show(visible, ...elements) {
  for (const element of elements) element.hidden = !visible;
}

/** Lets the browser draw and answer before long work goes on. */
export function breathe() {
  return new Promise((resolve) => setTimeout(resolve));
}
