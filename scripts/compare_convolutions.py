#!/usr/bin/env python3
"""Time single convolutions beside ONNX Runtime, on the network's shapes.

    pip install numpy onnx onnxruntime
    cargo build --release --workspace --bins --examples
    python scripts/compare_convolutions.py [--rounds 5]

Both run in f32 on the same threads and take turns; the table gives medians over rounds of each
one's median. Our time is that of the kernel with packed weights (crates/strdiffusion-kernels,
example `bench`), without bias and activation; ONNX Runtime runs a model of that one node.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper

ROOT = Path(__file__).resolve().parent.parent
# channels in, side, channels out, kernel, stride, padding
SHAPES = [
    (64, 256, 64, 3, 1, 1),
    (256, 64, 256, 3, 1, 1),
    (1024, 32, 1024, 3, 1, 1),
    (6, 256, 64, 7, 1, 3),
    (64, 256, 128, 4, 2, 1),
    (256, 64, 512, 4, 2, 1),
    (128, 256, 64, 1, 1, 0),
    (192, 256, 128, 1, 1, 0),
    (768, 64, 512, 1, 1, 0),
]


def name_of(shape):
    c_in, side, c_out, kernel, stride, _ = shape
    return f"1x {kernel}x{kernel} s{stride} {c_in}->{c_out} @{side}"


def session_of(shape, threads):
    c_in, side, c_out, kernel, stride, padding = shape
    rng = numpy.random.default_rng(0)
    weight = rng.standard_normal((c_out, c_in, kernel, kernel), dtype=numpy.float32)
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], strides=[stride] * 2, pads=[padding] * 4, kernel_shape=[kernel] * 2
    )
    graph = helper.make_graph(
        [node],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, c_in, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session, {"x": rng.standard_normal((1, c_in, side, side), dtype=numpy.float32)}


def median_ms(session, feed):
    times = []
    for _ in range(13):
        start = time.perf_counter()
        session.run(None, feed)
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[2:])


def ours(program, name):
    """Median of the example's own runs, in ms."""
    done = subprocess.run(
        [str(program), "--quick", name], capture_output=True, text=True, check=True
    )
    for line in done.stdout.splitlines():
        if line.startswith(name + " "):
            return float(line[len(name) :].split()[0])
    sys.exit(f"{program} knows no shape {name!r}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    program = ROOT / "target" / "release" / "examples" / "bench"
    parser.add_argument("--program", type=Path, default=program)
    args = parser.parse_args()

    print(f"{args.threads} threads, ONNX Runtime {onnxruntime.__version__}\n")
    print("| convolution | strdiffusion (ms) | ONNX Runtime (ms) | ratio |")
    print("| --- | --- | --- | --- |")
    for shape in SHAPES:
        name = name_of(shape)
        session, feed = session_of(shape, args.threads)
        rounds = [(ours(args.program, name), median_ms(session, feed)) for _ in range(args.rounds)]
        mine, theirs = (statistics.median(column) for column in zip(*rounds))
        print(f"| {name[3:]} | {mine:.2f} | {theirs:.2f} | {theirs / mine:.2f} |", flush=True)


if __name__ == "__main__":
    main()
