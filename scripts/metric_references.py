#!/usr/bin/env python3
"""Print the reference numbers of tests/metric_parity.rs.

scikit-image gives PSNR and SSIM; MS-SSIM is written out below with NumPy and SciPy after the
definition (valid 11-tap Gaussian windows, 2x2 averaging, exponents of Wang et al. 2003).

    python metric_references.py [--photos DIR --masks DIR]

Without arguments: the drawn pairs. With them: real pairs, in file order; the photographs as PNG
files that the test's `write_photographs_for_the_reference_script` wrote, because JPEG decoders
differ by a level here and there, which moves PSNR by more than 1e-4 dB.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
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


def report(label, truth, result, hole):
    a, b = truth / 255.0, result / 255.0
    psnr = peak_signal_noise_ratio(a, b, data_range=1)
    ssim, full = structural_similarity(
        a, b, data_range=1, channel_axis=-1, gaussian_weights=True, full=True
    )
    psnr_hole = -10 * np.log10(np.mean((a[hole] - b[hole]) ** 2))
    ssim_hole = full[hole].mean()
    ms = f"Some({ms_ssim(a, b):.8f})" if min(truth.shape[:2]) >= 161 else "None"
    print(f"    ({label}, [{psnr:.8f}, {ssim:.8f}, {psnr_hole:.8f}, {ssim_hole:.8f}], {ms}),")


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
