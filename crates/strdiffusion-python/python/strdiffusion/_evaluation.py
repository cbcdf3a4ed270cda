"""Scores of a model, or of finished pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _native

if TYPE_CHECKING:
    from os import PathLike

    from ._inpainter import SamplerName


def evaluate(
    images: str | PathLike[str],
    report: str | PathLike[str],
    *,
    masks: str | PathLike[str] | None = None,
    ratio: tuple[float, float] | None = None,
    model: str | PathLike[str] | None = None,
    results: str | PathLike[str] | None = None,
    name: str | None = None,
    n: int | None = None,
    seed: int = 0,
    size: int | None = None,
    metrics: Sequence[str] = ("psnr", "ssim", "ms-ssim", "swd", "gradient"),
    sampler: SamplerName | None = None,
    steps: int | None = None,
    device: str = "auto",
    weights: str | PathLike[str] | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> dict[str, Any]:
    """Score a model, or finished pictures of any method, as ``strdiffusion eval`` does.

    The same call goes on where an interrupted one stopped. Other Python threads run meanwhile.

    Args:
        images: folder of photographs: the truth.
        report: folder that gets report.html, results.json and results.csv.
        masks: folder of masks, white is the hole.
        ratio: instead of masks: generate some whose hole has a share of the picture from the first
            number to the second.
        model: a model folder; None: as :class:`Inpainter`.
        results: score the finished pictures in this folder instead of a model.
        name: what the report calls the method.
        n: only the first n images in name order.
        seed: of the pairing, of generated masks and of the model's noise.
        size: side that the photographs are cropped and resized to; None: the model's own.
        metrics: also ``"lpips"`` and ``"fid"``, which need weights.
        sampler: as :meth:`Inpainter.inpaint`.
        steps: as :meth:`Inpainter.inpaint`.
        device: as :class:`Inpainter` takes it.
        weights: folder with the weights of LPIPS and FID; None: the user's cache folder.
        progress: called as ``progress(done, total)`` after each picture; if it returns False, the
            scores so far are kept and the evaluation ends.

    Returns:
        The contents of results.json.

    Raises:
        ValueError: if a setting or a file is not what it should be.
        Cancelled: if ``progress`` returned False. What it raises is passed on.
    """
    if progress is not None and not callable(progress):
        raise TypeError("progress must be callable, as progress(done, total)")
    options = {
        "images": images,
        "report": report,
        "masks": masks,
        "ratio": None if ratio is None else "-".join(map(str, ratio)),
        "model": model,
        "results": results,
        "name": name,
        "n": n,
        "seed": seed,
        "size": size,
        "metrics": ",".join(metrics),
        "sampler": sampler,
        "steps": steps,
        "device": device,
        "weights": weights,
    }
    given = {key: value for key, value in options.items() if value is not None}
    _native.evaluate([f"--{key}={_text(value)}" for key, value in given.items()], progress=progress)
    scores: dict[str, Any] = json.loads((Path(report) / "results.json").read_text("utf-8"))
    return scores


def _text(value: Any) -> str:
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)
