#!/usr/bin/env bash
# Tests the kernels on NEON where no such processor is at hand: builds them for aarch64 Linux and
# runs their tests under QEMU. Right or wrong is what it tells; its times say nothing.
#
#   scripts/test_aarch64.sh                          all tests
#   scripts/test_aarch64.sh --test conv -- random    what else cargo test takes
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
lacking=()

command -v cargo >/dev/null || lacking+=("cargo: a Rust toolchain")

# A standard library for the target, ready made or to be built from its source, which must be of
# the compiler's own version. Debian's compiler comes with that source: where rustup's downloads
# cannot be had, it serves though another rustc comes before it in PATH.
ready='' from_source=''
while read -r rustc; do
    library=$("$rustc" --print target-libdir --target "$target" 2>/dev/null) || continue
    source=$("$rustc" --print sysroot)/lib/rustlib/src/rust/library
    if compgen -G "$library/libstd-*.rlib" >/dev/null; then
        ready=${ready:-$rustc}
    elif [ -e "$source/Cargo.lock" ]; then
        from_source=${from_source:-$rustc}
    fi
done < <(type -ap rustc)
[ -n "$ready$from_source" ] ||
    lacking+=("a standard library for aarch64: rustup target add $target, or, to build it from" \
        "  source, on Debian: apt-get install rustc-web rust-web-src")

linker=aarch64-linux-gnu-gcc
if command -v "$linker" >/dev/null; then
    # Only the linker knows where the C library lies; QEMU looks for it there.
    start=$("$linker" -print-file-name=crt1.o)
    [ -e "$start" ] ||
        lacking+=("a C library for aarch64: on Debian, apt-get install libc6-dev-arm64-cross")
else
    lacking+=("$linker: on Debian, apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross")
fi
qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static) ||
    lacking+=("qemu-aarch64: on Debian, apt-get install qemu-user")

if [ ${#lacking[@]} -gt 0 ]; then
    echo "aarch64 not tested. Missing:" >&2
    printf '  %s\n' "${lacking[@]}" >&2
    exit 1
fi

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$linker
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$qemu -L $(realpath "$(dirname "$start")/..")"
export RUSTC=${ready:-$from_source}
export RUSTDOC=${RUSTC%/*}/rustdoc
build=()
if [ -z "$ready" ]; then
    # Cargo builds a standard library only where unstable features are allowed.
    export RUSTC_BOOTSTRAP=1
    build=(-Zbuild-std)
fi
echo "Standard library: ${ready:+ready made}${build[*]:+from source}, of $("$RUSTC" --version)"
cargo test "${build[@]}" --release --locked --no-fail-fast --package strdiffusion-kernels \
    --target "$target" "$@"
