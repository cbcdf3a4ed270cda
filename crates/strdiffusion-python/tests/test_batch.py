"""Several images at once."""

import numpy as np
import pytest
from PIL import Image

import strdiffusion


def test_each_is_filled_as_it_would_be_alone(inpainter, picture, hole):
    small, part = picture[:32, :40], hole[:32, :40]
    cutout = np.dstack([picture, np.where(hole, 0, 255).astype(np.uint8)])
    images = [picture, Image.fromarray(small), cutout, picture / 255.0]
    masks = [hole, Image.fromarray(part), None, hole]
    drawing = np.zeros(hole.shape, bool)
    drawing[15] = True
    structures = [drawing, None, None, None]
    seeds = [3, 0, 7, 2**64 - 1]
    filled = inpainter.inpaint_batch(images, masks, seeds=seeds, structures=structures, steps=2)
    for image, mask, seed, structure, result in zip(images, masks, seeds, structures, filled):
        alone = inpainter.inpaint(image, mask, seed=seed, structure=structure, steps=2)
        assert type(result) is type(alone)
        assert np.array_equal(np.asarray(result), np.asarray(alone))
    assert inpainter.inpaint_batch([]) == []
    one = inpainter.inpaint_batch([picture], [hole])
    assert np.array_equal(one[0], inpainter.inpaint(picture, hole, seed=0))


def test_what_is_wrong_with_one_image_names_its_place(inpainter, picture, hole):
    for images, masks, options, error, words in [
        ([picture] * 2, [hole], {}, ValueError, "1 masks for 2 images"),
        ([picture], [hole], {"seeds": [1, 2]}, ValueError, "2 seeds for 1 images"),
        ([picture], [hole], {"seeds": [-1]}, ValueError, r"images\[0\]: seed is -1"),
        ([picture] * 2, [hole, hole[1:]], {}, ValueError, r"images\[1\]: "),
        ([picture, "photo.png"], [hole, hole], {}, TypeError, r"images\[1\]: image must be"),
        ([picture] * 2, None, {}, ValueError, r"images\[0\]: "),
        ([picture] * 2, [hole, hole | True], {}, ValueError, r"images\[1\]: .*nothing is known"),
        ([picture], [hole], {"scale": "huge"}, ValueError, "scale"),
    ]:
        with pytest.raises(error, match=words):
            inpainter.inpaint_batch(images, masks, **options)


def test_progress_tells_of_every_image_and_cancels_all(inpainter, picture, hole):
    told = []
    inpainter.inpaint_batch(
        [picture] * 2, [hole] * 2, steps=3, progress=lambda *numbers: told.append(numbers)
    )
    assert sorted(told) == [(image, done, 3) for image in (0, 1) for done in (1, 2, 3)]
    with pytest.raises(strdiffusion.Cancelled):
        inpainter.inpaint_batch([picture] * 2, [hole] * 2, progress=lambda *_: False)

    def fail(*_):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        inpainter.inpaint_batch([picture] * 2, [hole] * 2, progress=fail)
