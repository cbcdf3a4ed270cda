"""A picture, its hole, and the packaged model."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import strdiffusion

HEIGHT, WIDTH = 48, 56
DEFAULT_MODEL = Path(__file__).parents[3] / "models/default"


@pytest.fixture(scope="session")
def inpainter():
    return strdiffusion.Inpainter(device="cpu")


@pytest.fixture(autouse=True)
def _no_model_of_the_environment(monkeypatch):
    monkeypatch.delenv("STRDIFFUSION_MODEL", raising=False)


@pytest.fixture
def model(tmp_path):
    """A copy of the default model's folder."""
    return Path(shutil.copytree(DEFAULT_MODEL, tmp_path / "model"))


@pytest.fixture
def picture():
    """A colour ramp with noise, `H×W×3` uint8. (A plain ramp or a pattern would come back whole.)"""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    noise = np.random.default_rng(0).integers(0, 35, (HEIGHT, WIDTH, 3))
    ramp = np.stack([x * 3, y * 4, 220 - x * 2 - y], axis=-1)
    return (ramp + noise).astype(np.uint8)


@pytest.fixture
def hole():
    """`H×W` bool; no row or column of it is symmetric, so a transposed mask would show."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:22, 20:44] = True
    return mask
