// The system's choice of light or dark holds until the person makes one. Loaded before the first
// paint, so that a dark page never flashes white.
const KEY = 'strdiffusion-theme';
const system = matchMedia('(prefers-color-scheme: dark)');

const stored = () => {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage can be switched off
  }
};

const apply = (theme) => {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
};

apply(stored());

/** Whether the page is dark now. */
export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === 'dark' : system.matches;
}

/** Switches between light and dark, and remembers it. */
export function toggleTheme() {
  const theme = isDark() ? 'light' : 'dark';
  apply(theme);
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // it holds until the page is closed
  }
  return theme;
}
