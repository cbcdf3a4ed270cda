"""Training and evaluation from Python."""

import json
import signal

import numpy as np
import pytest

import strdiffusion

# A network of nf 4 at 16×16.
SETTINGS = {
    "networks.width": 4,
    "networks.depth": 1,
    "data.resolution": 16,
    "run.batch": 2,
    "run.accumulate": 1,
    "run.checkpoint_every": 2,
    "run.log_every": 1,
    "validation.every": 4,
    "validation.pictures": 2,
    "validation.sampler_steps": 2,
}


def train(photos, run, **options):
    options = {"settings": SETTINGS, "stage": "structure", "device": "cpu"} | options
    return strdiffusion.train(photos, run, **options)


def test_training_tells_each_step_and_makes_a_model(photos, tmp_path):
    steps, validations = [], []
    model = train(
        photos,
        tmp_path / "run",
        stage="all",
        steps=4,
        on_step=steps.append,
        on_validation=validations.append,
    )
    assert strdiffusion.Inpainter(model, device="cpu").config["texture"]["width"] == 4
    told = [(step["stage"], step["step"], step["until"]) for step in steps]
    stages = ("structure", "texture", "discriminator")
    assert told == [(stage, step, 4) for stage in stages for step in range(1, 5)]
    assert steps[0].keys() == strdiffusion.TrainingStep.__annotations__.keys()
    assert all(np.isfinite(step["loss"]) for step in steps)
    assert validations[0].keys() == strdiffusion.Validation.__annotations__.keys()


def test_a_stopped_training_goes_on(photos, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(strdiffusion.Cancelled, match="resume"):
        train(photos, run, steps=6, on_step=lambda step: step["step"] < 3)
    steps = []
    train(photos, run, settings=None, steps=6, resume=True, on_step=steps.append)
    assert [step["step"] for step in steps] == [4, 5, 6]
    with pytest.raises(ValueError, match="there is a run already"):
        train(photos, run)


def test_what_a_callback_raises_ends_the_training_and_is_passed_on(photos, tmp_path):
    def on_step(step):
        raise LookupError(f"at {step['step']}")

    with pytest.raises(LookupError, match="at 1"):
        train(photos, tmp_path / "run", steps=5, on_step=on_step)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupt = lambda step: signal.raise_signal(signal.SIGINT)  # noqa: E731
            train(photos, tmp_path / "other", steps=5, on_step=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "options, text",
    [
        ({"settings": {"run.bach": 2}}, "run.bach"),
        ({"preset": "huge"}, 'preset "huge" is not known'),
        ({"stage": "colour"}, "stage 'colour' is not known"),
        ({"resume": True, "settings": None}, "no run to go on with"),
        ({"preset": "tiny", "config": "run.toml"}, "exclude each other"),
    ],
)
def test_a_training_that_cannot_be(photos, tmp_path, options, text):
    with pytest.raises(ValueError, match=text):
        train(photos, tmp_path / "run", **options)


def evaluate(photos, report, **options):
    options = {"ratio": (0.1, 0.4), "size": 32, "n": 4, "device": "cpu"} | options
    return strdiffusion.evaluate(photos, report, **options)


def test_an_evaluation_tells_each_picture_and_gives_the_scores(photos, tmp_path, capfd):
    calls = []
    scores = evaluate(photos, tmp_path / "report", progress=lambda *call: calls.append(call))
    assert calls == [(done, 4) for done in range(1, 5)]
    assert scores == json.loads((tmp_path / "report/results.json").read_text("utf-8"))
    assert len(scores["rows"]) == 4
    assert (tmp_path / "report/report.html").is_file()
    assert capfd.readouterr() == ("", "")


def test_a_stopped_evaluation_goes_on(photos, tmp_path):
    report = tmp_path / "report"
    with pytest.raises(strdiffusion.Cancelled):
        evaluate(photos, report, progress=lambda done, total: done < 2)
    scores = evaluate(photos, report)
    alone = evaluate(photos, tmp_path / "alone")
    psnr = [[row["psnr"] for row in found["rows"]] for found in (scores, alone)]
    assert len(psnr[0]) == 4 and psnr[0] == psnr[1]

    def progress(done, total):
        raise LookupError(f"at {done} of {total}")

    with pytest.raises(LookupError, match="at 1 of 4"):
        evaluate(photos, tmp_path / "other", progress=progress)


@pytest.mark.parametrize(
    "options, text",
    [
        ({"ratio": None}, "--masks"),
        ({"ratio": (0.4, 0.1)}, "0.4-0.1"),
        ({"metrics": ["beauty"]}, "beauty"),
        ({"model": "nowhere"}, "nowhere: no such model folder"),
        ({"steps": 0}, "at least 1 step"),
    ],
)
def test_an_evaluation_that_cannot_be(photos, tmp_path, options, text):
    with pytest.raises((ValueError, FileNotFoundError), match=text):
        evaluate(photos, tmp_path / "report", **options)
