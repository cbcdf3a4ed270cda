#!/usr/bin/env python3
"""What the detail stage adds: our variants beside classical methods and other PatchMatch programs.

Photographs are scaled to each side (of the longer edge), and four kinds of holes are cut into each:
objects (5-25 % of the picture), scratches, text and irregular strokes; a seed fixes them. Every
method fills the same pixels, and `strdiffusion eval --results` scores all of them.

    python scripts/compare_detail.py --photos DIR --out DIR
    python scripts/compare_detail.py --photos DIR --out DIR --sides 512 --methods network,telea \\
        --variant "network=--steps 4"

Prints Markdown tables, and writes them to OUT/table.md: means over the pictures by method, for all
holes, for each kind and for each side, and paired differences from the first method with 95 %
intervals (bootstrap over photographs, for one photograph's pictures are not independent). OUT/scores.csv
has every score. Stopped, the same command goes on; what is finished stays. Other settings need
another OUT.

A method that is slow on large pictures has a largest side, see LARGEST_SIDES; then its means are
over fewer pictures, and only the differences compare it. Seconds are those of filling; ours include
reading and writing the picture.

Fills made elsewhere, such as those of a program under study, join in by --results NAME=FOLDER with
FOLDER/KIND-SIDE/ID.png; pictures and masks to fill lie in OUT/sets after a first run.

Needs: numpy, pillow, opencv-python-headless, scikit-image, pypatchmatch, patchmatch-cython; a built
`strdiffusion`.
"""

import argparse
import csv
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from classical_baselines import ENDINGS, METHODS, fill_folder, read_timings, write_timings
from detail_masks import KINDS

HERE = Path(__file__).resolve().parent
# Our variants, and the options of `strdiffusion inpaint` that make them.
VARIANTS = {
    "network": "--detail off",
    "network + detail": "--detail auto",
}
# The largest side, in pixels, at which a slow method is run: up to there it takes half a minute of a
# processor's time for a picture.
LARGEST_SIDES = {"biharmonic": 1024, "patchmatch-cython": 1024}
SIDES = [128, 256, 512, 1024, 2048]
LEVELS = ["swd_0", "swd_1", "swd_2", "swd_3", "swd_low"]
# Column of results.csv, heading, decimals.
SCORES = [
    ("psnr_hole", "PSNR ↑", 2),
    ("ssim_hole", "SSIM ↑", 4),
    ("swd", "SWD ↓", 2),
    *[(level, level.replace("swd_", "SWD "), 2) for level in LEVELS],
    ("gradient_spread", "gradient spread → 1", 3),
    ("seconds", "s", 2),
]
DIFFERENCES = ["psnr_hole", "ssim_hole", "swd", "swd_0", "gradient_spread"]


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def keep_settings(file, settings):
    """Remembers settings beside what they made; other ones are refused."""
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    if file.exists() and file.read_text(encoding="utf-8") != text:
        sys.exit(f"{file} was written under other settings; choose another --out or delete its folder")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def sha256(path):
    """Of a file, or of a folder's files in name order."""
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def save_png(image, path):
    partial = path.with_name(f".{path.name}")
    image.save(partial, format="PNG")
    os.replace(partial, path)


def cut_holes(photos, side, kind, seed, folder):
    """Writes images/ID.png and masks/ID.png (white = hole), one for each photograph."""
    for name in ["images", "masks"]:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for photo in photos:
        name = f"{photo.stem}.png"
        if all((folder / part / name).exists() for part in ["images", "masks"]):
            continue
        image = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
        if max(image.size) < side:
            sys.exit(f"{photo} has fewer than {side} pixels on its longer side; leave that side out")
        size = [max(round(edge * side / max(image.size)), 1) for edge in image.size]
        image = image.resize(size, Image.Resampling.LANCZOS)
        digest = hashlib.sha256(f"{seed} {kind} {photo.stem}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        save_png(KINDS[kind](rng, tuple(size)).convert("L"), folder / "masks" / name)
        save_png(image, folder / "images" / name)


def fill_with_variant(program, model, options, part, target):
    """Our program fills a folder, and skips what is there; its times come line by line."""
    target.mkdir(parents=True, exist_ok=True)
    timings = read_timings(target)
    if all((target / image.name).exists() and image.stem in timings for image in part.glob("images/*")):
        return
    for image in part.glob("images/*"):
        if image.stem not in timings:
            # Written, and stopped before its time was noted.
            (target / image.name).unlink(missing_ok=True)
    command = [program, "inpaint", "--images", part / "images", "--masks", part / "masks", "--out"]
    command += [target, "--model", model, "--batch", "1", "--json", *shlex.split(options)]
    command = [str(word) for word in command]
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            for line in process.stdout:
                event = json.loads(line)
                if event.get("event") == "result":
                    timings[Path(event["output"]).stem] = f"{event['seconds']:.6f}"
                    write_timings(target, timings)
        if process.returncode != 0:
            errors.seek(0)
            sys.exit(f"{shlex.join(command)} failed:\n{errors.read()[-2000:]}")


def score(program, part, results, report, name):
    """Rows of results.csv."""
    run(
        program, "eval", "--images", part / "images", "--masks", part / "masks",
        "--results", results, "--report", report, "--name", name,
        "--metrics", "psnr,ssim,swd,gradient",
    )
    with open(report / "results.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    missing = {image.stem for image in part.glob("images/*")} - {row["id"] for row in rows}
    if missing:
        sys.exit(f"{name} has no score for {', '.join(sorted(missing))}; {report}/report.html says why")
    return rows


def number(text):
    """A score, or NaN where there is none or it is infinite."""
    value = float(text) if text else np.nan
    return value if np.isfinite(value) else np.nan


def mean(rows, column):
    values = np.array([row[column] for row in rows])
    return np.nanmean(values) if np.isfinite(values).any() else np.nan


def shown(value, decimals, sign=""):
    return "–" if np.isnan(value) else f"{value:{sign}.{decimals}f}"


def means_table(title, methods, rows):
    lines = [f"## {title}", "", "| method | pictures | " + " | ".join(h for _, h, _ in SCORES) + " |"]
    lines.append("| --- |" + " --- |" * (len(SCORES) + 1))
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        if own:
            cells = [shown(mean(own, column), decimals) for column, _, decimals in SCORES]
            lines.append(f"| {method} | {len(own)} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def interval(differences, photos, seed):
    """(mean, low, high): the 95 % interval of a bootstrap over photographs."""
    names = sorted(set(photos))
    groups = [np.array([d for d, p in zip(differences, photos) if p == name]) for name in names]
    sums, counts = np.array([g.sum() for g in groups]), np.array([len(g) for g in groups])
    drawn = np.random.default_rng(seed).integers(0, len(names), (10_000, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return np.mean(differences), *np.percentile(means, [2.5, 97.5])


def differences_table(title, methods, rows, seed):
    base, decimals = methods[0], {column: digits for column, _, digits in SCORES}
    heads = {column: heading for column, heading, _ in SCORES}
    of = {(row["method"], row["kind"], row["side"], row["photo"]): row for row in rows}
    lines = [f"## {title}", ""]
    lines.append("| method − " + base + " | pairs | " + " | ".join(heads[c] for c in DIFFERENCES) + " | SWD lower in |")
    lines.append("| --- |" + " --- |" * (len(DIFFERENCES) + 2))
    for method in methods[1:]:
        pairs = [
            (row, of[base, *key[1:]])
            for key, row in sorted(of.items())
            if key[0] == method and (base, *key[1:]) in of
        ]
        if not pairs:
            continue
        cells = []
        for column in DIFFERENCES:
            both = [(a[column] - b[column], a["photo"]) for a, b in pairs]
            both = [(d, photo) for d, photo in both if not np.isnan(d)]
            if not both:
                cells.append("–")
                continue
            values = interval([d for d, _ in both], [photo for _, photo in both], seed)
            middle, low, high = (shown(v, decimals[column], "+") for v in values)
            cells.append(f"{middle} [{low}, {high}]")
        lower = np.mean([a["swd"] < b["swd"] for a, b in pairs])
        lines.append(f"| {method} | {len(pairs)} | " + " | ".join(cells) + f" | {lower:.0%} |")
    return [*lines, ""]


def listed(text, known, what):
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            sys.exit(f"unknown {what} `{name}`; choose from {', '.join(map(str, known))}")
    return names


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--model", type=Path, default=HERE.parent / "models" / "default")
    parser.add_argument("--program", type=Path, default=HERE.parent / "target" / "release" / "strdiffusion")
    parser.add_argument("--seed", type=int, default=0, help="of the holes")
    parser.add_argument("--n", type=int, help="only the first N photographs in name order")
    parser.add_argument("--sides", default=",".join(map(str, SIDES)), help="pixels, comma-separated")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of holes, comma-separated")
    parser.add_argument(
        "--variant",
        action="append",
        help="ours, as NAME=OPTIONS of inpaint, in place of the built-in list; may be repeated",
    )
    parser.add_argument(
        "--results",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="fills made elsewhere, as FOLDER/KIND-SIDE/ID.png; may be repeated",
    )
    parser.add_argument("--methods", help="comma-separated, the first is what others are compared with [default: all]")
    args = parser.parse_args()

    variants = dict(text.split("=", 1) for text in args.variant) if args.variant else VARIANTS
    elsewhere = {name: Path(folder) for name, folder in (text.split("=", 1) for text in args.results)}
    known = [*variants, *METHODS, *elsewhere]
    methods = listed(args.methods, known, "method") if args.methods else known
    kinds = listed(args.kinds, KINDS, "kind of hole")
    sides = sorted(int(side) for side in args.sides.split(","))
    photos = sorted(p for p in args.photos.iterdir() if p.suffix.lower() in ENDINGS)[: args.n]
    if not photos:
        sys.exit(f"{args.photos} holds no photographs")
    keep_settings(args.out / "sets" / "settings.json", {"seed": args.seed, "photos": str(args.photos)})

    ours = {}
    if any(method in variants for method in methods):
        ours = {"program": sha256(args.program), "model": sha256(args.model)}
    rows = []
    for side in sides:
        for kind in kinds:
            part = args.out / "sets" / f"{kind}-{side}"
            keep_settings(part / "photos.json", [photo.name for photo in photos])
            cut_holes(photos, side, kind, args.seed, part)
            work = [(p.stem, part / "images" / f"{p.stem}.png", part / "masks" / f"{p.stem}.png", True) for p in photos]
            for method in methods:
                if side > LARGEST_SIDES.get(method, side):
                    continue
                print(f"{kind}, {side} pixels: {method}", file=sys.stderr, flush=True)
                folder = elsewhere.get(method, args.out / "results" / method.replace(" ", ""))
                if method in elsewhere:
                    if not (folder / part.name).is_dir():
                        continue
                elif method in variants:
                    keep_settings(folder / "settings.json", {"options": variants[method], **ours})
                    fill_with_variant(args.program, args.model, variants[method], part, folder / part.name)
                else:
                    fill_folder(method, work, folder / part.name)
                report = args.out / "reports" / method.replace(" ", "") / part.name
                for row in score(args.program, part, folder / part.name, report, method):
                    scores = {column: number(row[column]) for column, _, _ in SCORES}
                    rows.append({"method": method, "kind": kind, "side": side, "photo": row["id"], **scores})

    with open(args.out / "scores.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    lines = [
        f"{len(photos)} photographs, holes: {', '.join(kinds)}, longer side: "
        f"{', '.join(map(str, sides))} pixels. PSNR (dB), SSIM and SWD in the hole; means over pictures.",
        "",
    ]
    parts = [("All holes", rows)]
    parts += [(kind.capitalize(), [row for row in rows if row["kind"] == kind]) for kind in kinds]
    parts += [(f"{side} pixels", [row for row in rows if row["side"] == side]) for side in sides]
    for title, chosen in parts:
        lines += means_table(title, methods, chosen)
    for title, chosen in parts[: 1 + len(kinds)]:
        lines += differences_table(f"{title}: differences", methods, chosen, args.seed)
    table = "\n".join(lines)
    (args.out / "table.md").write_text(table, encoding="utf-8")
    print(table, end="")


if __name__ == "__main__":
    main()
