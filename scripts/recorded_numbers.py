#!/usr/bin/env python3
"""Write crates/strdiffusion-testing/recorded/: the numbers that every clone's tests compare with.

    python recorded_numbers.py FIXTURES [OUT]

FIXTURES holds recordings of the public reference implementation; what is small enough of them is
taken over as it is. The rest is computed by second_implementation.py, which is first made to
reproduce the whole runs recorded in FIXTURES/traj.

Needs torch, safetensors, numpy, scikit-image, opencv-python-headless, pillow.
"""

import json
import math
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from skimage.color import rgb2gray
from skimage.feature import canny

import second_implementation as second

HERE = Path(__file__).resolve().parent
DEFAULT_OUT = HERE.parent / "crates/strdiffusion-testing/recorded"
torch.set_num_threads(1)


def read(path):
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def write(path, arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: array.contiguous() for name, array in arrays.items()}, path)


def write_json(path, value):
    """One line for each entry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f" {json.dumps(name)}: {json.dumps(entry)}" for name, entry in value.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def checkpoint(path, kind=torch.float64):
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name.removeprefix("module."): value.to(kind) for name, value in state.items()}


def starting(arrays, *prefixes):
    return {name: array for name, array in arrays.items() if name.startswith(prefixes)}


STREAMS = {}


def noise(seed):
    """Draws of mean 0 and variance 1, by a linear congruential generator: four uniforms each."""
    numbers = STREAMS.setdefault(seed, [])  # drawn by earlier runs
    state = [numbers[-1][0] if numbers else seed]
    position = 0

    def draw(channels, height, width):
        nonlocal position
        start, position = position, position + channels * height * width
        while len(numbers) < position:
            total = 0.0
            for _ in range(4):
                state[0] = (state[0] * 6364136223846793005 + 1442695040888963407) % 2**64
                total += (state[0] >> 33) / 2**31
            numbers.append((state[0], (total - 2) * math.sqrt(3)))
        values = torch.tensor([value for _, value in numbers[start:position]], dtype=torch.float64)
        return values.float().double().reshape(1, channels, height, width)

    return draw


# What the reference implementation recorded


def take_over(fixtures, out):
    nets = out / "nets"
    nets.mkdir(parents=True, exist_ok=True)
    for kind, source in (("texture", "texture_tiny_module"), ("structure", "structure_tiny_module"),
                         ("discriminator", "discriminator_b")):
        shutil.copyfile(fixtures / f"nets/{source}.pth", nets / f"{kind}_tiny.pth")
    write(nets / "tiny_cases.safetensors", read(fixtures / "nets/tiny_cases.safetensors"))
    cases = read(fixtures / "nets/discriminator_b_cases.safetensors")
    write(nets / "discriminator_tiny_cases.safetensors", starting(cases, "case0_B8."))

    schedules = read(fixtures / "sde/schedules.safetensors")
    kept = {name: array for name, array in schedules.items() if ".eps0.005." in name}
    write(out / "sde/schedules.safetensors", kept)
    steps = read(fixtures / "sde/steps.safetensors")
    write(out / "sde/steps.safetensors", starting(steps, "T20.", "T100.cosine."))

    step = read(fixtures / "train/train_discriminator.safetensors")
    for unread in [n for n in step if n.startswith("net_out") or n in ("noisy_state", "grad_norms")]:
        del step[unread]
    write(out / "train/train_discriminator.safetensors", step)
    settings = json.loads((fixtures / "train/train.json").read_text())["train_discriminator"]
    settings["checkpoint"] = "discriminator_tiny"
    write_json(out / "train/train.json", {"train_discriminator": settings})


def check_second_implementation(fixtures):
    """Whole runs of the reference implementation, in the precision that they were recorded in."""
    nets = {kind: checkpoint(fixtures / f"nets/{kind}_a.pth", torch.float32)
            for kind in ("texture", "structure", "discriminator")}
    for name, settings in json.loads((fixtures / "traj/traj.json").read_text()).items():
        run = read(fixtures / f"traj/{name}.safetensors")
        draws = iter(range(settings["draws"]))
        mask, image = run["in.mask"], run["in.GT"]
        sde = second.Sde(settings["T"], eps=settings["eps"], single=True)
        picture = second.Picture(nets, sde, mask, image * mask, run["in.gray"] * mask,
                                 run["in.edge"] * mask)
        resampling = {key: settings[key] for key in ("u_max", "u_min", "jump", "re")}
        y, _, log = second.sample_paper(picture, lambda _: run[f"noise.{next(draws):04d}"],
                                        second.REFERENCE, resampling)
        scores = torch.tensor([value for _, _, value in log["scores"]])
        off = (picture.paste(y, image) - run["out"]).abs().max().item()
        off_scores = (scores - run["D.value"]).abs().max().item()
        print(f"{name}: off by {off:.1e}, scores by {off_scores:.1e}, draws left {len(list(draws))}")
        assert off < 1e-5 and off_scores < 1e-6


# What PyTorch computes


def more_schedules(out):
    arrays = {}
    for steps in (50, 1000):
        for schedule in ("cosine", "linear"):
            sde = second.Sde(steps, schedule, single=True)
            name = f"T{steps}.{schedule}.eps0.005"
            arrays |= {f"{name}.thetas": sde.theta, f"{name}.sigmas": sde.sigma,
                       f"{name}.thetas_cumsum": sde.bar, f"{name}.sigma_bars": sde.sigma_bar,
                       f"{name}.dt": sde.dt.reshape(1)}
    write(out / "sde/more_schedules.safetensors", arrays)


def fnv(floats):
    value = 0xCBF29CE484222325
    for byte in floats.numpy().tobytes():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def print_hashes():
    """For sde.rs: theta, its sums, and the optimum's weights of t = 1..T, bit for bit."""
    for schedule in ("cosine", "constant"):
        for steps in (50, 100, 400, 1000):
            sde = second.Sde(steps, schedule, single=True)
            weights = [torch.stack(sde.optimum_weights(t)) for t in range(1, steps + 1)]
            flat = torch.cat([sde.theta, sde.bar, torch.cat(weights)])
            print(f"({schedule}, {steps}, {fnv(flat):#018x}),")


def prepared(fixtures, out):
    arrays = starting(read(fixtures / "prep/prep.safetensors"), "canny64.rgb", "canny64.gray_f64",
                      "canny64.edge_sigma")
    folder = out / "prep"
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:45, :61]
    drawn = np.stack([(x * (3 + c) + y * (5 - c) + (x * y) // 7 + 40 * ((x // 9 + y // 7) % 3) + 31 * c) % 256
                      for c in range(3)], -1).astype(np.uint8)
    Image.fromarray(drawn).save(folder / "drawn.png")
    resized = cv2.resize(drawn.astype(np.float32) / 255.0, (64, 64), interpolation=cv2.INTER_LINEAR)
    truncated = np.trunc(resized * 255).astype(np.uint8)
    gray = rgb2gray(truncated)
    arrays |= {
        "drawn.rgb_u8_trunc": torch.tensor(truncated),
        "drawn.resized_f32_chw": torch.tensor(resized.transpose(2, 0, 1)[:, :32, :32].copy()),
        "drawn.gray": torch.tensor(gray[None].astype(np.float32)),
        "drawn.edge_sigma2": torch.tensor(canny(gray, sigma=2)[None].astype(np.uint8)),
    }
    y, x = np.mgrid[:50, :70]
    soft = np.clip(300 - 9 * np.hypot(x - 40, y - 22), 0, 255).astype(np.uint8)
    Image.fromarray(soft).save(folder / "mask_soft.png")
    hole = np.array(Image.open(folder / "mask_soft.png").convert("1").resize((64, 64), Image.NEAREST))
    arrays["mask_soft.keep"] = torch.tensor(1 - hole.astype(np.uint8))[None]
    write(folder / "prep.safetensors", arrays)


# Runs of the samplers

HEIGHT, WIDTH = 15, 18
RESAMPLING = dict(u_max=5, u_min=3, jump=2, re=2)


def scene():
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    channels = [0.5 + 0.3 * torch.sin(0.7 * x + 0.4 * y + c) * torch.cos(0.2 * x * (c + 1) - 0.5 * y)
                for c in range(3)]
    image = torch.stack(channels)[None]
    hole = (x >= 5) & (x < 13) & (y >= 3) & (y < 11) & (x + y < 20)
    mask = 1 - hole[None, None].double()
    edges = ((3 * x + 2 * y) % 11 == 0)[None, None].double()
    numbers = dict(image=image, mask=mask, gray=second.luma(image), edges=edges * mask)
    return {name: array.float().double() for name, array in numbers.items()}


def runs(out, nets):
    given = scene()
    mask = given["mask"]
    arrays = {name: array.float() for name, array in given.items()}
    described = {}

    def picture(steps, prediction):
        return second.Picture(nets, second.Sde(steps), mask, given["image"] * mask,
                              given["gray"] * mask, given["edges"], prediction)

    def keep(name, settings, sampled):
        y, x, log = sampled
        described[name] = settings | {key: log[key] for key in ("scores", "verdicts")}
        arrays[f"{name}.texture"], arrays[f"{name}.structure"] = y.float(), x.float()
        verdicts = "".join(verdict[0] for *_, verdict in log["verdicts"])
        print(f"{name}: |y| up to {y.abs().max():.2f}, verdicts {verdicts}, margin {log['margin']:.1e}")

    def decided(sample):
        """The run of the first seed in which no decision hangs by a hair."""
        for seed in range(5, 50):
            draw = noise(seed)
            sampled = sample(lambda channels: draw(channels, HEIGHT, WIDTH))
            if sampled[2]["margin"] > 2e-6:
                return seed, sampled

    def paper(name, steps=8, resampling=RESAMPLING, prediction="clean-difference", **changes):
        switches = changes.pop("switches", second.DEFAULT) | changes
        seed, sampled = decided(lambda draw: second.sample_paper(
            picture(steps, prediction), draw, switches, resampling))
        sampler = dict(method="paper", resampling=resampling, early_until=0.4, switches=switches)
        keep(name, dict(steps=steps, seed=seed, prediction=prediction, sampler=sampler), sampled)

    paper("default")
    paper("noise-prediction", prediction="noise")
    paper("no-resampling", resampling=None)
    paper("reference", switches=second.REFERENCE)
    paper("reference-newest", switches=second.REFERENCE, better="newest")
    alternatives = dict(
        last_step_noise=[True], known_structure=["one-ahead"], forward_theta=["of-source"],
        incumbent=["first"], better=["lower", "newest"], rejected=["averaged", "averaged-rescaled"],
        discriminator_view=["known"], late_guide=["channel-mean"], composite_texture=[True],
        guide_alignment=["stretched"],
    )
    for switch, values in alternatives.items():
        for value in values:
            name = f"{switch}={json.dumps(value).strip(chr(34))}"
            paper(name, **{switch: value})
            draw = noise(described[name]["seed"])
            y, *_ = second.sample_paper(picture(8, "clean-difference"),
                                        lambda channels: draw(channels, HEIGHT, WIDTH),
                                        second.DEFAULT, RESAMPLING)
            assert not torch.equal(arrays[f"{name}.texture"], y.float()), f"{name} changes nothing"

    grid = [20, 16, 12, 8, 4, 0]
    for solver in ("euler", "posterior", "multistep", "multistep-stochastic"):
        for rounds in (0, 3):
            seed, sampled = decided(lambda draw: second.sample_few_steps(
                picture(grid[0], "clean-difference"), draw, grid, solver, rounds))
            sampler = dict(method="fast", steps=len(grid) - 1, solver=solver, grid="time",
                           resampling_rounds=rounds, early_until=0.4)
            keep(f"{solver}-{rounds}-rounds",
                 dict(steps=grid[0], seed=seed, prediction="clean-difference", sampler=sampler), sampled)
    write(out / "sampling/runs.safetensors", arrays)
    write_json(out / "sampling/runs.json", described)


def trajectory(out, nets):
    """A run in the reference's mode and f32 schedule, laid out as the reference's recordings."""
    given, steps, draw = scene(), 10, noise(7)
    mask, drawn = given["mask"], []

    def recorded(channels):
        drawn.append(draw(channels, HEIGHT, WIDTH))
        return drawn[-1]

    sde = second.Sde(steps, single=True)
    picture = second.Picture(nets, sde, mask, given["image"] * mask, given["gray"] * mask, given["edges"])
    settings = dict(u_max=4, u_min=2, jump=3, re=2)
    y, _, log = second.sample_paper(picture, recorded, second.REFERENCE, settings)
    codes = {"accepted": lambda n: 0 if n >= settings["u_min"] else 2,
             "stopped": lambda n: 1, "averaged": lambda n: 3}
    arrays = {"in.GT": given["image"], "in.gray": given["gray"], "in.edge": given["edges"],
              "in.mask": mask, "out": picture.paste(y, given["image"])}
    arrays |= {f"noise.{i:04d}": z for i, z in enumerate(drawn)}
    for t in (steps, 5, 3, 1):
        arrays[f"state.x.t{t}"], arrays[f"state.xs.t{t}"] = log["states"][t]
    arrays = {name: array.float() for name, array in arrays.items()}
    column = lambda rows, i: torch.tensor([row[i] for row in rows])
    arrays |= {"D.t": column(log["scores"], 0), "D.i": column(log["scores"], 1),
               "D.value": column(log["scores"], 2).float(),
               "branch.t": column(log["verdicts"], 0), "branch.i": column(log["verdicts"], 1),
               "branch.code": torch.tensor([codes[v](n) for _, n, v in log["verdicts"]])}
    print("trajectory:", len(drawn), "draws,", [v for *_, v in log["verdicts"]])
    write(out / f"traj/traj_T{steps}.safetensors", arrays)
    write_json(out / "traj/traj.json", {f"traj_T{steps}": settings | dict(
        T=steps, eps=0.005, schedule="cosine", max_sigma=30, nets="tiny")})


# Losses and gradients


def objectives(out, nets):
    given, sde = scene(), second.Sde(100)
    image = torch.cat([given["image"], given["image"].flip(3), given["image"].roll(4, 2)])
    mask = torch.cat([given["mask"], given["mask"].flip(2), given["mask"].roll(3, 3)])
    gray, mu_x = second.luma(image), given["edges"].expand(3, -1, -1, -1) * mask
    mu_y, t, draw = image * mask, torch.tensor([84, 37, 5]), noise(11)
    z_y = torch.cat([draw(3, HEIGHT, WIDTH) for _ in range(3)])
    z_x = torch.cat([draw(1, HEIGHT, WIDTH) for _ in range(3)])
    guide = sde.optimum(sde.marginal(gray, mu_x, t, z_x), gray, mu_x, t)
    arrays = dict(image=image, mask=mask, gray=gray, edges=mu_x, texture_noise=z_y, structure_noise=z_x)
    cases = {}

    def record(name, kind, loss_of, **settings):
        p = {key: value.clone().requires_grad_(not key.endswith(("_u", "_v")))
             for key, value in nets[kind].items()}
        loss = loss_of(p)
        loss.backward()
        norms = {key: float(f"{value.grad.norm().item():.9g}") for key, value in p.items() if value.grad is not None}
        cases[name] = dict(network=kind, loss=loss.item(), gradient_norms=norms) | settings
        print(f"{name}: loss {loss.item():.6f}")

    for prediction in ("noise", "clean-difference"):
        for distance in ("absolute", "squared"):
            how = dict(prediction=prediction, distance=distance)
            record(f"structure {prediction} {distance}", "structure",
                   lambda p: second.network_loss(p, sde, gray, mu_x, mask, t, z_x, **how), **how)
            record(f"texture {prediction} {distance}", "texture",
                   lambda p: second.network_loss(p, sde, image, mu_y, mask, t, z_y, guide, **how), **how)
    record("discriminator", "discriminator",
           lambda p: second.discriminator_loss(p, sde, image, mu_y, gray, mu_x, mask, t, z_y, z_x))
    write(out / "objectives/batch.safetensors", {name: array.float() for name, array in arrays.items()})
    write_json(out / "objectives/objectives.json", dict(times=t.tolist(), cases=cases))


def main():
    fixtures = Path(sys.argv[1])
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else DEFAULT_OUT
    (out / "sde").mkdir(parents=True, exist_ok=True)
    take_over(fixtures, out)
    more_schedules(out)
    prepared(fixtures, out)
    nets = {kind: checkpoint(out / f"nets/{kind}_tiny.pth")
            for kind in ("texture", "structure", "discriminator")}
    with torch.no_grad():
        check_second_implementation(fixtures)
        runs(out, nets)
        trajectory(out, nets)
    objectives(out, nets)
    print_hashes()
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{size / 1e6:.2f} MB in {out}")


if __name__ == "__main__":
    main()
