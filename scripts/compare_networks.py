#!/usr/bin/env python3
"""Time the networks beside PyTorch, ONNX Runtime and OpenVINO.

    pip install torch onnx onnxscript onnxruntime openvino safetensors numpy
    cargo build --release
    python scripts/compare_networks.py [--nf 64 --depth 4 --size 256 --batch 1]
    python scripts/compare_networks.py --training --nf 32 --size 128 --batch 16
    python scripts/compare_networks.py --engines ours-bf16,pytorch-bf16,openvino-bf16

The same networks, written again in PyTorch, read the weights that `strdiffusion bench --export`
writes; first every engine's output is held against ours in f32. Then the engines take turns, each
in a process of its own, on the same threads. The table gives medians, ratios to the first engine,
and each process's peak memory. An engine that is not installed is named and left out.
"""

import argparse
import contextlib
import importlib.util
import json
import math
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


# ---------------------------------------------------------------------------- networks in PyTorch


def networks():
    """The networks' classes; imported late, so that the parent process stays small."""
    import torch
    import torch.nn as nn
    import torch.nn.functional as F

    def sinusoidal(times, dim):
        half = dim // 2
        step = math.log(10000.0) / (half - 1)
        angles = times[:, None] * torch.exp(torch.arange(half, dtype=torch.float32) * -step)
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    class ChannelNorm(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(1, channels, 1, 1))

        def forward(self, x):
            var, mean = torch.var_mean(x, dim=1, unbiased=False, keepdim=True)
            return (x - mean) * (var + 1e-5).rsqrt() * self.gain

    class ResBlock(nn.Module):
        def __init__(self, c_in, c_out, time_dim):
            super().__init__()
            self.time = nn.Linear(time_dim, 2 * c_out)
            self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
            self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
            if c_in != c_out:
                self.skip = nn.Conv2d(c_in, c_out, 1, bias=False)

        def forward(self, x, t):
            scale, shift = self.time(F.silu(t))[:, :, None, None].chunk(2, dim=1)
            h = F.silu(self.conv1(x) * (scale + 1) + shift)
            h = F.silu(self.conv2(h))
            return h + (self.skip(x) if hasattr(self, "skip") else x)

    class LinearAttention(nn.Module):
        def __init__(self, channels, heads=4, dim=32):
            super().__init__()
            self.heads, self.dim = heads, dim
            self.norm = ChannelNorm(channels)
            self.to_qkv = nn.Conv2d(channels, 3 * heads * dim, 1, bias=False)
            self.to_out = nn.Conv2d(heads * dim, channels, 1)
            self.out_norm = ChannelNorm(channels)

        def forward(self, x):
            b, _, h, w = x.shape
            qkv = self.to_qkv(self.norm(x)).reshape(b, 3, self.heads, self.dim, h * w)
            q, k, v = qkv.unbind(1)
            q = q.softmax(dim=-2) * self.dim**-0.5
            k = k.softmax(dim=-1)
            context = k @ (v / (h * w)).transpose(-1, -2)
            out = context.transpose(-1, -2) @ q
            out = out.reshape(b, self.heads * self.dim, h, w)
            return x + self.out_norm(self.to_out(out))

    class Spade(nn.Module):
        def __init__(self, channels, hidden=16):
            super().__init__()
            self.shared = nn.Conv2d(1, hidden, 3, padding=1)
            self.gamma = nn.Conv2d(hidden, channels, 3, padding=1)
            self.beta = nn.Conv2d(hidden, channels, 3, padding=1)

        def forward(self, x, guide):
            hidden = F.relu(self.shared(F.interpolate(guide, size=x.shape[-2:], mode="nearest")))
            var, mean = torch.var_mean(x, dim=1, unbiased=True, keepdim=True)
            x = (x - mean) * (var + 1e-5).rsqrt()
            return F.leaky_relu(x * (1 + self.gamma(hidden)) + self.beta(hidden), 0.2)

    class SpectralConv2d(nn.Module):
        """While training the norm is taken anew in each pass; else the weights stay divided."""

        def __init__(self, channels):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(channels, channels, 3, 3) * 0.02)
            self.bias = nn.Parameter(torch.zeros(channels))
            self.register_buffer("left", F.normalize(torch.randn(channels), dim=0))
            self.register_buffer("right", F.normalize(torch.randn(channels * 9), dim=0))
            self.register_buffer("divided", None, persistent=False)

        def normalised(self):
            matrix = self.weight.flatten(1)
            return self.weight / (self.left @ (matrix @ self.right))

        def divide(self):
            self.divided = self.normalised().detach()

        def forward(self, x):
            if not self.training:
                return F.conv2d(x, self.divided, self.bias, padding=1)
            # A norm of 16-bit products would be wrong in its third digit.
            with torch.autocast("cpu", enabled=False):
                with torch.no_grad():
                    matrix = self.weight.flatten(1)
                    right = F.normalize(matrix.T @ self.left, dim=0)
                    self.left.copy_(F.normalize(matrix @ right, dim=0))
                    self.right.copy_(right)
                weight = self.normalised()
            return F.conv2d(x, weight, self.bias, padding=1)

    class GuideBlock(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.spade0, self.conv0 = Spade(channels), SpectralConv2d(channels)
            self.spade1, self.conv1 = Spade(channels), SpectralConv2d(channels)

        def forward(self, x, guide):
            h = self.conv0(self.spade0(x, guide))
            return x + self.conv1(self.spade1(h, guide))

    class TimeEmbedding(nn.Module):
        def __init__(self, width, dim):
            super().__init__()
            self.width = width
            self.linear1, self.linear2 = nn.Linear(width, dim), nn.Linear(dim, dim)

        def forward(self, times):
            waves = sinusoidal(times, self.width).to(self.linear1.weight.dtype)
            return self.linear2(F.gelu(self.linear1(waves)))

    class Level(nn.Module):
        """Members are set from outside: down and up levels differ."""

    class ConditionalUNet(nn.Module):
        def __init__(self, channels, nf, depth, guided):
            super().__init__()
            time_dim = 4 * nf
            self.init_conv = nn.Conv2d(2 * channels, nf, 7, padding=3, bias=False)
            self.time = TimeEmbedding(nf, time_dim)
            self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
            for i in range(depth):
                c, last = nf << i, i == depth - 1
                down = Level()
                down.block1, down.block2 = ResBlock(c, c, time_dim), ResBlock(c, c, time_dim)
                down.attention = LinearAttention(c)
                if last:
                    down.downsample = nn.Conv2d(c, 2 * c, 3, padding=1, bias=False)
                else:
                    down.downsample = nn.Conv2d(c, 2 * c, 4, stride=2, padding=1)
                if guided:
                    down.guide = GuideBlock(2 * c)
                self.downs.append(down)
            middle = nf << depth
            self.mid_block1 = ResBlock(middle, middle, time_dim)
            self.mid_attention = LinearAttention(middle)
            self.mid_block2 = ResBlock(middle, middle, time_dim)
            for i in reversed(range(depth)):
                c = nf << i
                up = Level()
                up.block1 = ResBlock(3 * c, 2 * c, time_dim)
                up.block2 = ResBlock(3 * c, 2 * c, time_dim)
                up.attention = LinearAttention(2 * c)
                up.upsample = nn.Conv2d(2 * c, c, 3, padding=1, bias=i != 0)
                up.doubles = i != 0
                self.ups.append(up)
            self.final_block = ResBlock(2 * nf, nf, time_dim)
            self.final_conv = nn.Conv2d(nf, channels, 3, padding=1)

        def forward(self, state, condition, times, guide=None):
            t = self.time(times)
            x = stem = self.init_conv(torch.cat([state - condition, condition], dim=1))
            skips = []
            for down in self.downs:
                x = down.block1(x, t)
                skips.append(x)
                x = down.attention(down.block2(x, t))
                skips.append(x)
                x = down.downsample(x)
                if hasattr(down, "guide"):
                    x = down.guide(x, guide)
            x = self.mid_block1(x, t)
            x = self.mid_block2(self.mid_attention(x), t)
            for up in self.ups:
                x = up.block1(torch.cat([x, skips.pop()], dim=1), t)
                x = up.block2(torch.cat([x, skips.pop()], dim=1), t)
                x = up.attention(x)
                if up.doubles:
                    x = F.interpolate(x, scale_factor=2.0, mode="nearest")
                x = up.upsample(x)
            x = self.final_block(torch.cat([x, stem], dim=1), t)
            return self.final_conv(x)

    class TimeHead(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.dim = dim
            self.linear1, self.linear2 = nn.Linear(dim, dim), nn.Linear(dim, dim)

        def forward(self, times):
            waves = sinusoidal(times, self.dim).to(self.linear1.weight.dtype)
            h = F.leaky_relu(self.linear1(waves), 0.2)
            return F.leaky_relu(self.linear2(h), 0.2)

    class DownBlock(nn.Module):
        def __init__(self, c_in, c_out, time_dim, halves):
            super().__init__()
            self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
            self.time = nn.Linear(time_dim, c_out)
            self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
            self.skip = nn.Conv2d(c_in, c_out, 1, bias=False)
            self.halves = halves

        @staticmethod
        def halve(x):
            taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
            kernel = (taps[:, None] * taps / 64).expand(x.shape[1], 1, 4, 4)
            return F.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])

        def forward(self, x, t):
            h = self.conv1(F.leaky_relu(x, 0.2)) + self.time(t)[:, :, None, None]
            h = F.leaky_relu(h, 0.2)
            if self.halves:
                h, x = self.halve(h), self.halve(x)
            return (self.conv2(h) + self.skip(x)) / math.sqrt(2)

    class Discriminator(nn.Module):
        def __init__(self, ngf, time_dim):
            super().__init__()
            self.time = TimeHead(time_dim)
            self.start_conv = nn.Conv2d(4, 2 * ngf, 1)
            sizes = [(2, 2, False), (2, 4, True), (4, 8, True), (8, 8, True)]
            self.blocks = nn.ModuleList(
                DownBlock(a * ngf, b * ngf, time_dim, halves) for a, b, halves in sizes
            )
            self.final_conv = nn.Conv2d(8 * ngf + 1, 8 * ngf, 3, padding=1)
            self.end_linear = nn.Linear(8 * ngf, 1)

        def forward(self, texture, structure, times):
            t = self.time(times)
            x = self.start_conv(torch.cat([texture, structure], dim=1))
            for block in self.blocks:
                x = block(x, t)
            b, c, h, w = x.shape
            groups = -(-b // 4)
            spread = []
            for i in range(b):
                members = x[i % groups :: groups]
                var = (members - members.mean(dim=0)).square().mean(dim=0)
                # √(var + 1e-8), but the ONNX exporter drops an addition as small as that.
                deviation = (var * 1e8 + 1).sqrt() * 1e-4
                spread.append(deviation.mean().expand(1, 1, h, w))
            x = torch.cat([x, torch.cat(spread)], dim=1)
            x = F.leaky_relu(self.final_conv(x), 0.2)
            return self.end_linear(x.flatten(2).sum(dim=2)).reshape(b)

    return ConditionalUNet, Discriminator


def build(name, args):
    """A fresh network of the sizes that the arguments name."""
    ConditionalUNet, Discriminator = networks()
    if name == "texture":
        return ConditionalUNet(3, args.nf, args.depth, guided=True)
    if name == "structure":
        return ConditionalUNet(1, args.nf, args.depth, guided=False)
    return Discriminator(args.ngf, 256)


def load(name, args):
    """The network with the exported weights, its inputs in order, and our output."""
    import torch
    from safetensors.torch import load_file

    network = build(name, args)
    network.load_state_dict(load_file(args.folder / f"{name}.safetensors"))
    for module in network.modules():
        if hasattr(module, "divide"):
            module.divide()
    inputs, output = case(name, args)
    return network.eval(), [torch.from_numpy(value) for value in inputs], output


def case(name, args):
    """The exported inputs of a network in order, and our output."""
    import numpy
    from safetensors.numpy import load_file

    tensors = load_file(args.folder / f"{name}-case.safetensors")
    times = numpy.full(args.batch, TIME, numpy.float32)
    if name == "discriminator":
        inputs = [tensors["texture"], tensors["structure"], times]
    else:
        inputs = [tensors["state"], tensors["condition"], times]
        inputs += [tensors["guide"]] if name == "texture" else []
    return inputs, tensors["output"]


# -------------------------------------------------------------------------------------- workers


def export_onnx(name, args):
    import torch

    network, inputs, _ = load(name, args)
    with torch.no_grad():
        torch.onnx.export(
            network,
            tuple(inputs),
            str(args.folder / f"{name}.onnx"),
            input_names=[f"input{i}" for i in range(len(inputs))],
            opset_version=18,
            dynamo=True,
            external_data=True,
            verbose=False,
        )


def torch_runner(kind, name, args):
    import torch

    torch.set_num_threads(args.threads)
    network, inputs, expected = load(name, args)
    if "bf16" in kind:
        # Faster by a tenth than autocast, which casts the weights anew in every pass.
        network, inputs = network.bfloat16(), [value.bfloat16() for value in inputs]
        network, inputs = channels_last(network), [channels_last(value) for value in inputs]
    if "compiled" in kind:
        # Lets it lay out the weights once, for oneDNN. Imported here: it takes up memory.
        import torch._inductor.config

        torch._inductor.config.freezing = True
        network = torch.compile(network)

    def run():
        with torch.no_grad():
            return network(*inputs).float().flatten().numpy()

    return run, expected, f"PyTorch {torch.__version__.split('+')[0]}{manner(kind)}"


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
    inputs, expected = case(name, args)
    feed = {f"input{i}": value for i, value in enumerate(inputs)}
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
    inputs, expected = case(name, args)
    feed = {f"input{i}": value for i, value in enumerate(inputs)}
    version = openvino.__version__.split("-")[0]
    return (
        lambda: request.infer(feed)[0].flatten(),
        expected,
        f"OpenVINO {version}{manner(kind)}",
    )


def training_runner(kind, args):
    import torch

    torch.set_num_threads(args.threads)
    network = build("texture", args).train()
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
        return export_onnx(args.network, args)
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
            other = argparse.Namespace(**{**vars(args), "folder": Path(folder)})
            run_quietly([*self.command, "--repeat", 1, "--export", folder])
            return relative_error(case(self.network, other)[1], case(self.network, args)[1])

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
