#!/usr/bin/env python3
"""Time the networks beside PyTorch, ONNX Runtime and OpenVINO.

    pip install torch onnx onnxscript onnxruntime openvino safetensors numpy
    cargo build --release
    python scripts/compare_networks.py [--nf 64 --depth 4 --size 256 --batch 1]
    python scripts/compare_networks.py --training --nf 32 --size 128 --batch 16
    python scripts/compare_networks.py --engines ours-bf16,pytorch-bf16,openvino-bf16

The same networks, written again in PyTorch (pytorch_networks.py), read the weights that `strdiffusion bench --export`
writes; first every engine's output is held against ours in f32. Then the engines take turns, each
in a process of its own, on the same threads. The table gives medians, ratios to the first engine,
and each process's peak memory. An engine that is not installed is named and left out.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIME = 50.0  # The timestep that `strdiffusion bench` asks about.
NETWORKS = ["texture", "structure", "discriminator"]
SLOWEST_ROUND = 600  # seconds

# Our engines with their options, and the peers with the packages that they need. ONNX Runtime and
# OpenVINO read what PyTorch exports.
OURS = {
    "ours": [],
    "ours-bf16": ["--half", "bf16"],
    "ours-precise": ["--precise"],
    "ours-low-memory": ["--low-memory"],
}
PEERS = {
    "pytorch": ["torch"],
    "pytorch-bf16": ["torch"],
    "pytorch-bf16-compiled": ["torch"],
    "onnxruntime": ["torch", "onnxscript", "onnxruntime"],
    "openvino": ["torch", "onnxscript", "openvino"],
    "openvino-bf16": ["torch", "onnxscript", "openvino"],
}
TRAINERS = ["ours", "ours-bf16", "pytorch", "pytorch-bf16", "pytorch-bf16-compiled"]


# -------------------------------------------------------------------------------------- workers


def networks():
    """The networks in PyTorch; imported late, so that the parent process stays small."""
    import pytorch_networks

    return pytorch_networks


def case(name, folder):
    """The exported inputs of a network by name, and our output, where PyTorch is not loaded."""
    import numpy
    from safetensors.numpy import load_file

    tensors = load_file(folder / f"{name}-case.safetensors")
    output = tensors.pop("output")
    batch = next(iter(tensors.values())).shape[0]
    return tensors | {"times": numpy.full(batch, TIME, numpy.float32)}, output


def torch_runner(kind, name, args):
    import torch

    torch.set_num_threads(args.threads)
    network = networks().load(name, args.folder)
    inputs, expected = networks().case(name, args.folder)
    if "bf16" in kind:
        # Faster by a tenth than autocast, which casts the weights anew in every pass.
        network = channels_last(network.bfloat16())
        inputs = {key: channels_last(value.bfloat16()) for key, value in inputs.items()}
    if "compiled" in kind:
        # Lets it lay out the weights once, for oneDNN. Imported here: it takes up memory.
        import torch._inductor.config

        torch._inductor.config.freezing = True
        network = torch.compile(network)

    def run():
        with torch.no_grad():
            return network(**inputs).float().flatten().numpy()

    return run, expected.numpy(), f"PyTorch {torch.__version__.split('+')[0]}{manner(kind)}"


def channels_last(thing):
    """A network or tensor with the layout in which oneDNN's 16-bit convolutions are fastest."""
    import torch

    pictures = isinstance(thing, torch.nn.Module) or thing.dim() == 4
    return thing.to(memory_format=torch.channels_last) if pictures else thing


def manner(kind):
    """How an engine computes, to follow its name in the table."""
    bf16 = ", bf16 channels-last" if "pytorch" in kind else ", bf16"
    return (bf16 if "bf16" in kind else "") + (", compiled" if "compiled" in kind else "")


def onnxruntime_runner(kind, name, args):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(args.folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"]
    )
    feed, expected = case(name, args.folder)
    return (
        lambda: session.run(None, feed)[0].flatten(),
        expected,
        f"ONNX Runtime {onnxruntime.__version__}{manner(kind)}",
    )


def openvino_runner(kind, name, args):
    import openvino

    # Without the first of these it takes bf16 by itself wherever the CPU has it.
    options = {
        "INFERENCE_PRECISION_HINT": "bf16" if "bf16" in kind else "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(args.threads),
        "ENABLE_HYPER_THREADING": True,
    }
    file = args.folder / f"{name}.onnx"
    request = openvino.Core().compile_model(file, "CPU", options).create_infer_request()
    feed, expected = case(name, args.folder)
    version = openvino.__version__.split("-")[0]
    return (
        lambda: request.infer(feed)[0].flatten(),
        expected,
        f"OpenVINO {version}{manner(kind)}",
    )


def training_runner(kind, args):
    import torch

    torch.set_num_threads(args.threads)
    sizes = {"in_channels": 3, "out_channels": 3, "width": args.nf, "depth": args.depth, "guided": True}
    network = networks().build("texture", {"texture": sizes}).train()
    shape = (args.batch, 3, args.size, args.size)
    state, guide = torch.randn(shape), torch.randn(args.batch, 1, args.size, args.size)
    times = torch.full((args.batch,), TIME)
    half = contextlib.nullcontext()
    if "bf16" in kind:
        half = torch.autocast("cpu", torch.bfloat16)
        network, state, guide = channels_last(network), channels_last(state), channels_last(guide)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.9, 0.99), fused=True)
    if "compiled" in kind:
        network = torch.compile(network)

    def run():
        optimizer.zero_grad(set_to_none=True)
        with half:
            loss = (network(state, state, times, guide) - state).abs().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    return run, None, f"PyTorch {torch.__version__.split('+')[0]}{manner(kind)}"


def peak_mib():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def relative_error(output, expected):
    return float(abs(output - expected).max() / abs(expected).max())


def worker(args):
    """Answers each line on stdin with the milliseconds of one run; first tells about itself."""
    if args.worker == "export":
        # The exporter talks on stdout.
        sys.stdout = sys.stderr
        from export_onnx import export

        return export(args.network, args.folder, args.folder)
    if args.training:
        run, expected, engine = training_runner(args.worker, args)
    else:
        family = args.worker.split("-")[0]
        make = {
            "pytorch": torch_runner,
            "onnxruntime": onnxruntime_runner,
            "openvino": openvino_runner,
        }[family]
        run, expected, engine = make(args.worker, args.network, args)
    output = run()
    error = None if expected is None else relative_error(output, expected)
    print(json.dumps({"engine": engine, "error": error}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        ms = (time.perf_counter() - start) * 1e3
        print(json.dumps({"ms": ms, "peak": peak_mib()}), flush=True)


# --------------------------------------------------------------------------------------- parent


class Engine:
    """A worker process: a peer with one network."""

    def __init__(self, kind, network, args):
        command = [sys.executable, __file__, *arguments(args), "--worker", kind]
        command += ["--network", network]
        env = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        hello = self.read()
        self.name, self.error = hello["engine"], hello["error"]
        self.times, self.peak = [], float("nan")

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a worker ended; its message stands above")
        return json.loads(line)

    def round(self, repeat):
        for _ in range(repeat):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            answer = self.read()
            self.times.append(answer["ms"])
            self.peak = answer["peak"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


class Ours:
    """`strdiffusion bench`, a process for each round."""

    def __init__(self, kind, network, args):
        self.command = bench(args, network, *OURS[kind])
        self.network, self.name = network, " ".join(["strdiffusion", *OURS[kind]])
        self.times, self.peak, self.error = [], float("nan"), None
        if OURS[kind] and not args.training:
            self.error = self.difference(args)

    def difference(self, args):
        """From ours in f32; an export has the same weights and inputs whatever the arithmetic."""
        with tempfile.TemporaryDirectory() as folder:
            run_quietly([*self.command, "--repeat", 1, "--export", folder])
            mine, f32 = case(self.network, Path(folder))[1], case(self.network, args.folder)[1]
            return relative_error(mine, f32)

    def round(self, repeat):
        result = json.loads(run_quietly([*self.command, "--repeat", repeat]))
        value = result[self.network]
        self.times.append(value.get("forward_ms", value.get("step_ms")))
        self.peak = result["peak_rss_mb"] or float("nan")

    def close(self):
        pass


def bench(args, networks, *options):
    sizes = ["--nf", args.nf, "--depth", args.depth, "--ngf", args.ngf]
    sizes += ["--size", args.size, "--batch", args.batch, "--device", "cpu"]
    return [args.binary, "bench", "--only", networks, "--json", *sizes, *options]


def run_quietly(command):
    command = [str(part) for part in command]
    return subprocess.check_output(command, timeout=SLOWEST_ROUND)


def missing(kind):
    """What a peer lacks here, if anything."""
    packages = [name for name in PEERS.get(kind, []) if importlib.util.find_spec(name) is None]
    compilers = [os.environ.get("CXX", "g++"), "clang++"]
    if "compiled" in kind and not any(map(shutil.which, compilers)):
        packages.append("a C++ compiler")
    return packages


def chosen_engines(args, parser):
    known = TRAINERS if args.training else [*OURS, *PEERS]
    wanted = args.engines.split(",") if args.engines else known
    for kind in wanted:
        if kind not in known:
            parser.error(f"no engine {kind} here; there are {', '.join(known)}")
        if missing(kind):
            print(f"left out: {kind} needs {', '.join(missing(kind))}", file=sys.stderr)
    return [kind for kind in wanted if not missing(kind)]


def arguments(args):
    given = ["--folder", args.folder]
    for name in ["nf", "depth", "ngf", "size", "batch", "threads"]:
        given += [f"--{name}", getattr(args, name)]
    given += ["--training"] if args.training else []
    return [str(part) for part in given]


def compare(network, engines, args):
    for turn in range(args.rounds):
        # The order changes from round to round.
        for i in range(len(engines)):
            engines[(turn + i) % len(engines)].round(args.repeat)
    first = statistics.median(engines[0].times)
    for engine in engines:
        engine.close()
        ms = statistics.median(engine.times)
        error = "" if engine.error is None else f"{engine.error:.1e}"
        print(
            f"| {network} | {engine.name} | {ms:.0f} | {min(engine.times):.0f} | "
            f"{ms / first:.2f} | {engine.peak:.0f} | {error} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--binary", default="target/release/strdiffusion")
    parser.add_argument("--nf", type=int, default=64)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--ngf", type=int, default=64)
    parser.add_argument("--size", type=int, default=256, help="a multiple of 2^depth")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=3, help="runs of an engine in a round")
    parser.add_argument("--only", nargs="*", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--training", action="store_true", help="a training step of the texture")
    parser.add_argument("--engines", help="commas between them; [default: all that can]")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--network", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(args)
    if args.size % (1 << args.depth):
        parser.error(f"--size must be a multiple of {1 << args.depth}")
    kinds = chosen_engines(args, parser)
    if not kinds:
        parser.error("no engine is left")
    print(f"| network | engine | median ms | best ms | ÷ {kinds[0]} | peak MiB | error |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        args.folder = args.folder or Path(folder)
        if args.training:
            return compare("training step", engines(kinds, "training", args), args)
        if not (args.folder / "config.json").exists():
            run_quietly([*bench(args, ",".join(NETWORKS)), "--repeat", 1, "--export", args.folder])
        for network in args.only:
            reads_onnx = any("onnxscript" in PEERS.get(kind, []) for kind in kinds)
            if reads_onnx and not (args.folder / f"{network}.onnx").exists():
                command = [sys.executable, __file__, *arguments(args), "--worker", "export"]
                subprocess.run([*command, "--network", network], check=True)
            compare(network, engines(kinds, network, args), args)


def engines(kinds, network, args):
    return [(Ours if kind in OURS else Engine)(kind, network, args) for kind in kinds]


if __name__ == "__main__":
    main()
