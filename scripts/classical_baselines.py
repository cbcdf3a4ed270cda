#!/usr/bin/env python3
"""Fill holes with the classical methods, for comparison by `strdiffusion eval --results`.

Methods: OpenCV's Telea (2004) and Navier-Stokes (Bertalmio et al. 2001), scikit-image's biharmonic
(Chui and Mhaskar 2010); by name also the harmonic membrane, and PatchMatch (Barnes et al. 2009) as the packages pypatchmatch and
patchmatch-cython have it. Each writes OUT/METHOD/ID.png and OUT/METHOD/timings.csv.

With --pairs, the pairs.csv that an evaluation has written decides which picture meets which mask.
The folders `inputs` and `masks` beside it, which `eval --pairs-only` writes, hold the exact pixels
that are scored; where they are, they are used, and --images, --masks and --size are not needed:

    strdiffusion eval --images DIR --masks DIR --size 256 --report IN --pairs-only
    python classical_baselines.py --pairs IN/pairs.csv --out BASELINES
    strdiffusion eval --images DIR --masks DIR --size 256 --report R --results BASELINES/telea

Without --pairs, pictures and masks (white = hole) are paired by file name. --size takes the largest
centred square and resizes it; its filter may differ from the evaluation's by rounding.

Needs: numpy, pillow, opencv-python-headless, scikit-image; for PatchMatch the package of that name.
"""

import argparse
import csv
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps
from skimage.restoration import inpaint_biharmonic

# The settings with the lowest sliced Wasserstein distance on six object holes at 256 pixels:
# pypatchmatch 2.2.0 with radius 3, 5, 7; patchmatch-cython 0.2.1 with patches of 5, 7, 9, and each of
# its options on.
PYPATCHMATCH_RADIUS = 3
PATCHMATCH_CYTHON_OPTIONS = {"patch_size": 7, "em_loops": 2}

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}


def telea(image, hole):
    return cv2.inpaint(image, hole, 3, cv2.INPAINT_TELEA)


def navier_stokes(image, hole):
    return cv2.inpaint(image, hole, 3, cv2.INPAINT_NS)


def biharmonic(image, hole):
    filled = inpaint_biharmonic(image, hole > 0, channel_axis=-1, split_into_regions=True)
    return np.clip(np.rint(filled * 255), 0, 255).astype(np.uint8)


def membrane(image, hole):
    """Harmonic in the hole: each pixel is the mean of its four neighbours, as far as there are any."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import splu

    unknown = hole > 0
    number = np.full(hole.shape, -1)
    number[unknown] = np.arange(unknown.sum())
    rows, columns = [], []
    degree = np.zeros(unknown.sum())
    border = np.zeros((unknown.sum(), 3))
    for axis, step in [(0, 1), (0, -1), (1, 1), (1, -1)]:
        there = np.roll(np.indices(hole.shape)[axis], -step, axis) == np.indices(hole.shape)[axis] + step
        neighbour = np.roll(number, -step, axis)
        colour = np.roll(image, -step, axis)
        inside, known = unknown & there & (neighbour >= 0), unknown & there & (neighbour < 0)
        degree[number[unknown & there]] += 1
        rows.append(number[inside])
        columns.append(neighbour[inside])
        border[number[known]] += colour[known]
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    everyone = np.arange(len(degree))
    values = np.concatenate([-np.ones(len(rows)), degree])
    entries = np.concatenate([rows, everyone]), np.concatenate([columns, everyone])
    laplacian = coo_matrix((values, entries)).tocsc()
    filled = image.copy()
    filled[unknown] = np.clip(np.rint(splu(laplacian).solve(border)), 0, 255)
    return filled


def pypatchmatch(image, hole):
    import patchmatch

    if not patchmatch.patchmatch_available:
        sys.exit("pypatchmatch was installed without its native library; see its page")
    patchmatch.set_random_seed(0)
    return patchmatch.inpaint(image, hole, patch_size=PYPATCHMATCH_RADIUS)


def patchmatch_cython(image, hole):
    import patchmatch_cython as package

    filled = package.inpaint_pyramid(image, hole > 0, seed=0, **PATCHMATCH_CYTHON_OPTIONS)
    return np.clip(np.rint(filled), 0, 255).astype(np.uint8)


METHODS = {
    "telea": telea,
    "navier-stokes": navier_stokes,
    "biharmonic": biharmonic,
    "membrane": membrane,
    "pypatchmatch": pypatchmatch,
    "patchmatch-cython": patchmatch_cython,
}
DEFAULT_METHODS = ["telea", "navier-stokes", "biharmonic"]


def work_list(args):
    """(id, picture file, mask file, prepared) for every pair."""
    if args.pairs:
        folder = args.pairs.parent
        with open(args.pairs, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            name = row["id"] + ".png"
            prepared = folder / "inputs" / name, folder / "masks" / name
            if all(path.exists() for path in prepared):
                yield row["id"], *prepared, True
            elif row["mask"] == "generated":
                sys.exit(f"{row['id']}: its mask is generated; make the inputs with --pairs-only")
            elif args.images is None or args.masks is None:
                sys.exit(f"{prepared[0]} is missing; give --images and --masks, or --pairs-only")
            else:
                yield row["id"], args.images / row["image"], args.masks / row["mask"], False
        return
    if args.images is None or args.masks is None:
        sys.exit("give --pairs, or --images and --masks")
    masks = {p.stem: p for p in sorted(args.masks.iterdir()) if p.suffix.lower() in ENDINGS}
    for picture in sorted(args.images.iterdir()):
        if picture.suffix.lower() not in ENDINGS or picture in masks.values():
            continue
        mask = masks.get(picture.stem) or masks.get(picture.stem + "_mask")
        if mask is None:
            sys.exit(f"{picture.name} has no mask of its name in {args.masks}; give --pairs")
        yield picture.stem, picture, mask, False


def load(picture, mask, size):
    """(RGB uint8, hole uint8 0/255) at the evaluated size."""
    image = ImageOps.exif_transpose(Image.open(picture)).convert("RGB")
    if size:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        if side != size:
            image = image.resize((size, size), Image.Resampling.LANCZOS)
    image = np.array(image)
    hole = np.array(Image.open(mask).convert("L"))
    height, width = image.shape[:2]
    y = (2 * np.arange(height) + 1) * hole.shape[0] // (2 * height)
    x = (2 * np.arange(width) + 1) * hole.shape[1] // (2 * width)
    return image, np.where(hole[y][:, x] >= 128, 255, 0).astype(np.uint8)


def save(path, image):
    """Whole files or none: written beside the target, then renamed."""
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".png", prefix=".partial-")
    try:
        with os.fdopen(handle, "wb") as file:
            Image.fromarray(image).save(file, format="PNG")
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def fill_folder(name, work, folder, size=None):
    """Fills the (id, picture, mask, prepared) of `work` by a method; finished ones stay."""
    folder.mkdir(parents=True, exist_ok=True)
    timings = read_timings(folder)
    for number, (pair, picture, mask, prepared) in enumerate(work, 1):
        target = folder / f"{pair}.png"
        if not (pair in timings and target.exists()):
            image, hole = load(picture, mask, None if prepared else size)
            masked = np.where(hole[..., None] > 0, 0, image).astype(np.uint8)
            start = time.perf_counter()
            filled = METHODS[name](masked, hole)
            timings[pair] = f"{time.perf_counter() - start:.6f}"
            save(target, np.where(hole[..., None] > 0, filled, image))
            write_timings(folder, timings)
        print(f"\r{name} {number}/{len(work)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def read_timings(folder):
    file = folder / "timings.csv"
    if not file.exists():
        return {}
    with open(file, newline="", encoding="utf-8") as rows:
        return {row["id"]: row["seconds"] for row in csv.DictReader(rows)}


def write_timings(folder, timings):
    partial = folder / ".timings.csv"
    with open(partial, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "seconds"), *timings.items()])
    os.replace(partial, folder / "timings.csv")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, help="folder of pictures")
    parser.add_argument("--masks", type=Path, help="folder of masks, white = hole")
    parser.add_argument("--pairs", type=Path, help="pairs.csv of an evaluation")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--size", type=int, help="side of the evaluated square in pixels")
    parser.add_argument(
        "--methods",
        default=",".join(DEFAULT_METHODS),
        help="comma-separated: " + ", ".join(METHODS),
    )
    args = parser.parse_args()
    names = args.methods.split(",")
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        sys.exit(f"unknown method {unknown[0]}; choose from {', '.join(METHODS)}")

    work = list(work_list(args))
    for name in names:
        shutil.rmtree(args.out / name, ignore_errors=True)
        fill_folder(name, work, args.out / name, args.size)


if __name__ == "__main__":
    main()
