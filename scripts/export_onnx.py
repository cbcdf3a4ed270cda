#!/usr/bin/env python3
"""Write the networks of a model folder as ONNX, and check their outputs against ours.

    pip install torch onnx onnxscript onnxruntime safetensors numpy
    cargo build --release
    python scripts/export_onnx.py models/default -o onnx/

OUT gets texture.onnx, structure.onnx, discriminator.onnx and the model's config.json. Each network
reads float32: pictures N×C×H×W, `times` N; its inputs have the names that the library gives them. H
and W may be any multiples of what is printed (the library pads to that); N may be any, but is 1 for the
discriminator. Nothing is written unless ONNX Runtime gives our outputs at two sizes.
"""

import argparse
import logging
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

NETWORKS = ["texture", "structure", "discriminator"]
# The largest difference, as a share of the largest output, that rounding explains.
TOLERANCE = 1e-4


def export(name, model, out, varying=False):
    """Writes OUT/NAME.onnx for pictures of the size of the exported case, or where they may vary of
    any."""
    import torch
    from pytorch_networks import case, load, multiple

    # It tells of packages that are not needed, and that sides of several inputs agree.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module="torch.onnx")
    inputs, _ = case(name, model)
    dynamic = None
    if varying:
        step = multiple(name, model)
        rows, columns = (torch.export.Dim(part, min=2, max=1024) for part in ("rows", "columns"))
        sides = {2: rows * step, 3: columns * step}
        count = {} if name == "discriminator" else {0: torch.export.Dim("pictures")}
        dynamic = {
            key: count | (sides if value.dim() == 4 else {}) for key, value in inputs.items()
        }
    with torch.no_grad():
        torch.onnx.export(
            load(name, model),
            kwargs=inputs,
            f=str(out / f"{name}.onnx"),
            input_names=list(inputs),
            output_names=["output"],
            dynamic_shapes=dynamic,
            opset_version=18,
            dynamo=True,
            external_data=not varying,
            verbose=False,
        )


def difference(name, onnx, exported):
    """Between ONNX Runtime's output and ours, as a share of our largest value."""
    import onnxruntime
    from pytorch_networks import case

    inputs, expected = case(name, exported)
    session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    output = session.run(None, {key: value.numpy() for key, value in inputs.items()})[0].flatten()
    expected = expected.numpy()
    return float(abs(output - expected).max() / abs(expected).max())


def ours(binary, model, side, batch, folder):
    """Has our networks compute something, and writes it down beside the model."""
    command = [binary, "bench", "--model", model, "--export", folder, "--size", side, "--batch", batch]
    command += ["--only", ",".join(NETWORKS), "--repeat", 1, "--device", "cpu", "--precise", "--json"]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return folder


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder, new or empty")
    parser.add_argument("--binary", default="target/release/strdiffusion")
    args = parser.parse_args()
    if args.out.exists() and any(args.out.iterdir()):
        parser.error(f"{args.out}: not empty; name another folder")
    from pytorch_networks import multiple

    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        side = max(multiple(name, args.model) for name in NETWORKS)
        # The exporter takes a batch of one for a constant; the discriminator's has to be.
        pair, single, other = (
            ours(args.binary, args.model, side * times, batch, work / f"{batch}-{times}")
            for batch, times in [(2, 4), (1, 4), (1, 6)]
        )
        done = work / "done"
        done.mkdir()
        for name in NETWORKS:
            first = single if name == "discriminator" else pair
            export(name, first, done, varying=True)
            file = done / f"{name}.onnx"
            worst = max(difference(name, file, exported) for exported in (first, other))
            print(f"{name}: sides are multiples of {multiple(name, args.model)}, differs by {worst:.1e}")
            if worst > TOLERANCE:
                sys.exit(f"error: {name}: ONNX Runtime's output is not ours")
        shutil.copy(args.model / "config.json", done)
        args.out.mkdir(parents=True, exist_ok=True)
        for file in list(done.iterdir()):
            shutil.move(file, args.out / file.name)


if __name__ == "__main__":
    main()
