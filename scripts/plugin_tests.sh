#!/usr/bin/env bash
# Tests the plug-ins against target/release/strdiffusion with the default model; Krita's in Krita where it is.
#
#   scripts/plugin_tests.sh                  stops with an error where something is lacking
#   scripts/plugin_tests.sh --if-possible    says what is lacking and is content, for CI
set -euo pipefail
cd "$(dirname "$0")/.."

source scripts/if_possible.sh "Plug-ins not tested" "$@"
source scripts/serving.sh

command -v python3 >/dev/null || give_up "python3 was not found"
[ -x "$program" ] || give_up "$program is not built"

python3 -m py_compile plugins/gimp/strdiffusion_fill/strdiffusion_fill.py
serve && export STRDIFFUSION_URL=$address
cd plugins
python3 -m unittest --verbose test_plugins
