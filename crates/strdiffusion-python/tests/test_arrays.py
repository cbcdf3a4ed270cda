"""NumPy arrays: kinds of images and masks."""

import numpy as np
import pytest


def kinds(picture):
    gray = picture[..., 0]
    alpha = np.full_like(gray, 200)
    shapes = {
        "gray": gray,
        "gray1": gray[..., None],
        "gray-alpha": np.stack([gray, alpha], -1),
        "rgb": picture,
        "rgba": np.dstack([picture, alpha]),
    }
    for name, array in shapes.items():
        yield name + "-uint8", array
        yield name + "-uint16", array.astype(np.uint16) * 257 - (array > 9)
        yield name + "-float32", (array / 255).astype(np.float32)
    yield "rgb-big-endian", picture.astype(">u2") * 251
    yield "rgb-float64", picture / 255
    yield "rgb-float16", (picture / 255).astype(np.float16)
    yield "rgb-strided", np.asfortranarray(picture)[::-1]


def test_known_pixels_shape_and_dtype_of_every_kind_come_back(inpainter, picture, hole):
    for name, array in kinds(picture):
        before = array.copy()
        result = inpainter.inpaint(array, hole, seed=1)
        assert result.shape == array.shape, name
        assert result.dtype == array.dtype, name
        assert np.array_equal(result[~hole], array[~hole]), name
        assert not np.array_equal(result[hole], array[hole]), name
        assert np.array_equal(array, before), f"{name}: the input was written to"
        if name.startswith(("rgba", "gray-alpha")):
            assert np.array_equal(result[..., -1], array[..., -1]), f"{name}: alpha changed"
        result[0, 0] = 0  # what comes back is the caller's to change


def test_float_and_16_bit_fills_agree_to_16_bits(inpainter, picture, hole):
    sixteen = picture.astype(np.uint16) * 257
    as_int = inpainter.inpaint(sixteen, hole, seed=3)
    as_float = inpainter.inpaint(sixteen / 65535, hole, seed=3)
    assert np.array_equal(np.rint(as_float * 65535), as_int)


def test_the_same_seed_gives_the_same_fill_and_another_another(inpainter, picture, hole):
    options = dict(sampler="fast-stochastic", steps=2)
    first = inpainter.inpaint(picture, hole, seed=7, **options)
    assert np.array_equal(first, inpainter.inpaint(picture, hole, seed=np.int64(7), **options))
    assert not np.array_equal(first, inpainter.inpaint(picture, hole, seed=8, **options))


def test_what_lies_in_the_hole_is_not_read(inpainter, picture, hole):
    other = picture.copy()
    other[hole] = 255 - other[hole]
    expected = inpainter.inpaint(picture, hole)
    assert np.array_equal(inpainter.inpaint(other, hole), expected)
    unknown = picture / 255
    unknown[hole] = np.nan
    assert np.isfinite(inpainter.inpaint(unknown, hole)).all()


@pytest.mark.parametrize(
    "as_mask",
    [
        lambda hole: hole,
        lambda hole: hole[..., None],
        lambda hole: hole.astype(np.uint8),
        lambda hole: hole.astype(np.int64),
        lambda hole: hole * 255,
        lambda hole: hole.astype(np.uint8) * 255,
        lambda hole: np.where(hole, 128, 127).astype(np.uint8),
        lambda hole: hole.astype(np.uint16) * 65535,
        lambda hole: hole.astype(np.float32),
        lambda hole: np.repeat(hole[..., None], 3, -1).astype(np.uint8) * 255,
    ],
    ids="bool bool1 0/1 int64 0/255-int64 0/255 gray uint16 float rgb".split(),
)
def test_one_true_or_white_is_the_hole(inpainter, picture, hole, as_mask):
    expected = inpainter.inpaint(picture, hole)
    assert np.array_equal(inpainter.inpaint(picture, as_mask(hole)), expected)


def test_without_a_mask_transparent_pixels_are_the_hole(inpainter, picture, hole):
    rgba = np.dstack([picture, np.where(hole, 0, 255).astype(np.uint8)])
    filled = inpainter.inpaint(rgba)
    assert np.array_equal(filled[..., :3], inpainter.inpaint(picture, hole))
    assert (filled[..., 3] == 255).all()
    floats = inpainter.inpaint(rgba / 255)
    assert np.array_equal(floats[~hole], (rgba / 255)[~hole])


def test_what_is_not_opaque_is_filled_and_no_source_of_colour(inpainter, picture, hole):
    alpha = np.where(hole, 0, 255).astype(np.uint8)
    alpha[0, :] = 200
    filled = inpainter.inpaint(np.dstack([picture, alpha]))
    assert (filled[..., 3] == 255).all()
    assert not np.array_equal(filled[0, :, :3], picture[0])
    left = np.zeros_like(hole)
    left[:, :20] = True
    transparent = np.where(left, 0, 255).astype(np.uint8)
    other = np.where(left[..., None], 255 - picture, picture)
    one, two = (inpainter.inpaint(np.dstack([p, transparent]), hole) for p in (picture, other))
    assert np.array_equal(one[hole], two[hole])
    assert np.array_equal(one[..., 3], transparent)


def test_a_mask_without_a_hole_gives_the_image_back(inpainter, picture, hole):
    for mask in (np.zeros_like(hole), np.zeros(hole.shape, np.uint8)):
        same = inpainter.inpaint(picture, mask)
        assert np.array_equal(same, picture)
        assert not np.shares_memory(same, picture)


def test_a_drawing_changes_the_fill(inpainter, picture, hole):
    drawing = np.zeros(hole.shape, np.uint8)
    drawing[16, 20:44] = 255
    with_line = inpainter.inpaint(picture, hole, structure=drawing)
    assert not np.array_equal(with_line, inpainter.inpaint(picture, hole))
    assert np.array_equal(with_line[~hole], picture[~hole])
    blank = inpainter.inpaint(picture, hole, structure=np.zeros_like(hole))
    assert blank.shape == picture.shape


def test_what_is_avoided_is_not_copied(inpainter, hole):
    # Red where it is avoided, green elsewhere, and noise so that there is detail to copy.
    noise = np.random.default_rng(0).integers(0, 100, (*hole.shape, 3), np.uint8)
    avoid = np.zeros(hole.shape, bool)
    avoid[:, : hole.shape[1] // 2] = True
    picture = noise + np.where(avoid[..., None], (155, 0, 0), (0, 155, 0)).astype(np.uint8)

    def red(**options):
        filled = inpainter.inpaint(picture, hole, **options)
        assert np.array_equal(filled[~hole], picture[~hole])
        return np.mean(filled[hole][:, 0] > filled[hole][:, 1])

    assert red(avoid=avoid) < 0.5 * red()
    batch = inpainter.inpaint_batch([picture, picture], [hole, hole], avoids=[avoid, None])
    assert np.array_equal(batch[0], inpainter.inpaint(picture, hole, avoid=avoid))
    assert np.array_equal(batch[1], inpainter.inpaint(picture, hole))


def test_a_larger_picture_is_filled_hole_by_hole(inpainter):
    side = 200
    rng = np.random.default_rng(0)
    large = rng.integers(0, 256, (side, side + 7, 3), np.uint8)
    mask = np.zeros(large.shape[:2], bool)
    mask[10:20, 10:20] = mask[180:190, 190:200] = True
    calls = []
    filled = inpainter.inpaint(large, mask, progress=lambda done, total: calls.append((done, total)))
    steps = inpainter.config["sampling"]["steps"]
    assert calls == [(i + 1, 2 * steps) for i in range(2 * steps)]
    assert np.array_equal(filled[~mask], large[~mask])
    assert not np.array_equal(filled[mask], large[mask])


class Tensor:
    """An array of a library that NumPy knows nothing of but DLPack."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __array_namespace__(self):
        return Library


class Library:
    @staticmethod
    def from_dlpack(array):
        return Tensor(np.from_dlpack(array))


class Readable:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


def test_tensors_are_filled_as_arrays_are_and_stay_tensors(inpainter, picture, hole):
    for image in (picture, (picture / 255).astype(np.float32)):
        expected = inpainter.inpaint(image, hole, seed=2)
        filled = inpainter.inpaint(Tensor(image), Tensor(hole.astype(np.uint8)), seed=2)
        assert isinstance(filled, Tensor) and filled.array.dtype == image.dtype
        assert np.array_equal(filled.array, expected)
    [again] = inpainter.inpaint_batch([Tensor(picture)], [hole], seeds=[2])
    assert np.array_equal(again.array, inpainter.inpaint(picture, hole, seed=2))


def test_what_has_an_array_is_filled(inpainter, picture, hole):
    filled = inpainter.inpaint(Readable(picture), Readable(hole), seed=2)
    assert np.array_equal(filled, inpainter.inpaint(picture, hole, seed=2))


def test_a_tensor_that_cannot_be_read_is_named(inpainter, picture, hole):
    class OnGpu(Tensor):
        def __dlpack__(self, **options):
            raise BufferError("copy it to the CPU first")

    with pytest.raises(ValueError, match="image: .*copy it to the CPU first"):
        inpainter.inpaint(OnGpu(picture), hole)


def test_tensors_of_torch_stay_tensors(inpainter, picture, hole):
    torch = pytest.importorskip("torch")
    filled = inpainter.inpaint(torch.from_numpy(picture), torch.from_numpy(hole), seed=2)
    assert isinstance(filled, torch.Tensor) and filled.dtype == torch.uint8
    assert np.array_equal(filled.numpy(), inpainter.inpaint(picture, hole, seed=2))
