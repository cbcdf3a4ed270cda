"""The front door: load a model, fill a hole."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, TypeVar

from . import _native
from ._pictures import Source, read_image, read_mask

if TYPE_CHECKING:
    from os import PathLike

    from PIL import Image

    class SupportsArray(Protocol):
        """What NumPy reads as an array."""

        def __array__(self) -> Any: ...

    class SupportsDLPack(Protocol):
        """A tensor of any library that has DLPack."""

        def __dlpack__(self) -> Any: ...
        def __dlpack_device__(self) -> Any: ...

    Readable = Image.Image | SupportsArray | SupportsDLPack
    Picture = TypeVar("Picture", bound=Readable)
    Mask = Readable

SamplerName = Literal["paper", "euler", "posterior", "fast", "fast-stochastic"]
Progress = Callable[[int, int], Any]
BatchProgress = Callable[[int, int, int], Any]
Extension = str | Sequence[int | str]
T = TypeVar("T")


class HoleDetail(TypedDict):
    """What became of the detail in one hole, or in several that were filled together."""

    x: int
    """Left column of the rectangle around the hole."""
    y: int
    """Its upper row."""
    width: int
    height: int
    pixels: int
    """Pixels of the hole."""
    confidence: float
    """0, nothing like the fill in the image, to 1, all of it there: it ranks fills, and is no
    probability."""
    trust: float
    """How far the networks' own fill was trusted, 0 to 1."""


Report = Callable[[list[HoleDetail]], Any]


class Borders(TypedDict):
    """How a mask becomes the hole, and how the fill ends at its border."""

    grow: int
    shrink: int
    feather: int
    threshold: float | None
    soft: bool
    extend: str | None


class Inpainter:
    """A model that is ready to fill images. Threads may share one.

    Args:
        model: a model folder; None: that of the environment variable ``STRDIFFUSION_MODEL``, else
            the model inside this package.
        device: ``"auto"``, ``"cpu"``, or where the package was built for it ``"cuda"``,
            ``"cuda:1"``, ``"vulkan"``, ``"vulkan:1"`` or ``"metal"``.

    Raises:
        FileNotFoundError: if the folder or one of its files is missing.
        ValueError: if a file is not what it should be, or the device's name is not known.
        RuntimeError: if this package or this machine does not have the device.
    """

    def __init__(
        self, model: str | PathLike[str] | None = None, device: str = "auto"
    ) -> None:
        folder = model or os.environ.get("STRDIFFUSION_MODEL")
        self._model = Path(folder) if folder else None
        self._native = _native.Inpainter(os.fspath(folder) if folder else None, device)

    @property
    def model(self) -> Path | None:
        """The model's folder; None: the model inside this package."""
        return self._model

    @property
    def device(self) -> str:
        """Where the networks run; never ``"auto"``."""
        return self._native.device

    @property
    def config(self) -> dict[str, Any]:
        """The model's settings, as in its ``config.json``; a copy."""
        config: dict[str, Any] = json.loads(self._native.config)
        return config

    def __repr__(self) -> str:
        model = self._model and os.fspath(self._model)
        return f"Inpainter({model!r}, device={self.device!r})"

    def inpaint(
        self,
        image: Picture,
        mask: Mask | None = None,
        *,
        seed: int = 0,
        steps: int | None = None,
        sampler: SamplerName | None = None,
        resampling: bool | int | Mapping[str, int] | None = None,
        structure: Mask | None = None,
        avoid: Mask | None = None,
        scale: Literal["auto", "native"] = "auto",
        detail: Literal["auto", "off"] | float = "auto",
        grow: int = 0,
        shrink: int = 0,
        feather: int = 0,
        threshold: float | None = None,
        soft: bool = False,
        extend: Extension | None = None,
        progress: Progress | None = None,
        report: Report | None = None,
    ) -> Picture:
        """Fill the hole of an image of any size.

        What the image holds in the hole is never read. Other Python threads run meanwhile.

        Args:
            image: a NumPy array ``H×W``, ``H×W×1`` (gray), ``H×W×2`` (gray, alpha), ``H×W×3``
                (RGB) or ``H×W×4`` (RGBA) of uint8, uint16 or floats in [0, 1]; an object with
                DLPack (a tensor on the CPU) or ``__array__``; or a PIL image of mode L, LA, RGB,
                RGBA or I;16.
            mask: of the image's height and width; white is the hole, gray is cut at one half.
                As an array also bool (True = hole) or 0 and 1 (1 = hole). None: the image's
                pixels that are not opaque are the hole.
            seed: the same seed, device and version give the same result; 0 to 2⁶⁴ − 1.
            steps: steps of a few-step sampler; None: the model's own.
            sampler: ``"paper"`` (every step, with adaptive resampling) or one of a few steps;
                None: the model's own.
            resampling: for the paper's sampler True, False or a dict of ``u_max``, ``u_min``,
                ``jump`` and ``re``; for a few-step sampler False or a number of rounds.
            structure: a drawing of the image's height and width; bright lines are the edges that
                the hole shall have.
            avoid: a mask of the image's height and width; detail is never copied from where it is
                white.
            scale: ``"auto"``: large images hole by hole at the model's resolution; ``"native"``:
                as a whole.
            detail: how much detail the fill gets from the image around it: ``"auto"`` (all, but
                with ``scale="native"`` none), ``"off"``, or a share from 0 to 1.
            grow: pixels that the hole grows by.
            shrink: pixels that the hole shrinks by, before it grows.
            feather: pixels around the hole across which fill and image are blended; these known
                pixels change.
            threshold: where white begins in the mask, above 0 and at most 1; None: one half.
                Without a mask the alpha below which a pixel is the hole; None: 1.
            soft: whether the mask's gray is the share of the fill, which is blended with what the
                image holds there. Excludes the four above.
            extend: continues the image beyond its sides: left, top, right and bottom, each a number
                of pixels or, as ``"25%"``, percent of its size; or a string of these with commas.
                What is new belongs to the hole, and no mask is needed; ``structure`` has the extended
                size.
            progress: called as ``progress(done, total)`` after each step; if it returns False,
                the fill is cancelled.
            report: called once, after the fill, with a list of :class:`HoleDetail`: one for each
                hole that got detail.

        Returns:
            A new image of the input's type, dtype and mode (a NumPy array for what has
            ``__array__`` but no DLPack), extended as asked. Known pixels are as they were, bit for bit, but for
            those that ``feather`` blends. Filled pixels keep their alpha; without a mask they become opaque.

        Raises:
            ValueError: if image, mask and settings do not fit together, or nothing is known.
            TypeError: if one of them is of a type that cannot be read.
            Cancelled: if ``progress`` returned False. What it raises is passed on.
        """
        seed = _checked_seed(seed)
        steps = _checked_steps(steps)
        if progress is not None and not callable(progress):
            raise TypeError("progress must be callable, as progress(done, total)")
        if report is not None and not callable(report):
            raise TypeError("report must be callable, as report(holes)")
        borders = Borders(
            grow=grow,
            shrink=shrink,
            feather=feather,
            threshold=threshold,
            soft=soft,
            extend=_in_words(extend),
        )
        source, hole = _read(image, mask, borders)
        filled, holes = self._native.fill(
            source.pixels,
            hole,
            structure=None if structure is None else read_mask(structure, "structure"),
            avoid=None if avoid is None else read_mask(avoid, "avoid"),
            seed=seed,
            scale=scale,
            detail=str(detail),
            sampler=sampler,
            steps=steps,
            resampling=resampling,
            progress=progress,
        )
        result: Picture = source.restore(filled, hole, keeps_alpha=mask is not None)
        if report is not None:
            report(json.loads(holes))
        return result

    def inpaint_batch(
        self,
        images: Sequence[Picture],
        masks: Sequence[Mask | None] | None = None,
        *,
        seeds: Sequence[int] | None = None,
        structures: Sequence[Mask | None] | None = None,
        avoids: Sequence[Mask | None] | None = None,
        steps: int | None = None,
        sampler: SamplerName | None = None,
        resampling: bool | int | Mapping[str, int] | None = None,
        scale: Literal["auto", "native"] = "auto",
        detail: Literal["auto", "off"] | float = "auto",
        grow: int = 0,
        shrink: int = 0,
        feather: int = 0,
        threshold: float | None = None,
        soft: bool = False,
        extend: Extension | None = None,
        progress: BatchProgress | None = None,
    ) -> list[Picture]:
        """Fill the holes of several images, each as :meth:`inpaint` would alone, but faster:
        images of one size, and crops of large ones, pass through the networks together.

        All images are in memory while they are filled. Other Python threads run meanwhile.

        Args:
            images: as :meth:`inpaint` takes one; they may differ in size and kind.
            masks: one for each image, or None where its pixels that are not opaque are the hole;
                None: that is so for all.
            seeds: one for each image; None: 0 for all.
            structures: a drawing, or None, for each image.
            avoids: a mask of what to avoid, or None, for each image.
            progress: called as ``progress(image, done, total)`` with the image's place after each
                of its steps; if it returns False, nothing is filled.

        The other arguments are those of :meth:`inpaint`.

        Returns:
            The filled images, in the same order.

        Raises:
            ValueError: also if there are not as many masks, seeds, structures or avoids as images. What
                is wrong with one image begins with its place, as in ``images[3]: …``; none is
                filled then.
            TypeError: if one of them is of a type that cannot be read.
            Cancelled: if ``progress`` returned False. What it raises is passed on.
        """
        steps = _checked_steps(steps)
        if progress is not None and not callable(progress):
            raise TypeError("progress must be callable, as progress(image, done, total)")
        holes = _one_each("masks", masks, images, None)
        drawn = _one_each("structures", structures, images, None)
        avoided = _one_each("avoids", avoids, images, None)
        borders = Borders(
            grow=grow,
            shrink=shrink,
            feather=feather,
            threshold=threshold,
            soft=soft,
            extend=_in_words(extend),
        )
        sources, requests = [], []
        for place, (image, mask, seed, structure, avoid) in enumerate(
            zip(images, holes, _one_each("seeds", seeds, images, 0), drawn, avoided)
        ):
            try:
                source, hole = _read(image, mask, borders)
                drawing = None if structure is None else read_mask(structure, "structure")
                white = None if avoid is None else read_mask(avoid, "avoid")
                request = (source.pixels, hole, drawing, white, _checked_seed(seed))
            except (TypeError, ValueError) as error:
                raise type(error)(f"images[{place}]: {error}") from None
            sources.append(source)
            requests.append(request)
        filled = self._native.fill_batch(
            requests,
            scale=scale,
            detail=str(detail),
            sampler=sampler,
            steps=steps,
            resampling=resampling,
            progress=progress,
        )
        return [
            source.restore(pixels, request[1], keeps_alpha=mask is not None)
            for source, request, mask, (pixels, _) in zip(sources, requests, holes, filled)
        ]


def _in_words(extend: Extension | None) -> str | None:
    if extend is None or isinstance(extend, str):
        return extend
    return ",".join(map(str, extend))


def _checked_seed(seed: int) -> int:
    seed = operator.index(seed)
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed}: it must be 0 to 2**64 - 1")
    return seed


def _checked_steps(steps: int | None) -> int | None:
    if steps is not None and (steps := operator.index(steps)) < 1:
        raise ValueError(f"steps is {steps}: it must be at least 1")
    return steps


def _read(image: Any, mask: Mask | None, borders: Borders) -> tuple[Source, _native.Hole]:
    """An image and its hole."""
    source = read_image(image)
    white = 0.5 if borders["threshold"] is None else borders["threshold"]
    pixels = None if mask is None else read_mask(mask, "mask", white)
    hole = _native.find_hole(source.pixels, pixels, **borders)
    source.check(hole)
    return source, hole


def _one_each(
    name: str, values: Sequence[T] | None, images: Sequence[Any], default: T
) -> Sequence[T]:
    if values is None:
        return [default] * len(images)
    if len(values) != len(images):
        raise ValueError(f"{len(values)} {name} for {len(images)} images: give one for each")
    return values


def inpaint(
    image: Picture,
    mask: Mask | None = None,
    *,
    model: str | PathLike[str] | None = None,
    device: str = "auto",
    **options: Any,
) -> Picture:
    """Fill the hole of one image; for several, load an :class:`Inpainter` once.

    Takes what :class:`Inpainter` and :meth:`Inpainter.inpaint` take.
    """
    return Inpainter(model, device).inpaint(image, mask, **options)
