// A service worker: the page is fetched from the server as ever, and from what was fetched last where
// the server does not answer. Everything else goes past it.

const KEPT = 'strdiffusion-page';
const { pathname: root } = new URL('./', self.location);
const isPage = ({ pathname }) => pathname === root || pathname.startsWith(`${root}assets/`);

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== self.location.origin || !isPage(url)) return;
  event.respondWith(answer(request, url.origin + url.pathname)); // a token in the address is not kept
});

async function answer(request, key) {
  const kept = await caches.open(KEPT);
  try {
    const response = await fetch(request);
    if (response.ok) await kept.put(key, response.clone());
    return response;
  } catch (error) {
    const last = await kept.match(key);
    if (last) return last;
    throw error;
  }
}
