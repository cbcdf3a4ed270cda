from collections.abc import Callable, Mapping

__version__: str

# data, width, height, channels, bits a sample; 16-bit samples are little-endian.
_Pixels = tuple[bytes, int, int, int, int]

class Cancelled(Exception): ...

def limit_threads(threads: int) -> None: ...
def find_known(image: _Pixels, mask: _Pixels | None) -> bytes: ...

class Inpainter:
    config: str
    device: str
    def __new__(cls, model: str, device: str) -> Inpainter: ...
    def fill(
        self,
        image: _Pixels,
        known: bytes,
        *,
        transparency: bool,
        structure: _Pixels | None,
        seed: int,
        scale: str,
        detail: str,
        sampler: str | None,
        steps: int | None,
        resampling: bool | int | Mapping[str, int] | None,
        progress: Callable[[int, int], object] | None,
    ) -> tuple[bytearray, str]: ...
