// Keeps the page at hand while the server is not there, where the browser can (not on plain HTTP from
// another machine).
if ('serviceWorker' in navigator) {
  keep().catch(() => {}); // storage can be switched off
}

async function keep() {
  const { serviceWorker } = navigator;
  const takesOver = new Promise((resolve) => {
    serviceWorker.addEventListener('controllerchange', resolve, { once: true });
  });
  await serviceWorker.register('offline.js');
  if (!serviceWorker.controller) await takesOver;
  // What was loaded before the worker was there, it has not seen.
  const loaded = performance.getEntriesByType('resource').map(({ name }) => name);
  const files = loaded.filter((name) => new URL(name).pathname.includes('/assets/'));
  await Promise.all(['./', ...files].map((name) => fetch(name)));
}
