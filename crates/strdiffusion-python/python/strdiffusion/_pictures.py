"""Arrays and PIL images as bytes with a size, and back.

Neither library is imported before the caller has used it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from ._native import Hole

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image


class Pixels(NamedTuple):
    """Interleaved samples, row by row."""

    data: bytes
    width: int
    height: int
    channels: int
    """1 gray, 2 gray and alpha, 3 RGB, 4 RGBA."""
    bits: int
    """Bits a sample: 8, or 16 in little-endian order."""


class Source(Protocol):
    """An image that can be filled."""

    pixels: Pixels

    def check(self, hole: Hole) -> None:
        """Refuses pixels that show in the result and cannot be used."""

    def restore(self, filled: bytearray, hole: Hole, *, keeps_alpha: bool) -> Any:
        """The filled pixels as an image of the caller's kind."""


def read_image(image: Any) -> Source:
    """The source of an image."""
    if _is_pil(image):
        return _PilSource(image)
    array = _array(image, "image")
    is_float = array.dtype.kind == "f"
    source: Source = _FloatSource(array) if is_float else _IntegerSource(array)
    return source if array is image else _ForeignSource(source, image)


def read_mask(mask: Any, what: str, white: float = 0.5) -> Pixels:
    """A mask or a drawing; ``what`` names it in errors, and white begins at ``white``, 0 to 1."""
    if _is_pil(mask):
        return _mask_of_pil(mask, what)
    array = _array(mask, what)
    kind = array.dtype.kind
    if kind == "f":
        return _pixels(_to_16_bit(array), what)
    if kind in "iu" and array.size:
        array = _narrow(array)
        kind = "b" if array.max() == 1 and array.min() >= 0 else kind
        least = {"u1": 255, "u2": 65535}.get(array.dtype.str[1:], 0) * white
        if kind != "b" and 0 < array.max() < least:
            share = "half" if white == 0.5 else f"{white:g}"
            raise ValueError(
                f"{what}: the largest value is {array.max()}, less than {share} of the range; use "
                f"bool, as with {what} > 0, or 0 and 1, or 0 and 255"
            )
    return _pixels(array.astype("u1") * 255 if kind == "b" else array, what)


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    """Integers that uint8 holds, as uint8: the default dtype of 0 and 255 is int64."""
    if array.dtype.str[1:] not in ("u1", "u2") and 0 <= array.min() and array.max() <= 255:
        return array.astype("u1")
    return array


def _is_pil(image: Any) -> bool:
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


# --- NumPy -----------------------------------------------------------------------------------


def _array(value: Any, what: str) -> NDArray[Any]:
    array: NDArray[Any]
    if hasattr(value, "__array__") or hasattr(value, "__dlpack__"):
        import numpy

        try:
            read = numpy.asarray if hasattr(value, "__array__") else numpy.from_dlpack
            array = read(value)
        except (BufferError, RuntimeError, TypeError) as error:
            # Such as a tensor on a GPU; its library says what to do.
            raise ValueError(f"{what}: it cannot be read as a NumPy array: {error}") from None
        return array
    hint = "; open it first" if isinstance(value, (str, bytes, os.PathLike)) else ""
    raise TypeError(
        f"{what} must be a NumPy array, a PIL image, or an object with DLPack or __array__, not {type(value).__name__}{hint}"
    )


def _pixels(array: NDArray[Any], what: str) -> Pixels:
    """The samples of an array of 8- or 16-bit unsigned integers."""
    if array.ndim == 2:
        channels = 1
    elif array.ndim == 3 and 1 <= array.shape[2] <= 4:
        channels = array.shape[2]
    else:
        raise ValueError(
            f"{what}: an array of shape {array.shape} is not supported; its shape must be "
            "(height, width) or (height, width, 1 to 4 channels)"
        )
    bits = {"u1": 8, "u2": 16}.get(array.dtype.str[1:])
    if bits is None:
        raise ValueError(
            f"{what}: the dtype {array.dtype} is not supported; use uint8, uint16, or floats in "
            "[0, 1]" + (", or bool for a mask" if what == "image" else ", or bool")
        )
    height, width = array.shape[:2]
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return Pixels(little_endian.tobytes(), width, height, channels, bits)


def _to_16_bit(array: NDArray[Any]) -> NDArray[np.uint16]:
    """Floats in [0, 1] as 16-bit samples; NaN as 0."""
    import numpy

    precise = array.astype(numpy.result_type(array.dtype, numpy.float32))
    unit = numpy.clip(numpy.nan_to_num(precise, nan=0.0), 0.0, 1.0)
    samples: NDArray[np.uint16] = numpy.rint(unit * 65535).astype("<u2")
    return samples


class _IntegerSource:
    def __init__(self, array: NDArray[Any]) -> None:
        self.pixels = _pixels(array, "image")
        self._like = array

    def check(self, hole: Hole) -> None:
        pass

    def restore(self, filled: bytearray, hole: Hole, *, keeps_alpha: bool) -> NDArray[Any]:
        import numpy

        samples = numpy.frombuffer(filled, dtype=self._like.dtype.newbyteorder("<"))
        width, height = hole.canvas[:2]
        shape = (height, width, *self._like.shape[2:])
        return samples.reshape(shape).astype(self._like.dtype, copy=False)


class _FloatSource:
    """Networks see 16 bits of each sample; known samples come back as they were."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.pixels = _pixels(_to_16_bit(array), "image")
        self._array = array

    def check(self, hole: Hole) -> None:
        import numpy

        width, height, left, top = hole.canvas
        flags = numpy.frombuffer(hole.shown, dtype=numpy.uint8).reshape(height, width)
        rows, columns = self._array.shape[:2]
        samples = self._array[flags[top : top + rows, left : left + columns] == 1]
        wrong = samples[~((samples >= 0) & (samples <= 1))]
        if wrong.size:
            raise ValueError(
                f"image: floats must be in [0, 1], but a known pixel holds {wrong[0]:g}; scale "
                "them, or use uint8 or uint16"
            )

    def restore(self, filled: bytearray, hole: Hole, *, keeps_alpha: bool) -> NDArray[Any]:
        import numpy

        width, height, left, top = hole.canvas
        shape = (height, width, *self._array.shape[2:])
        samples = numpy.frombuffer(filled, dtype="<u2").reshape(shape) / 65535
        result: NDArray[Any] = samples.astype(self._array.dtype)
        known = numpy.frombuffer(hole.known, dtype=numpy.uint8).reshape(height, width) == 1
        rows, columns = self._array.shape[:2]
        # A view: what was known is written through it.
        part = result[top : top + rows, left : left + columns]
        known = known[top : top + rows, left : left + columns]
        part[known] = self._array[known]
        if keeps_alpha and self.pixels.channels in (2, 4):
            part[..., -1] = self._array[..., -1]
        return result


class _ForeignSource:
    """An array of another library."""

    def __init__(self, source: Source, image: Any) -> None:
        self.pixels = source.pixels
        self._source = source
        self._image = image

    def check(self, hole: Hole) -> None:
        self._source.check(hole)

    def restore(self, filled: bytearray, hole: Hole, *, keeps_alpha: bool) -> Any:
        """An array of that library where it reads DLPack, else one of NumPy."""
        array = self._source.restore(filled, hole, keeps_alpha=keeps_alpha)
        image = self._image
        if hasattr(image, "__array_namespace__"):
            library = image.__array_namespace__()
        else:
            library = sys.modules.get(type(image).__module__.partition(".")[0])
        from_dlpack = getattr(library, "from_dlpack", None)
        if from_dlpack is None or not hasattr(image, "__dlpack__"):
            return array
        return from_dlpack(array)


# --- Pillow ----------------------------------------------------------------------------------

# Channels and bits of each mode whose pixels can be filled as they are.
_MODES = {"L": (1, 8), "LA": (2, 8), "RGB": (3, 8), "RGBA": (4, 8), "I;16": (1, 16)}


def _pixels_of_pil(image: Image.Image, what: str) -> Pixels:
    if image.mode not in _MODES:
        raise ValueError(
            f"{what}: the mode {image.mode} is not supported; convert it to one of "
            f"{', '.join(_MODES)}, as with {what}.convert(\"RGB\")"
        )
    channels, bits = _MODES[image.mode]
    data = image.tobytes()
    return Pixels(data, image.width, image.height, channels, bits)


def _mask_of_pil(mask: Image.Image, what: str) -> Pixels:
    plain = {"1": "L", "P": "RGBA"}.get(mask.mode)
    return _pixels_of_pil(mask if plain is None else mask.convert(plain), what)


class _PilSource:
    def __init__(self, image: Image.Image) -> None:
        self.pixels = _pixels_of_pil(image, "image")
        self._image = image

    def check(self, hole: Hole) -> None:
        pass

    def restore(self, filled: bytearray, hole: Hole, *, keeps_alpha: bool) -> Image.Image:
        # What belongs to the image, such as its colour profile, comes along.
        width, height = hole.canvas[:2]
        if (width, height) == self._image.size:
            result = self._image.copy()
        else:
            result = self._image.resize((width, height))
        result.frombytes(bytes(filled))
        return result
