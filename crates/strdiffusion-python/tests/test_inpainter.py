"""Models, settings and errors."""

import re

import numpy as np
import pytest

import strdiffusion


def test_the_package_brings_a_model(inpainter):
    assert inpainter.model is None
    assert inpainter.device == "cpu"
    assert inpainter.config["format"] == 1
    assert inpainter.config["training_resolution"] > 0
    assert re.fullmatch(r"\d+\.\d+\.\d+", strdiffusion.__version__)


def test_the_model_inside_is_the_default_model(inpainter, model, picture, hole):
    folder = strdiffusion.Inpainter(model, device="cpu")
    assert folder.config == inpainter.config
    assert np.array_equal(folder.inpaint(picture, hole), inpainter.inpaint(picture, hole))


def test_the_environment_names_a_model(monkeypatch, model):
    monkeypatch.setenv("STRDIFFUSION_MODEL", str(model))
    assert strdiffusion.Inpainter().model == model


def test_one_call_does_it_all(inpainter, picture, hole):
    once = strdiffusion.inpaint(picture, hole, model=inpainter.model, device="cpu", seed=4)
    assert np.array_equal(once, inpainter.inpaint(picture, hole, seed=4))


def test_a_missing_model_or_file_is_not_found(tmp_path, model):
    with pytest.raises(FileNotFoundError, match="nowhere: no such model folder"):
        strdiffusion.Inpainter(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="not a model folder"):
        strdiffusion.Inpainter(str(tmp_path))
    (model / "texture.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="texture.safetensors"):
        strdiffusion.Inpainter(model)


def test_a_damaged_model_names_its_file(model):
    (model / "texture.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="texture.safetensors"):
        strdiffusion.Inpainter(model)


def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match='device "abacus" is not known'):
        strdiffusion.Inpainter(device="abacus")
    with pytest.raises(RuntimeError, match="metal"):
        strdiffusion.Inpainter(device="metal")


def test_samplers_and_resampling(inpainter, picture, hole):
    small, mask = picture[:32, :32], hole[:32, :32]
    for options in [
        dict(steps=1),
        dict(sampler="euler", steps=2),
        dict(sampler="posterior", steps=2),
        dict(sampler="fast", steps=3, resampling=1),
        dict(sampler="fast", resampling=False),
        dict(scale="native"),
    ]:
        filled = inpainter.inpaint(small, mask, **options)
        assert np.array_equal(filled[~mask], small[~mask]), options
    steps = []
    inpainter.inpaint(
        small,
        mask,
        resampling={"u_max": 2, "jump": 50},
        progress=lambda done, total: steps.append(total),
    )
    assert set(steps) == {inpainter.config["sde"]["steps"]}, "a dict asks for the paper's sampler"


def test_detail_changes_the_hole_alone_and_is_reported(inpainter, picture, hole):
    grain = np.random.default_rng(0).integers(-20, 20, picture.shape)
    picture = np.clip(picture + grain, 0, 255).astype(np.uint8)

    def fill(detail):
        holes = []
        filled = inpainter.inpaint(picture, hole, detail=detail, report=holes.extend)
        assert np.array_equal(filled[~hole], picture[~hole])
        return filled, holes

    (auto, holes), (off, nothing) = fill("auto"), fill("off")
    assert not np.array_equal(auto, off)
    assert np.array_equal(fill(1.0)[0], auto)
    assert np.array_equal(fill(0)[0], off)
    between = fill(np.float32(0.4))[0].astype(int)
    assert (between >= np.minimum(auto, off).astype(int) - 1).all()
    assert (between <= np.maximum(auto, off).astype(int) + 1).all()
    assert nothing == []
    [found] = holes
    confidence, trust = found.pop("confidence"), found.pop("trust")
    assert 0 <= confidence <= 1 and 0 <= trust <= 1
    assert found == dict(x=20, y=10, width=24, height=12, pixels=24 * 12)


@pytest.mark.parametrize(
    "options, error, text",
    [
        (dict(seed=-1), ValueError, "seed is -1"),
        (dict(seed=2**64), ValueError, "it must be 0 to"),
        (dict(seed=1.5), TypeError, "integer"),
        (dict(steps=0), ValueError, "at least 1"),
        (dict(sampler="magic"), ValueError, 'sampler "magic" is not known'),
        (dict(scale="huge"), ValueError, 'scale "huge" is not known'),
        (dict(sampler="paper", steps=4), ValueError, "steps does not go with the paper's"),
        (dict(sampler="fast", resampling=True), ValueError, "few-step sampler takes"),
        (dict(sampler="paper", resampling=3), ValueError, "few-step samplers"),
        (dict(resampling={"umax": 3}), ValueError, 'no parameter "umax"'),
        (dict(resampling={"u_max": 0}), ValueError, "u_max 0"),
        (dict(resampling="often"), TypeError, "resampling must be"),
        (dict(progress=3), TypeError, "progress must be callable"),
        (dict(report=[]), TypeError, "report must be callable"),
        (dict(detail=1.5), ValueError, "a number from 0 .* to 1 .*, not \"1.5\""),
        (dict(detail="much"), ValueError, "detail is auto, off or a number"),
        (dict(structure=np.ones((48, 56), bool)), ValueError, "bright means edge"),
        (dict(structure=np.zeros((4, 4), bool)), ValueError, "give both the same size"),
        (dict(avoid=np.ones((48, 56), bool)), ValueError, "avoid: it is white everywhere"),
        (dict(avoid=np.zeros((4, 4), bool)), ValueError, "what to avoid is 4×4 pixels"),
    ],
)
def test_settings_that_cannot_be(inpainter, picture, hole, options, error, text):
    with pytest.raises(error, match=text):
        inpainter.inpaint(picture, hole, **options)


@pytest.mark.parametrize(
    "change, error, text",
    [
        (lambda p, h: (p, h.T), ValueError, "the mask is 48x56 pixels but the image is 56x48"),
        (lambda p, h: (p, np.ones_like(h)), ValueError, "covers the whole picture"),
        (lambda p, h: (p, h * np.uint8(5)), ValueError, "mask: the largest value is 5"),
        (lambda p, h: (p, h.astype(complex)), ValueError, "mask: the dtype complex128"),
        (lambda p, h: (p, h * -1), ValueError, "mask: the dtype int64"),
        (lambda p, h: (p, None), ValueError, "no transparent pixels"),
        (lambda p, h: (p.astype(int), h), ValueError, "image: the dtype int64"),
        (lambda p, h: (p > 9, h), ValueError, "image: the dtype bool"),
        (lambda p, h: (p.transpose(2, 0, 1), h), ValueError, r"shape \(3, 48, 56\)"),
        (lambda p, h: (p[:0], h[:0]), ValueError, "empty"),
        (lambda p, h: (p.astype(float), h), ValueError, r"in \[0, 1\], but a known pixel holds"),
        (lambda p, h: (np.where(h[..., None], 0, np.nan) + p / 255, h), ValueError, "holds nan"),
        (lambda p, h: ("photo.jpg", h), TypeError, "not str; open it first"),
        (lambda p, h: (p.tolist(), h), TypeError, "not list"),
        (lambda p, h: (p, [[0, 1]]), TypeError, "mask must be"),
    ],
)
def test_pictures_that_cannot_be(inpainter, picture, hole, change, error, text):
    with pytest.raises(error, match=text):
        inpainter.inpaint(*change(picture, hole))


def test_a_hole_is_grown_feathered_and_soft(inpainter, picture, hole):
    y, x = np.nonzero(hole)
    rows, columns = np.mgrid[0 : hole.shape[0], 0 : hole.shape[1]]
    beyond_y = np.maximum(np.maximum(y.min() - rows, rows - y.max()), 0)
    beyond_x = np.maximum(np.maximum(x.min() - columns, columns - x.max()), 0)
    distance = np.hypot(beyond_x, beyond_y)
    for array in (picture, picture / 255):
        result = inpainter.inpaint(array, hole, grow=2, feather=3)
        changed = (result != array).any(axis=-1)
        assert not changed[distance > 5].any()
        assert changed[distance == 3].any()
        (alike,) = inpainter.inpaint_batch([array], [hole], grow=2, feather=3)
        assert np.array_equal(alike, result)
    half = hole * 0.5
    half[y[0], x[0]] = 1.0
    soft = inpainter.inpaint(picture, half, soft=True).astype(float)
    hard = inpainter.inpaint(picture, hole).astype(float)
    assert np.abs(soft[12, 25] - (hard[12, 25] + picture[12, 25]) / 2).max() <= 1
    assert np.array_equal(soft[~hole], picture[~hole])
    low = np.uint8(hole * 60)
    assert np.array_equal(inpainter.inpaint(picture, low, threshold=0.2), hard.astype(np.uint8))
    # What is blended is read, so it must be a colour.
    unknown = picture / 255
    unknown[12, 25] = np.nan
    inpainter.inpaint(unknown, hole)
    with pytest.raises(ValueError, match="nan"):
        inpainter.inpaint(unknown, half, soft=True)
    for wrong in (dict(grow=-1), dict(feather=5000), dict(soft=True, grow=1), dict(threshold=0)):
        with pytest.raises(ValueError):
            inpainter.inpaint(picture, hole, **wrong)


def test_an_image_is_continued_beyond_its_sides(inpainter, picture, hole):
    from PIL import Image

    height, width = hole.shape
    for array in (picture, picture / 255, picture[..., 0].astype(np.uint16) * 250):
        wider = inpainter.inpaint(array, extend=(4, 0, "10%", 3))
        assert wider.shape[:2] == (height + 3, width + 4 + 6)
        assert wider.dtype == array.dtype
        assert np.array_equal(wider[:height, 4 : 4 + width], array)
        assert wider[:, :4].any()
    (alike,) = inpainter.inpaint_batch([array], extend="4,0,6,3")
    assert np.array_equal(alike, wider)
    image = Image.fromarray(picture)
    image.info["dpi"] = (300, 300)
    both = inpainter.inpaint(image, hole, extend=(4, 0, 6, 3))
    assert both.size == (width + 10, height + 3) and both.info["dpi"] == (300, 300)
    part = np.asarray(both)[:height, 4 : 4 + width]
    assert np.array_equal(part[~hole], picture[~hole])
    for wrong in ((1, 2, 3), (-1, 0, 0, 0), "wide", (0, 0, 0, 10**9)):
        with pytest.raises(ValueError):
            inpainter.inpaint(picture, hole, extend=wrong)
