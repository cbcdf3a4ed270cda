"""A picture, its hole, and the packaged model."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of photographs to learn from; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("photos")
    y, x = np.mgrid[0:48, 0:48]
    for number in range(8):
        noise = np.random.default_rng(number).integers(0, 60, (48, 48, 3))
        ramp = np.stack([x * 2 + number * 9, y * 3, (x * y // 12 + number) % 160], axis=-1)
        Image.fromarray((ramp + noise).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


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
