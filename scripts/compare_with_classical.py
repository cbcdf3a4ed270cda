#!/usr/bin/env python3
"""A model side by side with the classical methods: one table and one picture.

The same photographs, masks and pixels for all: `strdiffusion eval` pairs and scores, and
classical_baselines.py runs OpenCV's Telea and Navier-Stokes and scikit-image's biharmonic.

    python scripts/compare_with_classical.py --images DIR --masks DIR --model models/default --out DIR

Only pairs whose hole covers more than 10 % and at most 50 % of the picture count. Prints a Markdown
table of means over pictures, and writes OUT/table.md and OUT/grid.png (input, each method, truth).

Needs: numpy, pillow, opencv-python-headless, scikit-image; a built `strdiffusion`.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
METHODS = {
    "telea": "Telea (OpenCV)",
    "navier-stokes": "Navier-Stokes (OpenCV)",
    "biharmonic": "biharmonic (scikit-image)",
}
OURS = "strdiffusion"


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
    values = [float(row[column]) for row in rows.values()]
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
    parser.add_argument("--option", action="append", default=[], help="for eval, as --option=--steps=2")
    args = parser.parse_args()

    with open(args.model / "config.json", encoding="utf-8") as file:
        size = args.size or json.load(file)["training_resolution"]
    shutil.rmtree(args.out, ignore_errors=True)
    common = ["--images", args.images, "--masks", args.masks, "--size", size]
    inputs = args.out / "inputs"
    run(args.program, "eval", *common, "--report", inputs, "--pairs-only")
    baselines = args.out / "baselines"
    run(sys.executable, HERE / "classical_baselines.py", "--pairs", inputs / "pairs.csv", "--out", baselines)

    scores, folders = {}, []
    for method in [*METHODS, OURS]:
        report = args.out / "reports" / method
        what = (
            ["--model", args.model, *args.option]
            if method == OURS
            else ["--results", baselines / method]
        )
        run(args.program, "eval", *common, "--report", report, "--metrics", "psnr,ssim", *what)
        scores[method] = rows_of(report)
        folders.append(report / "results" if method == OURS else baselines / method)

    pairs = sorted(scores[OURS])
    lines = [
        f"{len(pairs)} pictures of {size}×{size}, holes of 10–50 %, means over pictures",
        "",
        "| method | PSNR in the hole (dB) | SSIM in the hole | s a picture |",
        "| --- | --- | --- | --- |",
    ]
    for method, rows in scores.items():
        name = METHODS.get(method, OURS)
        lines.append(
            f"| {name} | {mean(rows, 'psnr_hole'):.2f} | {mean(rows, 'ssim_hole'):.4f} "
            f"| {mean(rows, 'seconds'):.3f} |"
        )
    table = "\n".join(lines) + "\n"
    (args.out / "table.md").write_text(table, encoding="utf-8")
    print(table, end="")
    grid(folders, inputs, pairs, args.out / "grid.png", args.rows)


if __name__ == "__main__":
    main()
