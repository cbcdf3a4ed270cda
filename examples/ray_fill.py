"""Fills a folder of photographs with Ray, on as many machines as its cluster has.

    python ray_fill.py s3://bucket/photos s3://bucket/masks s3://bucket/filled

A photograph and its mask have the same name but for the extension, and its fill that name as PNG.
What is there already is not done again. Needs: pip install "ray[data]" strdiffusion pillow numpy
"""

import argparse
import io
import os
import posixpath
import time

import ray
from PIL import Image
from pyarrow import fs

import strdiffusion


def address(text):
    return text if "://" in text else os.path.abspath(text)  # workers have folders of their own


def files(system, folder):
    """The paths of a folder's files by their names without extension."""
    there = system.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    paths = [info.path for info in there if info.is_file and not info.base_name.startswith(".")]
    return {posixpath.splitext(posixpath.basename(path))[0]: path for path in paths}


class Filler:
    def __init__(self, masks, out, seed):
        strdiffusion.limit_threads(1)
        self.inpainter, self.seed = strdiffusion.Inpainter(), seed
        self.masks, folder = fs.FileSystem.from_uri(masks)
        self.system, self.out = fs.FileSystem.from_uri(out)
        self.mask_of = files(self.masks, folder)

    def fill(self, named):
        if missing := [name for name, _ in named if name not in self.mask_of]:
            raise FileNotFoundError(f"no mask is named {missing[0]}.*")
        images = [Image.open(io.BytesIO(photo)) for _, photo in named]
        masks = [self.masks.open_input_file(self.mask_of[name]).read() for name, _ in named]
        masks = [Image.open(io.BytesIO(mask)) for mask in masks]
        seeds = [self.seed] * len(named)
        for (name, _), filled in zip(named, self.inpainter.inpaint_batch(images, masks, seeds=seeds)):
            part = f"{self.out}/.{name}.{os.getpid()}"  # never half there under its own name
            with self.system.open_output_stream(part) as file:
                filled.save(file, "png")
            self.system.move(part, f"{self.out}/{name}.png")

    def __call__(self, batch):
        names = [posixpath.splitext(posixpath.basename(path))[0] for path in batch["path"]]
        named, errors = list(zip(names, batch["bytes"])), [""] * len(names)
        try:
            self.fill(named)
        except Exception:  # one of them: each alone, so that it stops no other
            for number, one in enumerate(named):
                try:
                    self.fill([one])
                except Exception as error:
                    errors[number] = f"{type(error).__name__}: {error}"
        return {"path": batch["path"], "error": errors}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for folder in ("photos", "masks", "out"):
        parser.add_argument(folder, type=address)
    parser.add_argument("--workers", type=int, help="one CPU each; none: all CPUs of the cluster")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    ray.init(address=os.environ.get("RAY_ADDRESS"))
    photos, folder = fs.FileSystem.from_uri(args.photos)
    system, out = fs.FileSystem.from_uri(args.out)
    system.create_dir(out)
    there = files(system, out)
    todo = sorted(path for name, path in files(photos, folder).items() if name not in there)
    failed, start = 0, time.monotonic()
    if todo:
        workers = args.workers or (1, int(ray.cluster_resources()["CPU"]))
        data = ray.data.read_binary_files(todo, filesystem=photos, include_paths=True)
        fill = {"fn_constructor_args": (args.masks, args.out, args.seed), "concurrency": workers}
        for row in data.map_batches(Filler, batch_size=8, num_cpus=1, **fill).iter_rows():
            if row["error"]:
                failed += 1
                print(f"failed: {row['path']}: {row['error']}", flush=True)
    seconds = time.monotonic() - start
    done = len(todo) - failed
    print(f"{done} filled in {seconds:.1f} s ({done / seconds:.2f} a second), {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
