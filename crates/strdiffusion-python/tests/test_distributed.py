"""Training in several processes, as torchrun starts them."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

if "STRDIFFUSION_TEST_EXAMPLES" in os.environ:
    import torch  # noqa: F401
else:
    pytest.importorskip("torch", reason="training in several processes needs torch")

# A network of nf 4 at 32×32. Every checkpoint compares the weights of all processes, bit for bit.
# Adam divides by the gradient's size, so one of nearly zero may tip either way: with eps it may not.
SETTINGS = [
    "networks.width=4",
    "networks.depth=1",
    "data.resolution=32",
    "run.batch=8",
    "run.checkpoint_every=1",
    "run.log_every=1",
    "validation.every=4",
    "validation.pictures=2",
    "validation.sampler_steps=2",
    "structure.adam.eps=1e-3",
]


def command(processes, photos, run, *more):
    return [
        *(sys.executable, "-m", "torch.distributed.run"),
        *("--standalone", f"--nproc-per-node={processes}", "--max-restarts=0"),
        *("-m", "strdiffusion.train_distributed", f"--images={photos}", f"--out={run}"),
        *("--stage=structure", "--threads=1", *more),
    ]


def train(processes, photos, run, *more):
    done = subprocess.run(
        command(processes, photos, run, *more), capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stdout, done.stderr


def new(steps):
    return [f"--steps={steps}", *(f"--set={setting}" for setting in SETTINGS)]


def weights(run):
    """The network of a run's checkpoint, by the layout of safetensors files."""
    data = (run / "checkpoints/structure.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return {
        name: np.frombuffer(data[8 + length :][slice(*entry["data_offsets"])], "<f4")
        for name, entry in header.items()
        if name.startswith("network.")
    }


def test_processes_train_what_one_does_and_another_number_goes_on(photos, tmp_path):
    one, several = tmp_path / "one", tmp_path / "several"
    assert train(1, photos, one, *new(8))[0] == 0
    code, said, error = train(2, photos, several, *new(4))
    assert code == 0, error
    assert "structure step 4 of 4" in said and "PSNR" in said
    assert (several / "model/config.json").is_file()
    code, _, error = train(4, photos, several, "--resume", "--steps=8")
    assert code == 0, error
    expected, found = weights(one), weights(several)
    assert expected.keys() == found.keys()
    rate = 1e-3
    worst = max(np.abs(expected[name] - found[name]).max() for name in expected)
    assert worst < 0.01 * rate, worst / rate
    rows = (several / "log.csv").read_text().splitlines()
    steps = [row.split(",")[1] for row in rows if ",train," in row]
    assert steps == [str(step) for step in range(1, 9)]


def children(process):
    """The ids of a process's children, in the order in which it started them."""
    tasks = f"/proc/{process}/task/{process}/children"
    with open(tasks) as file:
        return [int(child) for child in file.read().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_a_lost_process_ends_all_with_a_line_and_the_run_goes_on(photos, tmp_path):
    run = tmp_path / "run"
    launcher = subprocess.Popen(
        command(2, photos, run, *new(100_000)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in launcher.stdout:
        if "step 3 " in line:
            break
    os.kill(children(launcher.pid)[1], signal.SIGKILL)
    _, error = launcher.communicate(timeout=120)
    assert launcher.returncode != 0
    ours = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(ours) <= 1
    # The launcher may end the other process before that can tell.
    if ours:
        assert "another process of the training is gone" in ours[0]
    code, _, error = train(2, photos, run, "--resume", "--steps=3")
    assert code == 0, error


def test_what_cannot_be_trained_is_told_in_a_line(photos, tmp_path):
    def told(*arguments):
        code, _, error = train(1, *arguments)
        assert code != 0
        lines = [line for line in error.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, error
        return lines[0]

    assert "no run to go on with" in told(photos, tmp_path / "new", "--resume")
    assert "run.bach" in told(photos, tmp_path / "new", "--set=run.bach=2")
    assert "nowhere" in told(tmp_path / "nowhere", tmp_path / "new", *new(1))
    few = tmp_path / "few"
    few.mkdir()
    shutil.copy(photos / "0.png", few)
    assert "too few" in told(few, tmp_path / "few-run", *new(1))
