#!/usr/bin/env bash
# Builds the Python package as a wheel (target/wheels), installs it in an environment of its own
# and tests it there.
#
#   scripts/python_package.sh                  stops with an error where Python is too old
#   scripts/python_package.sh --if-possible    says so and is content, for CI
#
# With STRDIFFUSION_TEST_EXAMPLES=1 also torch, Ray, Optuna and ONNX, and the tests that need them.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
crate=$PWD/crates/strdiffusion-python

source scripts/if_possible.sh "Python package not built" "$@"

command -v python3 >/dev/null || give_up "python3 was not found"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    give_up "it needs Python 3.10 or newer, and python3 is $(python3 --version)"
python3 -c 'import ensurepip, venv' 2>/dev/null ||
    give_up "python3 has no pip or venv (on Debian: apt-get install python3-venv)"

environment=$target/python-environment
[ -x "$environment/bin/pip" ] || python3 -m venv --clear "$environment"
python=$environment/bin/python
"$python" -m pip install --quiet --disable-pip-version-check \
    'maturin>=1.9,<2' 'mypy>=1.11' 'numpy>=1.23' 'pillow>=10.1' 'pytest>=7' ||
    give_up "pip cannot install maturin, mypy, numpy, pillow and pytest"

# What tests of the examples and of training in several processes need besides is large; without it
# they are skipped.
[ -z "${STRDIFFUSION_TEST_EXAMPLES:-}" ] || "$python" -m pip install --quiet --disable-pip-version-check \
    'torch>=2.9' 'ray[data]>=2.9' 'optuna>=4' onnx onnxscript onnxruntime safetensors

# With the workspace's features, what a build of the workspace has compiled is used again.
features() {
    cargo tree --edges normal,build --prefix none --format '{p} {f}' "$@" | sed 's/ (\*)$//' | sort -u
}
differing=$(comm -13 <(features --workspace) \
    <(features --package strdiffusion-python) |
    sed -n '/^strdiffusion-/!s/ .*//p' | paste -sd' ')
[ -z "$differing" ] ||
    echo "note: crates with other features than in the workspace, so much is compiled twice:" \
        "$differing" >&2
rm -rf "$target/wheels"
"$environment/bin/maturin" build --release --interpreter "$python" \
    --manifest-path "$crate/Cargo.toml" --target-dir "$target" --out "$target/wheels"
"$python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps \
    "$target"/wheels/strdiffusion-*.whl

# Out of the source folder: what is tested is the installed wheel.
cd "$target"
[ ! -x release/strdiffusion ] || export STRDIFFUSION_COMMAND=$PWD/release/strdiffusion
# What is not installed has no types.
"$python" -m mypy --strict --disable-error-code import-not-found --package strdiffusion
"$python" -m pytest -q -p no:cacheprovider --rootdir "$crate" "$crate/tests"
echo "wheel: $(ls "$target"/wheels/*.whl)"
