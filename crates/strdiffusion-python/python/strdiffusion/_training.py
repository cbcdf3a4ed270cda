"""Training in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from . import _native

if TYPE_CHECKING:
    from os import PathLike

STAGES = ("structure", "texture", "discriminator")


class TrainingStep(TypedDict):
    """A step of training."""

    stage: Literal["structure", "texture", "discriminator"]
    step: int
    """Steps of the stage that are done."""
    until: int
    """Steps of the stage in all."""
    loss: float
    steps_per_second: float


class Validation(TypedDict):
    """What a network scored on the pictures that are kept from training."""

    stage: Literal["structure", "texture", "discriminator"]
    step: int
    loss: float
    psnr: float | None
    """In the hole, in dB, where the stage fills pictures."""
    best: bool
    """Whether it is the best so far."""


def run_settings(
    run: Path,
    *,
    resume: bool,
    preset: str | None,
    config: str | None,
    start_from: str | None,
    changes: Sequence[tuple[str, str]],
    device: str | None = None,
) -> str:
    """The settings of a run, as TOML: of its folder, or new ones.

    Without a device they suit any, as processes on several machines need it.
    """
    stored = run / "config.toml"
    if resume:
        if preset or config or start_from or changes:
            raise ValueError("resume goes on with the run's own settings and takes no others")
        if not stored.is_file():
            raise ValueError(f"{run}: there is no run to go on with; leave resume away")
        return stored.read_text()
    if stored.exists():
        raise ValueError(f"{run}: there is a run already; resume it, or name another folder")
    if preset and config:
        raise ValueError("preset and config exclude each other")
    return _native.training_settings(
        preset=preset or "tiny",
        config=config,
        start_from=start_from,
        changes=changes,
        device=device,
    )


def train(
    images: str | PathLike[str],
    out: str | PathLike[str],
    *,
    preset: Literal["tiny", "small", "paper"] | None = None,
    config: str | PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    start_from: str | PathLike[str] | None = None,
    resume: bool = False,
    masks: str | PathLike[str] | None = None,
    hole: Literal["white", "black"] = "white",
    stage: Literal["structure", "texture", "discriminator", "all"] = "all",
    steps: int | None = None,
    device: str = "auto",
    on_step: Callable[[TrainingStep], Any] | None = None,
    on_validation: Callable[[Validation], Any] | None = None,
) -> Path:
    """Train the networks on a folder of photographs, as ``strdiffusion train`` does.

    Everything is saved in the run's folder. Other Python threads run meanwhile.

    Args:
        images: folder of photographs, with all folders in it.
        out: folder of the run.
        preset: settings to start from; None: ``"tiny"``.
        config: settings from a TOML file instead.
        settings: changes of single settings, such as ``{"run.batch": 4}``.
        start_from: model folder whose networks to start from.
        resume: go on with the run that is in ``out``.
        masks: folder of masks; None: they are generated.
        hole: which pixels of those masks are the hole.
        stage: which network to train.
        steps: stop each stage after this many steps; those done before count.
        device: as :class:`Inpainter` takes it.
        on_step: called with a :class:`TrainingStep` after each step; if it returns False, the run is
            saved and ends.
        on_validation: called with a :class:`Validation`; as ``on_step``.

    Returns:
        The model's folder.

    Raises:
        ValueError: if a setting or a file is not what it should be.
        Cancelled: if a callback returned False; ``resume=True`` goes on. What one raises is passed
            on, after the run was saved.
    """
    run = Path(out)
    if stage != "all" and stage not in STAGES:
        raise ValueError(f"stage {stage!r} is not known: use one of {', '.join(STAGES)}, or all")
    for name, callback in (("on_step", on_step), ("on_validation", on_validation)):
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} must be callable")
    toml = run_settings(
        run,
        resume=resume,
        preset=preset,
        config=None if config is None else os.fspath(config),
        start_from=None if start_from is None else os.fspath(start_from),
        changes=[(key, _as_toml(value)) for key, value in (settings or {}).items()],
        device=device,
    )

    def on_event(text: str) -> Any:
        event = json.loads(text)
        kind = event.pop("event")
        if kind == "stepped" and on_step is not None:
            del event["log"]
            return on_step(event)
        if kind == "validated" and on_validation is not None:
            return on_validation(event)
        return None

    finished = _native.train(
        toml,
        images=os.fspath(images),
        masks=None if masks is None else os.fspath(masks),
        black_holes=hole == "black",
        run=os.fspath(run),
        stages=STAGES if stage == "all" else [stage],
        steps=steps,
        device=device,
        on_event=on_event,
    )
    if not finished:
        raise _native.Cancelled("stopped and saved: a callback returned False; resume goes on")
    return run / "model"


def _as_toml(value: Any) -> str:
    """Numbers and truth values as TOML has them; text as it is."""
    return str(value).lower() if isinstance(value, bool) else str(value)
