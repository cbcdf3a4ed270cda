#!/usr/bin/env bash
# Holds the running server against its own description with generated requests (Schemathesis).
#
#   scripts/check_api.sh [--if-possible] [EXAMPLES]     so many for each operation and phase [default: 20]
#
# Needs the built command, and Python with venv and its package index; with --if-possible it says so
# where they are missing and is content.
set -euo pipefail
cd "$(dirname "$0")/.."

source scripts/if_possible.sh "API not checked" "$@"
[ "$if_possible" = no ] || shift
examples=${1:-20}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
command=$target/release/strdiffusion

environment=$target/api-environment
[ -x "$environment/bin/pip" ] || python3 -m venv --clear "$environment" || give_up "python3 has no venv"
"$environment/bin/pip" install --quiet --disable-pip-version-check 'schemathesis>=4,<5' ||
    give_up "pip cannot install schemathesis"

work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
nets=crates/strdiffusion-testing/recorded/nets
"$command" import --texture $nets/texture_tiny.pth --structure $nets/structure_tiny.pth \
    --discriminator $nets/discriminator_tiny.pth --steps 4 --resolution 32 -o "$work/model" >/dev/null
"$command" serve --device cpu --model "$work/model" --listen 127.0.0.1:0 >"$work/said" 2>"$work/log" &
server=$!
until grep -q http:// "$work/said"; do
    kill -0 "$server" || give_up "the server does not start: $(cat "$work/log")"
    sleep 0.05
done
base=$(sed -n 's|.*\(http://[^/]*\)/.*|\1|p' "$work/said")

# Bytes are no picture, whatever the description can say of them: a refusal of them is right.
cd "$work"
"$environment/bin/schemathesis" run "$base/openapi.json" --url "$base" --max-examples "$examples" \
    --seed 1 --workers 2 --checks all --exclude-checks positive_data_acceptance --warnings off
kill -0 "$server" || { echo "the server has ended: $(cat "$work/log")" >&2; exit 1; }
