"""A picture, its hole, and the packaged model."""

import numpy as np
import pytest

import strdiffusion

HEIGHT, WIDTH = 48, 56


@pytest.fixture(scope="session")
def inpainter():
    return strdiffusion.Inpainter(device="cpu")


@pytest.fixture(autouse=True)
def _no_model_of_the_environment(monkeypatch):
    monkeypatch.delenv("STRDIFFUSION_MODEL", raising=False)


@pytest.fixture
def picture():
    """A colour ramp, `H×W×3` uint8."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([x * 4, y * 5, 255 - x * 2 - y], axis=-1).astype(np.uint8)


@pytest.fixture
def hole():
    """`H×W` bool; no row or column of it is symmetric, so a transposed mask would show."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:22, 20:44] = True
    return mask
