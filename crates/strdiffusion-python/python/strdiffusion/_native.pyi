from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

__version__: str

# data, width, height, channels, bits a sample; 16-bit samples are little-endian.
_Pixels = tuple[bytes, int, int, int, int]

class _Group(Protocol):
    rank: int
    size: int
    def sum(self, values: bytearray) -> object: ...
    def broadcast(self, data: bytes) -> bytes: ...

class Cancelled(Exception): ...

def limit_threads(threads: int) -> None: ...
def find_hole(
    image: _Pixels,
    mask: _Pixels | None,
    *,
    grow: int,
    shrink: int,
    feather: int,
    threshold: float | None,
    soft: bool,
    extend: str | None,
) -> Hole: ...

class Hole:
    canvas: tuple[int, int, int, int]
    known: bytes
    shown: bytes

class Inpainter:
    config: str
    device: str
    def __new__(cls, model: str | None, device: str) -> Inpainter: ...
    def fill(
        self,
        image: _Pixels,
        hole: Hole,
        *,
        structure: _Pixels | None,
        avoid: _Pixels | None,
        seed: int,
        scale: str,
        detail: str,
        sampler: str | None,
        steps: int | None,
        resampling: bool | int | Mapping[str, int] | None,
        progress: Callable[[int, int], object] | None,
    ) -> tuple[bytearray, str]: ...
    def fill_batch(
        self,
        requests: Sequence[tuple[_Pixels, Hole, _Pixels | None, _Pixels | None, int]],
        *,
        scale: str,
        detail: str,
        sampler: str | None,
        steps: int | None,
        resampling: bool | int | Mapping[str, int] | None,
        progress: Callable[[int, int, int], object] | None,
    ) -> list[tuple[bytearray, str]]: ...

def training_settings(
    *,
    preset: str,
    config: str | None,
    start_from: str | None,
    changes: Sequence[tuple[str, str]],
    device: str | None = None,
) -> str: ...
def train(
    settings: str,
    *,
    images: str,
    masks: str | None,
    black_holes: bool,
    run: str,
    stages: Sequence[str],
    steps: int | None,
    device: str,
    on_event: Callable[[str], object],
    group: _Group | None = None,
) -> bool: ...
def command(arguments: Sequence[str]) -> int: ...
def evaluate(options: Sequence[str], *, progress: Callable[[int, int], object] | None) -> None: ...
