"""The command that the package brings, in a folder with nothing but photographs."""

import json
import shutil
import signal
import subprocess
import sys
import sysconfig
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import strdiffusion
from conftest import DEFAULT_MODEL

COMMAND = shutil.which("strdiffusion", path=sysconfig.get_path("scripts"))


@pytest.fixture
def folder(tmp_path, picture, hole):
    Image.fromarray(picture).save(tmp_path / "photo.png")
    Image.fromarray(hole).save(tmp_path / "mask.png")
    return tmp_path


def run(folder, *arguments, start=(COMMAND,)):
    return subprocess.run([*start, *arguments], cwd=folder, capture_output=True, text=True)


def fill(output):
    return ["inpaint", "photo.png", "--mask=mask.png", "-o", output, "--seed=3", "--detail=off"]


@pytest.mark.parametrize("start", [(COMMAND,), (sys.executable, "-m", "strdiffusion")])
def test_it_fills_as_the_package_does(folder, inpainter, picture, hole, start):
    done = run(folder, *fill("filled.png"), start=start)
    assert done.returncode == 0, done.stderr
    filled = np.asarray(Image.open(folder / "filled.png"))
    assert np.array_equal(filled, inpainter.inpaint(picture, hole, seed=3, detail="off"))


def test_its_version_and_exit_codes_are_the_commands(folder):
    version = run(folder, "--version")
    assert version.stdout == f"strdiffusion {strdiffusion.__version__}\n"
    assert run(folder, "inpaint", "--nonsense").returncode == 2
    missing = run(folder, "inpaint", "nowhere.png", "-o", "out.png")
    assert missing.returncode == 2
    [line] = missing.stderr.splitlines()
    assert line.startswith("error: nowhere.png")


def start(folder, *arguments, **options):
    line = [COMMAND, *arguments]
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, text=True, **options)


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_ctrl_c_cancels_a_fill_and_leaves_nothing(folder):
    line = [*fill("out.png"), "--json", "--sampler=fast", "--steps=100", "-n=1000"]
    with start(folder, *line, stderr=subprocess.PIPE) as process:
        process.stdout.readline()  # it is at work
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    assert process.returncode == 130, error
    assert "cancelled" in error and "Traceback" not in error
    assert not [path for path in folder.iterdir() if path.name.startswith(("out", "."))]


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_it_serves_with_the_model_inside_until_ctrl_c(folder):
    with start(folder, "serve", "--listen=127.0.0.1:0", stderr=subprocess.DEVNULL) as process:
        address = process.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{address}v1/models") as answer:
            [model] = json.load(answer)["models"]
        with urllib.request.urlopen(address) as page:
            assert b"<html" in page.read()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    assert model["name"] == "default"


def test_the_package_holds_the_model_once():
    package = Path(strdiffusion.__file__).parent
    weights = (DEFAULT_MODEL / "structure.safetensors").read_bytes()
    found = [path.read_bytes().count(weights) for path in package.rglob("*") if path.is_file()]
    assert sum(found) == 1
