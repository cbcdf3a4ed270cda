#!/usr/bin/env python3
"""Packs the built command for a release, with licences, manual pages and completions.

    CARGO_PROFILE_RELEASE_STRIP=symbols cargo build --release --locked --package strdiffusion-cli --target TARGET
    scripts/release_archive.py --target TARGET [--out target/release-archives] [--binary FILE]

OUT gets strdiffusion-VERSION-TARGET.tar.gz (.zip for Windows), and its checksum beside it in the manner
of sha256sum. `cargo binstall` finds the command in it by crates/strdiffusion-cli/Cargo.toml.
"""

import argparse
import hashlib
import pathlib
import shutil
import subprocess
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHELLS = {"bash": "strdiffusion.bash", "zsh": "_strdiffusion", "fish": "strdiffusion.fish",
          "powershell": "_strdiffusion.ps1"}


def fill(folder, binary):
    """The archive's folder."""
    for name in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"]:
        shutil.copy(ROOT / name, folder)
    shutil.copy(ROOT / "models/default/README.md", folder / "MODEL.md")
    command = shutil.copy(binary, folder / binary.name)
    subprocess.run([command, "man", "--out", folder / "man"], check=True)
    completions = folder / "completions"
    completions.mkdir()
    for shell, name in SHELLS.items():
        script = subprocess.run([command, "completions", shell], check=True, capture_output=True)
        (completions / name).write_bytes(script.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", required=True, help="the triple that it was built for")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target/release-archives")
    parser.add_argument("--binary", type=pathlib.Path)
    given = parser.parse_args()
    is_windows = "windows" in given.target
    name = "strdiffusion.exe" if is_windows else "strdiffusion"
    binary = given.binary or ROOT / "target" / given.target / "release" / name
    if not binary.is_file():
        parser.error(f"{binary}: not there; build it, or name it with --binary")
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    whole = f"strdiffusion-{version}-{given.target}"
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work) / whole
        folder.mkdir()
        fill(folder, binary)
        kind = "zip" if is_windows else "gztar"
        archive = shutil.make_archive(str(given.out / whole), kind, root_dir=work, base_dir=whole)
    archive = pathlib.Path(archive)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    checksum = archive.with_name(archive.name + ".sha256")
    checksum.write_text(f"{digest}  {archive.name}\n", newline="\n")
    print(archive)


if __name__ == "__main__":
    main()
