"""The networks in PyTorch, with the weights of a model folder, for what reads PyTorch's networks.

Names and shapes of the weights are those of the folder's files; `config.json` has the sizes.
"""

import json
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file

TIME = 50.0  # The timestep that `strdiffusion bench` asks about.
NETWORKS = ["texture", "structure", "discriminator"]


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
    def __init__(self, sizes):
        super().__init__()
        nf, depth, guided = sizes["width"], sizes["depth"], sizes["guided"]
        self.patch = sizes.get("patch", 1)
        self.guide_input = sizes.get("guide_input", False)
        read = 2 * sizes["in_channels"] + sizes.get("context_channels", 0) + self.guide_input
        time_dim, pixels = 4 * nf, self.patch**2
        kernel = 7 if self.patch == 1 else 3
        self.init_conv = nn.Conv2d(pixels * read, nf, kernel, padding=kernel // 2, bias=False)
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
        self.final_conv = nn.Conv2d(nf, pixels * sizes["out_channels"], 3, padding=1)

    def forward(self, state, condition, times, guide=None, context=None):
        t = self.time(times)
        read = [state - condition, condition]
        read += [] if context is None else [context]
        read += [guide] if self.guide_input else []
        x = F.pixel_unshuffle(torch.cat(read, dim=1), self.patch)
        x = stem = self.init_conv(x)
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
        return F.pixel_shuffle(self.final_conv(x), self.patch)


class TimeHead(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim
        self.linear1, self.linear2 = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, times):
        waves = sinusoidal(times, self.dim).to(self.linear1.weight.dtype)
        h = F.leaky_relu(self.linear1(waves), 0.2)
        return F.leaky_relu(self.linear2(h), 0.2)


class GroupNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.groups = max(g for g in range(1, 9) if channels % g == 0)
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return F.group_norm(x, self.groups, self.gamma, self.beta)


class DownBlock(nn.Module):
    def __init__(self, c_in, c_out, time_dim, halves, group_norm):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.time = nn.Linear(time_dim, c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.skip = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.norm = GroupNorm(c_out) if group_norm else nn.Identity()
        self.halves = halves

    @staticmethod
    def halve(x):
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
        kernel = (taps[:, None] * taps / 64).expand(x.shape[1], 1, 4, 4)
        return F.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])

    def forward(self, x, t):
        h = self.norm(self.conv1(F.leaky_relu(x, 0.2))) + self.time(t)[:, :, None, None]
        h = F.leaky_relu(h, 0.2)
        if self.halves:
            h, x = self.halve(h), self.halve(x)
        return (self.conv2(h) + self.skip(x)) / math.sqrt(2)


class Discriminator(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        ngf, time_dim = sizes["width"], sizes["time_dim"]
        self.time = TimeHead(time_dim)
        self.start_conv = nn.Conv2d(4, 2 * ngf, 1)
        group_norm = sizes.get("group_norm", False)
        sizes = [(2, 2, False), (2, 4, True), (4, 8, True), (8, 8, True)]
        self.blocks = nn.ModuleList(
            DownBlock(a * ngf, b * ngf, time_dim, halves, group_norm) for a, b, halves in sizes
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


def build(name, config):
    """A fresh network of the sizes that a model's config has."""
    sizes = config[name]
    return Discriminator(sizes) if name == "discriminator" else ConditionalUNet(sizes)


def load(name, folder):
    """A model folder's network, ready to be evaluated."""
    network = build(name, json.loads((folder / "config.json").read_text()))
    weights = load_file(folder / f"{name}.safetensors")
    network.load_state_dict({key: value.float() for key, value in weights.items()})
    for module in network.modules():
        if hasattr(module, "divide"):
            module.divide()
    return network.eval()


def multiple(name, folder):
    """The sides of the pictures that these networks take are multiples of this; the discriminator
    halves them three times."""
    sizes = json.loads((folder / "config.json").read_text())[name]
    return 8 if name == "discriminator" else sizes.get("patch", 1) << sizes["depth"]


def case(name, folder):
    """Inputs that `strdiffusion bench --export` wrote beside a model, by name, and our output."""
    tensors = load_file(folder / f"{name}-case.safetensors")
    output = tensors.pop("output")
    batch = next(iter(tensors.values())).shape[0]
    return tensors | {"times": torch.full((batch,), TIME)}, output
