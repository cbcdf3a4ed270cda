"""Fill holes in photographs by structure-guided diffusion (StrDiffusion, CVPR 2024).

>>> from PIL import Image
>>> import strdiffusion
>>> inpainter = strdiffusion.Inpainter()
>>> filled = inpainter.inpaint(Image.open("photo.jpg"), Image.open("mask.png"), seed=7)
>>> filled.save("filled.png")
"""

from ._inpainter import HoleDetail, Inpainter, inpaint
from ._native import Cancelled, __version__, limit_threads

__all__ = [
    "Cancelled",
    "HoleDetail",
    "Inpainter",
    "__version__",
    "inpaint",
    "limit_threads",
]
