"""Fill holes in photographs by structure-guided diffusion (StrDiffusion, CVPR 2024).

>>> from PIL import Image
>>> import strdiffusion
>>> inpainter = strdiffusion.Inpainter()
>>> filled = inpainter.inpaint(Image.open("photo.jpg"), Image.open("mask.png"), seed=7)
>>> filled.save("filled.png")
"""

from ._evaluation import evaluate
from ._inpainter import HoleDetail, Inpainter, inpaint
from ._native import Cancelled, __version__, limit_threads
from ._training import TrainingStep, Validation, train

__all__ = [
    "Cancelled",
    "HoleDetail",
    "Inpainter",
    "TrainingStep",
    "Validation",
    "__version__",
    "evaluate",
    "inpaint",
    "limit_threads",
    "train",
]
