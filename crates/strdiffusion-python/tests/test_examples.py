"""The examples that hand work to Ray and Optuna, and the export to ONNX."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import DEFAULT_MODEL
from PIL import Image

EXAMPLES = Path(__file__).parents[3] / "examples"
ALL = "STRDIFFUSION_TEST_EXAMPLES" in os.environ


def needed(name):
    """Skips where a library is missing, but not where all of them should be there."""
    return __import__(name) if ALL else pytest.importorskip(name)


@pytest.fixture(scope="session")
def command():
    """The command that the package's scripts are compared with."""
    found = os.environ.get("STRDIFFUSION_COMMAND") or shutil.which("strdiffusion")
    if not found and not ALL:
        pytest.skip("the command strdiffusion is not here; STRDIFFUSION_COMMAND names it")
    return found


@pytest.fixture
def photos(tmp_path):
    """24 photographs with masks."""
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    y, x = np.mgrid[0:64, 0:64]
    mask = ((x // 8 + y // 8) % 5 == 0).astype(np.uint8) * 255
    for number in range(24):
        noise = np.random.default_rng(number).integers(0, 60, (64, 64, 3))
        ramp = np.stack([x * 2 + number * 4, y * 3, (x * y // 24 + number) % 160], axis=-1)
        picture = Image.fromarray((ramp + noise).astype(np.uint8))
        picture.save(tmp_path / f"photos/p{number:02}.png")
        Image.fromarray(mask).save(tmp_path / f"masks/p{number:02}.png")
    return tmp_path


def test_ray_fills_every_photo_once_though_a_node_is_lost(photos, command):
    needed("ray")
    from ray.cluster_utils import Cluster

    (photos / "photos/broken.png").write_bytes(b"no picture")
    shutil.copy(photos / "masks/p00.png", photos / "masks/broken.png")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    other = cluster.add_node(num_cpus=1)
    line = [sys.executable, EXAMPLES / "ray_fill.py", "photos", "masks", "filled", "--seed=3"]
    options = {"cwd": photos, "text": True, "stdout": subprocess.PIPE}
    environment = {**os.environ, "RAY_ADDRESS": cluster.address}
    filled = photos / "filled"
    try:
        run = subprocess.Popen(line, env=environment, **options)
        while run.poll() is None and len(list(filled.glob("*.png"))) < 4:
            time.sleep(0.05)  # nothing tells that a file is there
        cluster.remove_node(other, allow_graceful=False)
        said, _ = run.communicate(timeout=300)
        assert run.returncode == 1
        assert "failed: " in said and "broken.png" in said
        assert "24 filled" in said and "1 failed" in said
        before = {path: path.stat().st_mtime_ns for path in filled.iterdir()}
        (photos / "photos/broken.png").unlink()
        again = subprocess.run(line, env=environment, timeout=300, **options)
        assert again.returncode == 0 and "0 filled" in again.stdout
        assert before == {path: path.stat().st_mtime_ns for path in filled.iterdir()}
    finally:
        cluster.shutdown()
    assert len(list(filled.glob("*.png"))) == 24
    subprocess.run(
        [command, "inpaint", "--images=photos", "--masks=masks", "--out=alone", "--seed=3"],
        cwd=photos,
        check=True,
    )
    for path in (photos / "alone").iterdir():
        pixels = [np.asarray(Image.open(folder / path.name)) for folder in (filled, path.parent)]
        assert np.array_equal(*pixels), path.name


def test_networks_are_exported_as_onnx_and_give_our_outputs(tmp_path, command):
    for name in ("torch", "onnxscript", "onnxruntime", "safetensors"):
        needed(name)
    import onnxruntime

    script = Path(__file__).parents[3] / "scripts/export_onnx.py"
    out = tmp_path / "onnx"
    line = [sys.executable, script, DEFAULT_MODEL, "--out", out, "--binary", command]
    # It fails where an output is not ours.
    subprocess.run(line, check=True, timeout=300)
    session = onnxruntime.InferenceSession(out / "texture.onnx", providers=["CPUExecutionProvider"])
    names = sorted(given.name for given in session.get_inputs())
    assert names == ["condition", "context", "guide", "state", "times"]


SETTINGS = """
[networks]
width = 4
depth = 1
[data]
resolution = 16
[run]
batch = 2
accumulate = 1
checkpoint_every = 2
log_every = 1
[validation]
every = 2
pictures = 2
sampler_steps = 2
[structure]
steps = {steps}
learning_rate = 1e-3
halve_every = 100
warmup = 0
adam = {{ beta1 = 0.9, beta2 = 0.99, eps = 1e-8 }}
"""


def test_two_processes_sweep_one_journal_and_killed_work_is_taken_up(photos, command):
    optuna = needed("optuna")
    from optuna.storages.journal import JournalFileBackend

    def sweep(steps, trials):
        (photos / "small.toml").write_text(SETTINGS.format(steps=steps))
        script = EXAMPLES / "optuna_sweep.py"
        options = [f"--command={command}", "--images=photos", "--out=sweep", "--poll=0.1"]
        line = [sys.executable, script, *options, "--config=small.toml", f"--trials={trials}"]
        return subprocess.Popen(line, cwd=photos, start_new_session=True)

    # A process and its training are killed when a checkpoint is there.
    first = sweep(100_000, 1)
    checkpoint = photos / "sweep/trial-0/checkpoints/structure.safetensors"
    while first.poll() is None and not checkpoint.is_file():
        time.sleep(0.05)  # nothing tells that a file is there
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    run = photos / "sweep/trial-0"
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("steps = 100000", "steps = 12"))
    rows = len((run / "log.csv").read_text().splitlines())
    assert rows > 1

    two = [sweep(12, 7), sweep(12, 7)]
    assert [process.wait(timeout=300) for process in two] == [0, 0]
    journal = optuna.storages.JournalStorage(JournalFileBackend(str(photos / "sweep/journal.log")))
    study = optuna.load_study(study_name="structure", storage=journal)
    states = [trial.state.name for trial in study.trials]
    ended = states.count("COMPLETE") + states.count("PRUNED")
    # Both may be at work on a last one.
    assert ended in (7, 8) and states.count("FAIL") == 1, states
    taken_up = [trial for trial in study.trials if trial.user_attrs.get("run") == "trial-0"]
    assert [trial.state.name for trial in taken_up][0] == "FAIL" and len(taken_up) == 2
    assert taken_up[0].params == taken_up[1].params
    runs = {trial.user_attrs["run"] for trial in study.trials}
    assert len(runs) == len(study.trials) - 1
    for trial in study.trials:
        if trial.state.name == "COMPLETE":
            assert max(trial.intermediate_values) == 12
    assert json.dumps(study.best_params)
