#!/usr/bin/env python3
"""A model side by side with the classical methods: one table and one picture.

The same photographs, masks and pixels for all: `strdiffusion eval` pairs and scores, and
classical_baselines.py runs OpenCV's Telea and Navier-Stokes, scikit-image's biharmonic, a harmonic
membrane and PatchMatch as pypatchmatch has it (patchmatch-cython 0.2.1 refuses holes as large as some
of these: scaled down they leave it no source).

    python scripts/compare_with_classical.py --images DIR --masks DIR --model models/default --out DIR
    python scripts/compare_with_classical.py --images DIR --masks DIR --out DIR \\
        --variant "one step=--steps 1" --variant "ten steps=--steps 10"

The network alone is what is compared; for the detail stage see compare_detail.py.

Only pairs whose hole covers more than 10 % and at most 50 % of the picture count. Prints a Markdown
table of means over pictures, and writes OUT/table.md and OUT/grid.png (input, each method, truth).

Needs: numpy, pillow, opencv-python-headless, scikit-image, pypatchmatch; a built
`strdiffusion`.
"""

import argparse
import csv
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
METHODS = {
    "membrane": "harmonic membrane",
    "telea": "Telea (OpenCV)",
    "navier-stokes": "Navier-Stokes (OpenCV)",
    "biharmonic": "biharmonic (scikit-image)",
    "pypatchmatch": "PatchMatch (pypatchmatch)",
}
# Column of results.csv, heading, decimals.
SCORES = [
    ("psnr_hole", "PSNR (dB)", 2),
    ("ssim_hole", "SSIM", 4),
    ("swd", "SWD", 2),
    ("gradient_energy", "gradient energy", 2),
    ("gradient_spread", "gradient spread", 2),
    ("seconds", "s a picture", 3),
]


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")


def rows_of(report):
    """Scores of the pairs whose hole covers 10 to 50 %."""
    with open(report / "results.csv", newline="", encoding="utf-8") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    return {key: row for key, row in rows.items() if 0.1 < float(row["hole_ratio"]) <= 0.5}


def mean(rows, column):
    values = [float(row[column]) for row in rows.values() if row[column]]
    return sum(values) / len(values)


def grid(folders, inputs, pairs, path, count):
    """A row for each pair: masked input, every method, truth."""
    panels = []
    for pair in pairs[:count]:
        truth = Image.open(inputs / "inputs" / f"{pair}.png").convert("RGB")
        hole = Image.open(inputs / "masks" / f"{pair}.png").convert("L")
        masked = Image.composite(Image.new("RGB", truth.size, (128, 128, 128)), truth, hole)
        filled = [Image.open(folder / f"{pair}.png").convert("RGB") for folder in folders]
        panels.append([masked, *filled, truth])
    width, height = panels[0][0].size
    gap = 4
    sheet = Image.new(
        "RGB",
        ((width + gap) * len(panels[0]) - gap, (height + gap) * len(panels) - gap),
        (255, 255, 255),
    )
    for y, row in enumerate(panels):
        for x, panel in enumerate(row):
            sheet.paste(panel, (x * (width + gap), y * (height + gap)))
    sheet.save(path)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--masks", type=Path, required=True, help="folder of masks, white = hole")
    parser.add_argument("--model", type=Path, default=HERE.parent / "models" / "default")
    parser.add_argument("--out", type=Path, required=True, help="folder for reports")
    parser.add_argument("--size", type=int, help="side in pixels [default: the model's own]")
    parser.add_argument("--program", default=HERE.parent / "target" / "release" / "strdiffusion")
    parser.add_argument("--rows", type=int, default=8, help="rows of the picture")
    parser.add_argument(
        "--variant",
        action="append",
        metavar="NAME=OPTIONS",
        help="a row of the model with options of `strdiffusion eval` [default: its own settings]",
    )
    parser.add_argument("--methods", default=",".join(METHODS), help="comma-separated")
    args = parser.parse_args()
    methods = args.methods.split(",") if args.methods else []
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        sys.exit(f"unknown method {unknown[0]}; choose from {', '.join(METHODS)}")
    variants = dict(variant.partition("=")[::2] for variant in args.variant or ["strdiffusion="])

    with open(args.model / "config.json", encoding="utf-8") as file:
        size = args.size or json.load(file)["training_resolution"]
    shutil.rmtree(args.out, ignore_errors=True)
    common = ["--images", args.images, "--masks", args.masks, "--size", size]
    inputs = args.out / "inputs"
    run(args.program, "eval", *common, "--report", inputs, "--pairs-only")
    baselines = args.out / "baselines"
    if methods:
        what = ["--pairs", inputs / "pairs.csv", "--out", baselines, "--methods", ",".join(methods)]
        run(sys.executable, HERE / "classical_baselines.py", *what)

    scores, folders = {}, []
    for name in [*methods, *variants]:
        report = args.out / "reports" / name.replace("/", "-")
        finished = baselines / name if name in methods else report / "results"
        what = (
            ["--results", finished]
            if name in methods
            else ["--model", args.model, *shlex.split(variants[name])]
        )
        metrics = ["--metrics", "psnr,ssim,swd,gradient"]
        run(args.program, "eval", *common, "--report", report, *metrics, *what)
        scores[METHODS.get(name, name)] = rows_of(report)
        folders.append(finished)

    pairs = sorted(next(iter(scores.values())))
    lines = [
        f"{len(pairs)} pictures of {size}×{size}, holes of 10–50 %, means over pictures, in the hole",
        "",
        "| method | " + " | ".join(heading for _, heading, _ in SCORES) + " |",
        "| --- " * (len(SCORES) + 1) + "|",
    ]
    for name, rows in scores.items():
        cells = [f"{mean(rows, column):.{decimals}f}" for column, _, decimals in SCORES]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    table = "\n".join(lines) + "\n"
    (args.out / "table.md").write_text(table, encoding="utf-8")
    print(table, end="")
    grid(folders, inputs, pairs, args.out / "grid.png", args.rows)


if __name__ == "__main__":
    main()
