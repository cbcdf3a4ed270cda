#!/usr/bin/env python3
"""A page for judging two methods by eye without knowing which is which.

    python scripts/blind_page.py --a filled/network --b filled/detail --inputs images --masks masks \\
        --out blind.html

Shows the pairs of results with the same file name, one pair after the other: the order and the
sides are random, fixed by --seed. Keys: left arrow or `a` for the left picture, right arrow or `d`
for the right one, down arrow or `s` for no difference, up arrow or `w` back to the one before; space
shows the input, with the hole in colour. At the end the page shows the tally and offers it as CSV
(pair, choice: A, B or same, A's side, seconds); an interrupted session goes on in the same browser.

The page is one file that loads nothing. Known pixels around the hole are cut off down to --margin
(of the hole's longer side), and what is longer than --longest pixels is scaled down. Pictures are
embedded as PNG, or as JPEG with --jpeg QUALITY.

Needs: numpy, pillow.
"""

import argparse
import base64
import io
import json
import random
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}
HOLE_COLOUR = (214, 92, 168)

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Which looks better?</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  html, body { margin: 0; height: 100%; background: #777; color: #fff; font: 16px/1.5 sans-serif; }
  body { display: flex; flex-direction: column; }
  header, footer { padding: .5em 1em; text-align: center; }
  #pair { flex: 1; min-height: 0; display: flex; gap: 1em; padding: 0 1em; }
  #pair figure { flex: 1; margin: 0; min-width: 0; display: flex; cursor: pointer; }
  #pair img { margin: auto; max-width: 100%; max-height: 100%; object-fit: contain; }
  #end { display: none; margin: 2em auto; max-width: 40em; }
  .done #end { display: block; } .done #pair, .done footer { display: none; }
  table { border-collapse: collapse; } td, th { padding: .2em 1em .2em 0; text-align: left; }
  button, a { font: inherit; color: inherit; background: #444; border: 0; padding: .4em 1em; border-radius: .3em;
    text-decoration: none; cursor: pointer; }
</style></head><body>
<header id="place"></header>
<div id="pair"><figure data-choice="left"><img alt="left picture"></figure>
<figure data-choice="right"><img alt="right picture"></figure></div>
<footer>
  <button data-choice="left">&larr; left is better</button>
  <button data-choice="same">&darr; no difference</button>
  <button data-choice="right">right is better &rarr;</button>
  <button id="back">&uarr; back</button> <button id="input">space: input</button>
</footer>
<section id="end"><h1>Done</h1><table id="tally"></table>
<p><a id="save">Save as CSV</a> <button id="again">Judge again</button></p></section>
<script>
"use strict";
const data = JSON.parse(atob("%DATA%"));
const key = "blind " + data.id;
let answers = JSON.parse(localStorage.getItem(key) || "[]");
let since = performance.now(), showsInput = false;
const find = (selector) => document.querySelector(selector);
const images = document.querySelectorAll("#pair img");

function show() {
  const at = answers.length, pair = data.pairs[at];
  document.body.classList.toggle("done", !pair);
  showsInput = false;
  since = performance.now();
  if (!pair) return tally();
  find("#place").textContent = `${at + 1} of ${data.pairs.length}: which looks better?`;
  images[0].src = pair.left;
  images[1].src = pair.right;
}
function choose(side) {
  const pair = data.pairs[answers.length];
  if (!pair) return;
  const choice = side === "same" ? "same" : (side === "left") === pair.aIsLeft ? "A" : "B";
  answers.push({ choice, seconds: (performance.now() - since) / 1000 });
  keep();
}
function back() { answers.pop(); keep(); }
function keep() {
  try { localStorage.setItem(key, JSON.stringify(answers)); } catch { /* a page without storage still works */ }
  show();
}
function toggleInput() {
  const pair = data.pairs[answers.length];
  if (!pair) return;
  showsInput = !showsInput;
  images[0].src = showsInput ? pair.input : pair.left;
  images[1].src = showsInput ? pair.input : pair.right;
}
function tally() {
  const count = (choice) => answers.filter((a) => a.choice === choice).length;
  find("#place").textContent = "";
  const table = find("#tally");
  table.replaceChildren();
  for (const [name, number] of [
    [`A: ${data.a}`, count("A")], [`B: ${data.b}`, count("B")], ["no difference", count("same")],
  ]) {
    const row = table.insertRow();
    row.insertCell().textContent = name;
    row.insertCell().textContent = `${number} of ${answers.length}`;
  }
  const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const lines = data.pairs.map((pair, i) => [
    quoted(pair.name), answers[i].choice, quoted({ A: data.a, B: data.b, same: "" }[answers[i].choice]),
    pair.aIsLeft ? "left" : "right", answers[i].seconds.toFixed(1),
  ].join(","));
  const csv = ["pair,choice,method,side_of_a,seconds", ...lines].join("\\n") + "\\n";
  const link = find("#save");
  link.href = "data:text/csv;charset=utf-8," + encodeURIComponent(csv);
  link.download = "tally.csv";
}
const keys = {
  ArrowLeft: () => choose("left"), a: () => choose("left"), ArrowRight: () => choose("right"),
  d: () => choose("right"), ArrowDown: () => choose("same"), s: () => choose("same"),
  ArrowUp: back, w: back, " ": toggleInput,
};
addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
for (const element of document.querySelectorAll("[data-choice]"))
  element.addEventListener("click", () => choose(element.dataset.choice));
find("#back").addEventListener("click", back);
find("#input").addEventListener("click", toggleInput);
find("#again").addEventListener("click", () => { answers = []; keep(); });
show();
</script></body></html>
"""


def pictures(folder):
    return {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in ENDINGS}


def load(path):
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def around(hole, margin):
    """(left, top, right, bottom) of the hole and `margin` times its longer side."""
    left, top, right, bottom = hole.getbbox()
    more = round(margin * max(right - left, bottom - top))
    return (
        max(left - more, 0), max(top - more, 0),
        min(right + more, hole.width), min(bottom + more, hole.height),
    )


def embedded(image, longest, quality):
    if max(image.size) > longest:
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    if quality:
        image.save(file, format="JPEG", quality=quality, subsampling=0)
    else:
        image.save(file, format="PNG", optimize=True)
    kind = "jpeg" if quality else "png"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--a", type=Path, required=True, help="folder of one method's results")
    parser.add_argument("--b", type=Path, required=True, help="folder of the other's")
    parser.add_argument("--inputs", type=Path, required=True, help="folder of the photographs")
    parser.add_argument("--masks", type=Path, required=True, help="folder of masks, white = hole")
    parser.add_argument("--out", type=Path, required=True, help="the page, an .html file")
    parser.add_argument("--seed", type=int, default=0, help="of the order and the sides")
    parser.add_argument("--n", type=int, help="only N pairs, chosen by the seed")
    parser.add_argument("--margin", type=float, default=0.5, help="around the hole, of its longer side")
    parser.add_argument("--longest", type=int, default=1024, help="side of an embedded picture in pixels")
    parser.add_argument("--jpeg", type=int, metavar="QUALITY", help="embed JPEG instead of PNG")
    args = parser.parse_args()

    folders = {name: pictures(getattr(args, name)) for name in ["a", "b", "inputs", "masks"]}
    names = sorted(set(folders["a"]) & set(folders["b"]))
    if not names:
        sys.exit(f"{args.a} and {args.b} hold no results of the same name")
    for name in names:
        for part in ["inputs", "masks"]:
            if name not in folders[part]:
                sys.exit(f"{name} has no picture in {getattr(args, part)}")
    rng = random.Random(args.seed)
    rng.shuffle(names)

    pairs = []
    for name in names[: args.n]:
        a, b, truth = (load(folders[part][name]) for part in ["a", "b", "inputs"])
        hole = Image.open(folders["masks"][name]).convert("L").point(lambda v: 255 if v >= 128 else 0)
        sizes = {image.size for image in [a, b, truth, hole]}
        if len(sizes) > 1:
            sys.exit(f"{name}: results, picture and mask differ in size: {sorted(sizes)}")
        if hole.getbbox() is None or np.array_equal(np.asarray(a), np.asarray(b)):
            print(f"{name}: left out, nothing to compare", file=sys.stderr)
            continue
        masked = Image.composite(Image.new("RGB", truth.size, HOLE_COLOUR), truth, hole)
        box = around(hole, args.margin)
        a, b, masked = (
            embedded(image.crop(box), args.longest, args.jpeg) for image in [a, b, masked]
        )
        a_is_left = rng.random() < 0.5
        left, right = (a, b) if a_is_left else (b, a)
        pairs.append({"name": name, "aIsLeft": a_is_left, "left": left, "right": right, "input": masked})
    if not pairs:
        sys.exit("no pair is left to compare")
    data = {"a": str(args.a), "b": str(args.b), "pairs": pairs}
    # Kept answers belong to these pairs in this order.
    data["id"] = f"{args.a} {args.b} {args.seed} {len(pairs)} {args.out.stem}"
    # Encoded once more, so that a look at the page's source does not tell which side is which.
    code = base64.b64encode(json.dumps(data).encode()).decode()
    args.out.write_text(PAGE.replace("%DATA%", code), encoding="utf-8")
    print(f"{len(pairs)} pairs in {args.out}, {args.out.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
