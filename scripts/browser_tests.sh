#!/usr/bin/env bash
# Tests the page in headless Chromium: against its stand-in for the server, and against
# target/release/strdiffusion with the default model.
#
#   scripts/browser_tests.sh                  stops with an error where something is lacking
#   scripts/browser_tests.sh --if-possible    says what is lacking and is content, for CI
set -euo pipefail
cd "$(dirname "$0")/.."

source scripts/if_possible.sh "Browser tests not run" "$@"
source scripts/serving.sh

command -v node >/dev/null || give_up "node was not found"
node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' ||
    give_up "they need Node 20 or newer, and node is $(node --version)"
command -v "${CHROMIUM:-/usr/bin/chromium}" >/dev/null ||
    give_up "${CHROMIUM:-/usr/bin/chromium} was not found (on Debian: apt-get install chromium)"
[ -x "$program" ] || give_up "$program is not built"

tests=crates/strdiffusion-server/browser-tests
npm --prefix "$tests" install --no-audit --no-fund --silent ||
    give_up "npm cannot install what $tests/package.json names"
npm --prefix "$tests" test

serve && STRDIFFUSION_URL=$address/
serve --token sesame && STRDIFFUSION_TOKEN_URL=$address/
export STRDIFFUSION_URL STRDIFFUSION_TOKEN_URL
npm --prefix "$tests" test
