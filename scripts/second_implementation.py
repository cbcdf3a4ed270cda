"""StrDiffusion once more, in PyTorch and straight from the formulas: what recorded_numbers.py
records is computed here, independently of the Rust code.

Networks are functions of a checkpoint's tensors under the reference implementation's names.
Everything runs in the tensors' own precision (double for what is recorded).
"""

import math

import torch
import torch.nn.functional as F

HEADS, HEAD_DIM = 4, 32


# Networks


def conv(p, name, x, stride=1, padding=None):
    w = p[f"{name}.weight"]
    padding = w.shape[-1] // 2 if padding is None else padding
    return F.conv2d(x, w, p.get(f"{name}.bias"), stride, padding)


def linear(p, name, x):
    return F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])


def sinusoidal(t, dim, like):
    half = dim // 2
    f = torch.exp(torch.arange(half, dtype=like.dtype) * -(math.log(10_000) / (half - 1)))
    angles = t[:, None].to(like.dtype) * f
    return torch.cat([angles.sin(), angles.cos()], 1)


def layer_norm(x, gain):
    centred = x - x.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt() * gain


def res_block(p, name, x, time):
    scale, shift = linear(p, f"{name}.mlp.1", F.silu(time))[:, :, None, None].chunk(2, 1)
    h = F.silu(conv(p, f"{name}.block1.proj", x) * (scale + 1) + shift)
    h = F.silu(conv(p, f"{name}.block2.proj", h))
    skip = conv(p, f"{name}.res_conv", x) if f"{name}.res_conv.weight" in p else x
    return h + skip


def attention(p, name, x):
    b, _, h, w = x.shape
    qkv = conv(p, f"{name}.fn.fn.to_qkv", layer_norm(x, p[f"{name}.fn.norm.g"]))
    q, k, v = qkv.reshape(b, 3, HEADS, HEAD_DIM, h * w).unbind(1)
    q = q.softmax(2) * HEAD_DIM**-0.5
    context = torch.einsum("bhdn,bhen->bhde", k.softmax(3), v / (h * w))
    out = torch.einsum("bhde,bhdn->bhen", context, q).reshape(b, HEADS * HEAD_DIM, h, w)
    out = conv(p, f"{name}.fn.fn.to_out.0", out)
    return x + layer_norm(out, p[f"{name}.fn.fn.to_out.1.g"])


def spade(p, name, x, s):
    centred = x - x.mean(1, keepdim=True)
    norm = centred / (x.var(1, unbiased=True, keepdim=True) + 1e-5).sqrt()
    s = F.interpolate(s, size=x.shape[2:], mode="nearest")
    hidden = F.relu(conv(p, f"{name}.mlp_shared.0", s))
    gamma, beta = conv(p, f"{name}.mlp_gamma", hidden), conv(p, f"{name}.mlp_beta", hidden)
    return F.leaky_relu(norm * (1 + gamma) + beta, 0.2)


def spectral_conv(p, name, x):
    w, u, v = (p[f"{name}.weight_{part}"] for part in ("orig", "u", "v"))
    return F.conv2d(x, w / (u @ w.flatten(1) @ v), p[f"{name}.bias"], padding=1)


def guide_block(p, name, x, s):
    h = spectral_conv(p, f"{name}.conv_0", spade(p, f"{name}.norm_0", x, s))
    return x + spectral_conv(p, f"{name}.conv_1", spade(p, f"{name}.norm_1", h, s))


def pad(x, multiple):
    extra = [-side % multiple for side in x.shape[2:]]
    return F.pad(x, [0, extra[1], 0, extra[0]], "reflect")


def unet(p, x, mu, t, guide=None, padded_guide=True):
    """Noise (or x_0 - mu) predicted from the state x; t holds one timestep for each picture."""
    height, width = x.shape[2:]
    depth = 1 + max(int(name.split(".")[1]) for name in p if name.startswith("downs."))
    x = pad(torch.cat([x - mu, mu], 1), 2**depth)
    if guide is not None and padded_guide:
        guide = pad(guide, 2**depth)
    time = sinusoidal(t, p["init_conv.weight"].shape[0], x)
    time = linear(p, "time_mlp.3", F.gelu(linear(p, "time_mlp.1", time)))
    x = stem = conv(p, "init_conv", x)
    skips = []
    for i in range(depth):
        x = res_block(p, f"downs.{i}.0", x, time)
        skips.append(x)
        x = attention(p, f"downs.{i}.2", res_block(p, f"downs.{i}.1", x, time))
        skips.append(x)
        last = i == depth - 1
        x = conv(p, f"downs.{i}.3", x, 1 if last else 2, 1)
        if guide is not None:
            x = guide_block(p, f"downs.{i}.4", x, guide)
    x = attention(p, "mid_attn", res_block(p, "mid_block1", x, time))
    x = res_block(p, "mid_block2", x, time)
    for i in range(depth):
        for block in (0, 1):
            x = res_block(p, f"ups.{i}.{block}", torch.cat([x, skips.pop()], 1), time)
        x = attention(p, f"ups.{i}.2", x)
        if i == depth - 1:
            x = conv(p, f"ups.{i}.3", x)
        else:
            x = conv(p, f"ups.{i}.3.1", F.interpolate(x, scale_factor=2, mode="nearest"))
    x = res_block(p, "final_res_block", torch.cat([x, stem], 1), time)
    return conv(p, "final_conv", x)[:, :, :height, :width]


def halve(x):
    taps = torch.tensor([1.0, 3, 3, 1], dtype=x.dtype) / 8
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])


def discriminator(p, t, texture, structure):
    x = torch.cat([texture, structure], 1)
    b = x.shape[0]
    slope = lambda y: F.leaky_relu(y, 0.2)
    time = sinusoidal(t, p["t_embed.main.0.weight"].shape[0], x)
    time = slope(linear(p, "t_embed.main.2", slope(linear(p, "t_embed.main.0", time))))
    x = conv(p, "start_conv", x)
    for i in (1, 2, 3, 4):
        h = conv(p, f"conv{i}.conv1.0", slope(x))
        h = slope(h + linear(p, f"conv{i}.dense_t1", time)[:, :, None, None])
        if i > 1:
            h, x = halve(h), halve(x)
        x = (conv(p, f"conv{i}.conv2.0", h) + conv(p, f"conv{i}.skip.0", x)) / math.sqrt(2)
    group = min(b, 4)
    grouped = x.reshape(group, b // group, *x.shape[1:])
    spread = (grouped.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    spread = spread.repeat(group)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    x = slope(conv(p, "final_conv", torch.cat([x, spread], 1)))
    return linear(p, "end_linear", x.sum((2, 3)))[:, 0]


# The process


class Sde:
    """Coefficients by t = 0..T, in double; with `single`, in float and in the reference's order."""

    def __init__(self, steps, schedule="cosine", eps=0.005, max_sigma=30 / 255, single=False):
        kind = torch.float32 if single else torch.float64
        self.steps, self.lam = steps, max_sigma
        if schedule == "cosine":
            n = steps + 2
            k = torch.linspace(0, n, n + 1, dtype=kind)
            f = torch.cos(((k / n) + 0.008) / (1 + 0.008) * math.pi * 0.5) ** 2
            self.theta = 1 - (f / f[0])[1:-1]
        elif schedule == "linear":
            scale = 1000 / (steps + 1)
            self.theta = torch.linspace(scale * 1e-4, scale * 0.02, steps + 1, dtype=kind)
        else:
            self.theta = torch.ones(steps + 1, dtype=kind)
        self.bar = torch.cumsum(self.theta, 0) - self.theta[0]
        self.dt = -1 / self.bar[-1] * math.log(eps)
        self.sigma = torch.sqrt(max_sigma**2 * 2 * self.theta)
        self.sigma_bar = torch.sqrt(max_sigma**2 * (1 - torch.exp(-2 * self.bar * self.dt)))
        self.alpha = torch.exp(-self.bar * self.dt)

    def at(self, coefficients, t):
        """A number for one t, a column for one t of each picture."""
        return coefficients[t] if isinstance(t, int) else coefficients[t][:, None, None, None]

    def marginal(self, x0, mu, t, z):
        return mu + (x0 - mu) * self.at(self.alpha, t) + self.at(self.sigma_bar, t) * z

    def dispersion(self, z, t):
        return self.at(self.sigma, t) * z * math.sqrt(self.dt)

    def forward_step(self, x, mu, t, z):
        return x + self.at(self.theta, t) * (mu - x) * self.dt + self.dispersion(z, t)

    def reverse_mean(self, x, mu, noise, t):
        score = -noise / self.at(self.sigma_bar, t)
        drift = self.at(self.theta, t) * (mu - x) - self.at(self.sigma, t) ** 2 * score
        return x - drift * self.dt

    def optimum_weights(self, t):
        a = torch.exp(-self.theta[t] * self.dt)
        b, c = torch.exp(-self.bar[t] * self.dt), torch.exp(-self.bar[t - 1] * self.dt)
        return a * (1 - c**2) / (1 - b**2), c * (1 - a**2) / (1 - b**2)

    def optimum(self, x, x0, mu, t):
        of_state, of_clean = self.optimum_weights(t)
        if not isinstance(t, int):
            of_state, of_clean = (w[:, None, None, None] for w in (of_state, of_clean))
        return of_state * (x - mu) + of_clean * (x0 - mu) + mu

    def posterior_sigma(self, t):
        a, b, c = (torch.exp(-2 * e[i] * self.dt) for e, i in
                   ((self.theta, t), (self.bar, t), (self.bar, t - 1)))
        return self.lam * torch.sqrt((1 - a) * (1 - c) / (1 - b))

    def clean(self, x, noise, mu, t):
        return (x - mu - self.at(self.sigma_bar, t) * noise) / self.at(self.alpha, t) + mu

    def noise(self, x, clean, mu, t):
        return (x - mu - (clean - mu) * self.at(self.alpha, t)) / self.at(self.sigma_bar, t)


def luma(rgb):
    weights = torch.tensor([0.2125, 0.7154, 0.0721], dtype=rgb.dtype)
    return (rgb * weights[:, None, None]).sum(1, keepdim=True)


# The samplers

REFERENCE = dict(
    last_step_noise=True,
    known_structure="one-ahead",
    forward_theta="of-source",
    incumbent="first",
    better="lower",
    rejected="averaged",
    discriminator_view="known",
    late_guide="channel-mean",
    composite_texture=False,
    guide_alignment="stretched",
)
DEFAULT = dict(
    last_step_noise=False,
    known_structure="at-level",
    forward_theta="of-target",
    incumbent="current",
    better="higher",
    rejected="dropped",
    discriminator_view="whole",
    late_guide="luma",
    composite_texture=False,
    guide_alignment="padded",
)


class Picture:
    """What is known of one picture, and the networks: dictionaries of tensors by name."""

    def __init__(self, nets, sde, mask, mu_texture, gray, edges, prediction="noise"):
        self.nets, self.sde, self.prediction = nets, sde, prediction
        self.mask, self.mu_y, self.gray, self.mu_x = mask, mu_texture, gray, edges

    def paste(self, x, known):
        return self.mask * known + (1 - self.mask) * x

    def predict(self, kind, x, mu, t, guide=None, padded=True):
        """(noise, clean end)"""
        out = unet(self.nets[kind], x, mu, torch.tensor([t]), guide, padded)
        if self.prediction == "noise":
            return out, self.sde.clean(x, out, mu, t)
        return self.sde.noise(x, out + mu, mu, t), out + mu

    def score(self, t, texture, structure):
        return discriminator(self.nets["discriminator"], torch.tensor([t]), texture, structure)[0]


def sample_paper(picture, draw, switches, resampling, early_until=0.4):
    """The paper's procedure. `draw(channels)` gives noise; returns states and the decisions."""
    sde, sw, mask = picture.sde, switches, picture.mask
    mu_x, mu_y, gray = picture.mu_x, picture.mu_y, picture.gray
    padded = sw["guide_alignment"] == "padded"
    log = dict(scores=[], verdicts=[], states={}, margin=math.inf)

    def known_structure(level, ahead):
        return sde.marginal(gray, mu_x, level, draw(1)) if ahead is None else ahead

    def step_noise(channels, t):
        z = draw(channels)
        return 0 * z if t == 1 and not sw["last_step_noise"] else -sde.dispersion(z, t)

    def step_structure(x, t, ahead):
        x = picture.paste(x, known_structure(t, ahead))
        noise, _ = picture.predict("structure", x, mu_x, t)
        return sde.reverse_mean(x, mu_x, noise, t), step_noise(1, t)

    def step_texture(y, guide, t):
        if sw["composite_texture"]:
            y = picture.paste(y, sde.marginal(mu_y, mu_y, t, draw(3)))
        noise, clean = picture.predict("texture", y, mu_y, t, guide, padded)
        return (sde.reverse_mean(y, mu_y, noise, t), step_noise(3, t)), clean

    def score(pair, t, number):
        if sw["better"] == "newest":
            return 0.0
        texture = sum(pair["y"])
        texture = texture * mask if sw["discriminator_view"] == "known" else texture
        value = float(picture.score(t, texture, sum(pair["x"])))
        log["scores"].append((t, number, value))
        return value

    def new_pair(y, x, t):
        stepped, clean = step_texture(y, sum(x), t)
        return dict(x=x, y=stepped, clean=clean)

    y, x = mu_y + sde.lam * draw(3), mu_x + sde.lam * draw(1)
    clean = mu_y
    early_end = max(1, math.floor(early_until * sde.steps))
    for t in range(sde.steps, early_end - 1, -1):
        ahead = sde.marginal(gray, mu_x, t - 1, draw(1)) if sw["known_structure"] == "one-ahead" else None
        pair = new_pair(y, step_structure(x, t, ahead), t)
        if resampling and t % resampling["jump"] == 0:
            held = score(pair, t, 0)
            back = min(resampling["re"], sde.steps - t + 1)
            for number in range(1, resampling["u_max"]):
                again = sum(pair["x"])
                for level in range(t, t + back):
                    source = level - (sw["forward_theta"] == "of-source")
                    again = sde.forward_step(again, mu_x, source, draw(1))
                for level in reversed(range(t, t + back)):
                    stepped = step_structure(again, level, ahead)
                    again = sum(stepped)
                other = new_pair(y, stepped, t)
                value = score(other, t, number)
                if sw["better"] != "newest":
                    log["margin"] = min(log["margin"], abs(value - held))
                wins = {"higher": value > held, "lower": value < held, "newest": True}[sw["better"]]
                if wins:
                    pair, verdict = other, "accepted"
                elif number >= resampling["u_min"]:
                    verdict = "stopped"
                elif sw["rejected"] == "dropped":
                    verdict = "dropped"
                else:
                    verdict = "averaged"
                    gain = math.sqrt(2) if sw["rejected"] == "averaged-rescaled" else 1
                    mean = lambda a, b: ((a[0] + b[0]) / 2, gain * (a[1] + b[1]) / 2)
                    pair = dict(x=mean(pair["x"], other["x"]), y=mean(pair["y"], other["y"]),
                                clean=(pair["clean"] + other["clean"]) / 2)
                log["verdicts"].append((t, number, verdict))
                if verdict == "stopped":
                    break
                if sw["incumbent"] == "current" and number + 1 < resampling["u_max"]:
                    if verdict == "accepted":
                        held = value
                    elif verdict == "averaged":
                        held = score(pair, t, number)
        elif resampling and sw["discriminator_view"] == "known":
            score(pair, t, 0)  # the reference scores every early pair
        y, clean = sum(pair["y"]), pair["clean"]
        x = picture.paste(sum(pair["x"]), known_structure(t - 1, ahead))
        log["states"][t] = (y, x)
    for t in range(early_end - 1, 0, -1):
        if sw["late_guide"] == "channel-mean":
            guide = x = y.mean(1, keepdim=True)
        else:
            guide = sde.optimum(x, luma(clean), mu_x, t)
            x = guide + draw(1) * sde.posterior_sigma(t)
        stepped, clean = step_texture(y, guide, t)
        y = sum(stepped)
        log["states"][t] = (y, guide)
    return y, x, log


def sample_few_steps(picture, draw, grid, solver, rounds=0, early_until=0.4):
    """Few steps over `grid` = T .. 0 with exponential integrators of u = x - mu."""
    sde, mask = picture.sde, picture.mask
    mu_x, mu_y = picture.mu_x, picture.mu_y
    stochastic, second_order = solver in ("posterior", "multistep-stochastic"), solver.startswith("multistep")
    log = dict(scores=[], verdicts=[], margin=math.inf)

    def log_snr(t):
        return math.log(sde.alpha[t] / sde.sigma_bar[t]) if t else math.inf

    def step(u, clean, before, s, t, z):
        """`before`: the clean estimate of the step before, and that step's gain in log-SNR."""
        h, alpha, r = log_snr(t) - log_snr(s), sde.alpha[t], sde.sigma_bar[t] / sde.sigma_bar[s]
        e = math.exp(-h)
        if z is None:
            new = r * u + alpha * (1 - e) * clean
        else:
            new = r * e * u + alpha * (1 - e**2) * clean + sde.sigma_bar[t] * math.sqrt(1 - e**2) * z
        if second_order and before and t > 0:
            d = (clean - before[0]) * h / before[1]
            new = new + alpha * (((e - 1) / h + 1) if z is None else (1 - (1 - e**2) / (2 * h))) * d
        return new

    def toward(u, clean, s):
        """One step of one, first order, without noise: where the guide and the scores are."""
        r, h = sde.sigma_bar[s - 1] / sde.sigma_bar[s], log_snr(s - 1) - log_snr(s)
        return r * u + sde.alpha[s - 1] * (1 - math.exp(-h)) * clean

    def estimate(u_x, u_y, s, clean_x):
        if clean_x is None:
            _, found = picture.predict("structure", mu_x + u_x, mu_x, s)
            clean_x = picture.paste(found, picture.gray) - mu_x
        guide = mu_x + toward(u_x, clean_x, s)
        _, clean_y = picture.predict("texture", mu_y + u_y, mu_y, s, guide)
        return clean_x, clean_y - mu_y, guide

    def score(u_y, found, s, number):
        value = float(picture.score(s, mu_y + toward(u_y, found[1], s), found[2]))
        log["scores"].append((s, number, value))
        return value

    u_x, u_y = sde.lam * draw(1), sde.lam * draw(3)
    before_x = before_y = None
    early_end = max(1, math.floor(early_until * sde.steps))
    for s, t in zip(grid, grid[1:]):
        z_x, z_y = (draw(1), draw(3)) if stochastic else (None, None)
        early = s >= early_end
        if early:
            clean_x = None
        else:
            clean_x = (luma(mu_y + before_y[0]) if before_y else picture.gray) - mu_x
        found = estimate(u_x, u_y, s, clean_x)
        if early and rounds:
            held = score(u_y, found, s, 0)
            for number in range(1, rounds + 1):
                keep = sde.alpha[s] / sde.alpha[t]
                spread = math.sqrt(sde.sigma_bar[s] ** 2 - (keep * sde.sigma_bar[t]) ** 2)
                again = keep * step(u_x, found[0], before_x, s, t, z_x) + spread * draw(1)
                other = estimate(again, u_y, s, None)
                value = score(u_y, other, s, number)
                log["margin"] = min(log["margin"], abs(value - held))
                log["verdicts"].append((s, number, "accepted" if value > held else "stopped"))
                if not value > held:
                    break
                held, found, u_x = value, other, again
        h = log_snr(t) - log_snr(s)
        u_x, u_y = step(u_x, found[0], before_x, s, t, z_x), step(u_y, found[1], before_y, s, t, z_y)
        before_x, before_y = (found[0], h), (found[1], h)
    return mu_y + u_y, mu_x + u_x, log


# The objectives


def masked_loss(difference, mask, distance="absolute", known=1.0, hole=10.0):
    each = difference.abs() if distance == "absolute" else difference.square()
    return known * (each * mask).mean() + hole * (each * (1 - mask)).mean()


def network_loss(p, sde, x0, mu, mask, t, z, guide=None, prediction="noise", distance="absolute"):
    state = sde.marginal(x0, mu, t, z)
    out = unet(p, state, mu, t, guide)
    if prediction == "noise":
        difference = sde.reverse_mean(state, mu, out, t) - sde.optimum(state, x0, mu, t)
    else:
        difference = out - (x0 - mu)
    return masked_loss(difference, mask, distance)


def discriminator_loss(p, sde, image, mu_y, gray, mu_x, mask, t, z_y, z_x):
    late = sde.marginal(image, mu_y, t, z_y)
    optimum = sde.optimum(late, image, mu_y, t)
    structure = sde.optimum(sde.marginal(gray, mu_x, t, z_x), gray, mu_x, t)
    real, fake, anchor = (discriminator(p, t, y, structure)
                          for y in (optimum, late, mask * optimum + (1 - mask) * late))
    near, far = (anchor - real + 1e-6).abs(), (anchor - fake + 1e-6).abs()
    return (F.softplus(-real).mean() + F.softplus(fake).mean()
            + (near - far + 1).clamp_min(0).mean())
