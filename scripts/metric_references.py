#!/usr/bin/env python3
"""Print the reference numbers of tests/metric_parity.rs.

scikit-image gives PSNR and SSIM. Written out below with NumPy and SciPy, after their definitions
in docs/evaluation.md: MS-SSIM (valid 11-tap Gaussian windows, 2x2 averaging, exponents of Wang et
al. 2003), the sliced Wasserstein distance (Karras et al. 2018) and the gradient ratios.

    python metric_references.py [--photos DIR --masks DIR]

Without arguments: the drawn pairs. With them: real pairs, in file order; the photographs as PNG
files that the test's `write_photographs_for_the_reference_script` wrote, because JPEG decoders
differ by a level here and there, which moves PSNR by more than 1e-4 dB.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import convolve
from scipy.signal import correlate
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def drawn_truth(k, h, w):
    y, x, c = np.meshgrid(np.arange(h), np.arange(w), np.arange(3), indexing="ij")
    v = x * (2 + c + k % 3) + y * (4 - c) + (x * x + 2 * y * y) // (37 + 11 * k) + 31 * c + 17 * k
    v = v % 510
    return np.minimum(v, 510 - v).astype(np.uint8)


def drawn_hole(k, h, w):
    """Ellipse whose centre and axes depend on k."""
    y, x = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    cy, cx = h * (3 + k % 4) // 10, w * (3 + k % 5) // 10
    ry, rx = h // 4 + k, w // 5 + 2 * k
    dy, dx = y - cy, x - cx
    return dy * dy * rx * rx + dx * dx * ry * ry <= ry * ry * rx * rx


def degrade(k, truth, hole):
    """Five kinds of damage, integers only."""
    t = truth.astype(np.int64)
    h, w, _ = t.shape
    kind = k % 5
    if kind == 0:  # noise from a linear congruential generator, pixel by pixel
        amplitude, state = 9 + 3 * k, 12345 + k
        noise = np.empty(t.size, dtype=np.int64)
        for i in range(t.size):
            state = (state * 1664525 + 1013904223) % 2**32
            noise[i] = (state >> 24) % (2 * amplitude + 1) - amplitude
        out = np.clip(t + noise.reshape(t.shape), 0, 255)
    elif kind == 1:  # the hole in one grey
        out = np.where(hole[..., None], 128, t)
    elif kind == 2:  # 3x3 box blur, clamped at the border
        p = np.pad(t, ((1, 1), (1, 1), (0, 0)), mode="edge")
        out = sum(p[i : i + h, j : j + w] for i in range(3) for j in range(3)) // 9
    elif kind == 3:  # sixteen levels inside the hole, 64 outside
        out = np.where(hole[..., None], t // 16 * 16 + 8, t // 4 * 4 + 2)
    else:  # the hole filled from twelve pixels to the left, clamped at the border
        shifted = t[:, np.maximum(np.arange(w) - 12, 0)]
        out = np.where(hole[..., None], shifted, t)
    return out.astype(np.uint8)


def ms_ssim(a, b):
    x = np.arange(11) - 5.0
    taps = np.exp(-x * x / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2
    exponents = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
    scores = []
    for c in range(3):
        p, q, score = a[..., c], b[..., c], 1.0
        for scale, exponent in enumerate(exponents):
            mean = lambda v: correlate(v, window, mode="valid", method="direct")
            mp, mq = mean(p), mean(q)
            vp, vq, cov = mean(p * p) - mp * mp, mean(q * q) - mq * mq, mean(p * q) - mp * mq
            term = (2 * cov + 9e-4) / (vp + vq + 9e-4)
            if scale == 4:
                term = term * (2 * mp * mq + 1e-4) / (mp * mp + mq * mq + 1e-4)
            score *= max(term.mean(), 0.0) ** exponent
            if scale < 4:
                p, q = halve(p), halve(q)
        scores.append(score)
    return float(np.mean(scores))


def halve(p):
    py, px = p.shape[0] % 2, p.shape[1] % 2
    p = np.pad(p, ((py, 0), (px, 0)))
    return (p[::2, ::2] + p[1::2, ::2] + p[::2, 1::2] + p[1::2, 1::2]) / 4


BINOMIAL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def halve_smoothly(p):
    return np.stack(
        [convolve(p[..., c], BINOMIAL, mode="mirror")[::2, ::2] for c in range(3)], axis=-1
    )


def double_smoothly(p, shape):
    sparse = np.zeros(shape)
    sparse[::2, ::2] = p
    return np.stack(
        [convolve(sparse[..., c], 4 * BINOMIAL, mode="mirror") for c in range(3)], axis=-1
    )


def laplacian_pyramid(p):
    """At most four bands, finest first, and the rest; no level with a side below 8."""
    levels = []
    while len(levels) < 4 and (min(p.shape[:2]) + 1) // 2 >= 8:
        coarse = halve_smoothly(p)
        levels.append(p - double_smoothly(coarse, p.shape))
        p = coarse
    return [*levels, p]


def splitmix64(seed, count):
    """Numbers in 0..1: the middles of 2**53 equal parts."""
    numbers, mask = [], 2**64 - 1
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        z ^= z >> 31
        numbers.append(((z >> 11) + 0.5) / 2**53)
    return np.array(numbers)


def unit_vectors(count=128, length=147):
    u, v = splitmix64(1, count * length).reshape(-1, 2).T
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * v
    normals = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    vectors = normals.reshape(count, length)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def patches(level, places):
    padded = np.pad(level, ((3, 3), (3, 3), (0, 0)), mode="reflect")
    return np.array([padded[y : y + 7, x : x + 7].reshape(-1) for y, x in places])


def sliced_wasserstein(a, b, hole):
    """Per level, finest first; an empty list for pictures that are too small."""
    if min(hole.shape) < 15:
        return []
    scores, vectors = [], unit_vectors()
    for p, q in zip(laplacian_pyramid(a), laplacian_pyramid(b)):
        places = np.argwhere(hole)
        if len(places) > 4096:
            drawn = (np.arange(4096) + splitmix64(2, 4096)) * (len(places) / 4096)
            places = places[drawn.astype(int)]
        p, q = patches(p, places), patches(q, places)
        distances = [np.abs(np.sort(p @ v) - np.sort(q @ v)).mean() for v in vectors]
        scores.append(1000 * np.mean(distances))
        h, w = hole.shape
        hole = np.pad(hole, ((0, h % 2), (0, w % 2)))
        hole = hole.reshape(hole.shape[0] // 2, 2, -1, 2).any(axis=(1, 3))
    return scores


def gradient_ratios(a, b, hole):
    """(energy, spread), result / truth; None where the truth is flat."""
    def magnitudes(p):
        dx = np.diff(p, axis=1, append=p[:, -1:])
        dy = np.diff(p, axis=0, append=p[-1:])
        return np.hypot(dx, dy)[hole]

    truth, result = magnitudes(a), magnitudes(b)
    if truth.std() < 1 / 255:
        return None
    return np.mean(result**2) / np.mean(truth**2), result.std() / truth.std()


def report(label, truth, result, hole):
    a, b = truth / 255.0, result / 255.0
    psnr = peak_signal_noise_ratio(a, b, data_range=1)
    ssim, full = structural_similarity(
        a, b, data_range=1, channel_axis=-1, gaussian_weights=True, full=True
    )
    psnr_hole = -10 * np.log10(np.mean((a[hole] - b[hole]) ** 2))
    ssim_hole = full[hole].mean()
    ms = f"Some({ms_ssim(a, b):.8f})" if min(truth.shape[:2]) >= 161 else "None"
    swd = ", ".join(f"{score:.8f}" for score in sliced_wasserstein(a, b, hole))
    ratios = gradient_ratios(a, b, hole)
    ratios = "None" if ratios is None else f"Some([{ratios[0]:.8f}, {ratios[1]:.8f}])"
    print(
        f"    ({label}, ([{psnr:.8f}, {ssim:.8f}, {psnr_hole:.8f}, {ssim_hole:.8f}], {ms}, "
        f"&[{swd}], {ratios})),"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--masks", type=Path)
    args = parser.parse_args()
    if args.photos is None:
        for k, (h, w) in enumerate(
            [(11, 11), (64, 64), (48, 97), (161, 161), (200, 170), (31, 40),
             (128, 96), (163, 222), (77, 76), (180, 255), (256, 256), (12, 60)]
        ):
            truth, hole = drawn_truth(k, h, w), drawn_hole(k, h, w)
            report(f"({h}, {w})", truth, degrade(k, truth, hole), hole)
        return
    photos = sorted(args.photos.glob("*.png"))
    masks = sorted(args.masks.glob("*.png"))[::40][:12]
    for k, (photo, mask) in enumerate(zip(photos, masks)):
        truth = np.array(Image.open(photo).convert("RGB"))
        h, w, _ = truth.shape
        full = np.array(Image.open(mask).convert("L"))
        y, x = np.arange(h) * full.shape[0] // h, np.arange(w) * full.shape[1] // w
        hole = full[y][:, x] >= 128
        report(f'"{photo.stem}.jpg", "{mask.name}"', truth, degrade(k, truth, hole), hole)


if __name__ == "__main__":
    main()
