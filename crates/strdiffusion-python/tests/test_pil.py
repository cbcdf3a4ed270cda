"""PIL images."""

import sys
import subprocess

import numpy as np
import pytest
from PIL import Image


def as_array(image):
    return np.asarray(image)


def test_mode_known_pixels_and_profile_come_back(inpainter, picture, hole):
    rgb = Image.fromarray(picture)
    images = [rgb.convert(mode) for mode in ("L", "LA", "RGB", "RGBA")]
    images.append(Image.fromarray(picture[..., 0].astype(np.uint16) * 250))
    assert images[-1].mode == "I;16"
    for image in images:
        image.info["icc_profile"] = b"profile"
        before = as_array(image).copy()
        result = inpainter.inpaint(image, Image.fromarray(hole), seed=2)
        assert isinstance(result, Image.Image)
        assert (result.mode, result.size) == (image.mode, image.size)
        assert result.info["icc_profile"] == b"profile"
        assert np.array_equal(as_array(result)[~hole], before[~hole]), image.mode
        assert not np.array_equal(as_array(result)[hole], before[hole]), image.mode
        assert np.array_equal(as_array(image), before), "the input was written to"


def test_images_and_arrays_are_filled_alike(inpainter, picture, hole):
    expected = inpainter.inpaint(picture, hole, seed=5)
    image = Image.fromarray(picture)
    white = Image.fromarray(hole.astype(np.uint8) * 255)
    palette = white.convert("P")
    for mask in (white.convert("1"), white, white.convert("RGB"), palette, hole):
        assert np.array_equal(as_array(inpainter.inpaint(image, mask, seed=5)), expected)
    assert np.array_equal(inpainter.inpaint(picture, white, seed=5), expected)


def test_a_mask_of_gray_is_cut_at_one_half(inpainter, picture, hole):
    gray = Image.fromarray(np.where(hole, 128, 127).astype(np.uint8))
    expected = inpainter.inpaint(picture, hole)
    assert np.array_equal(inpainter.inpaint(picture, gray), expected)


@pytest.mark.parametrize("mode", ["1", "P", "F", "I", "CMYK"])
def test_a_mode_that_cannot_be_filled_is_named(inpainter, picture, hole, mode):
    image = Image.fromarray(picture).convert("L").convert(mode if mode != "CMYK" else "RGB")
    image = image.convert(mode)
    with pytest.raises(ValueError, match=f"mode {mode} is not supported; convert"):
        inpainter.inpaint(image, hole)


WITHOUT = """
import sys
sys.modules[{absent!r}] = None  # importing it fails
import strdiffusion
{work}
"""


def run(absent, work):
    code = WITHOUT.format(absent=absent, work=work)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_pil_images_need_no_numpy():
    run(
        "numpy",
        "from PIL import Image\n"
        "image = Image.new('RGB', (32, 32), 'red')\n"
        "mask = Image.new('1', (32, 32)); mask.paste(1, (8, 8, 16, 16))\n"
        "filled = strdiffusion.inpaint(image, mask)\n"
        "assert filled.getpixel((0, 0)) == (255, 0, 0)\n",
    )


def test_arrays_need_no_pillow():
    run(
        "PIL",
        "import numpy as np\n"
        "mask = np.zeros((32, 32), bool); mask[8:16, 8:16] = True\n"
        "filled = strdiffusion.inpaint(np.full((32, 32, 3), 9, np.uint8), mask)\n"
        "assert (filled[~mask] == 9).all()\n",
    )
