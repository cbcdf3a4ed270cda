"""Progress, cancelling, threads, Ctrl-C."""

import functools
import operator
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import strdiffusion
from strdiffusion import _native
from conftest import DEFAULT_MODEL
from strdiffusion._pictures import read_image, read_mask


def test_progress_counts_every_step(inpainter, picture, hole):
    calls = []
    inpainter.inpaint(picture, hole, steps=4, progress=lambda *call: calls.append(call))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    calls.clear()
    steps = inpainter.config["sde"]["steps"]
    inpainter.inpaint(
        picture[:32, :32],
        hole[:32, :32],
        sampler="paper",
        resampling=False,
        progress=lambda *call: calls.append(call),
    )
    assert calls == [(i + 1, steps) for i in range(steps)]


@pytest.mark.parametrize("answer", [False, np.False_])
def test_false_cancels(inpainter, picture, hole, answer):
    calls = []

    def progress(done, total):
        calls.append(done)
        return answer if done == 2 else None

    with pytest.raises(strdiffusion.Cancelled, match="progress returned False"):
        inpainter.inpaint(picture, hole, steps=5, progress=progress)
    assert calls == [1, 2]


@pytest.mark.parametrize("answer", [True, None, 0, "", []])
def test_nothing_but_false_cancels(inpainter, picture, hole, answer):
    result = inpainter.inpaint(picture, hole, progress=lambda done, total: answer)
    assert result.shape == picture.shape


def test_what_progress_raises_is_passed_on(inpainter, picture, hole):
    def progress(done, total):
        raise LookupError(f"at {done} of {total}")

    with pytest.raises(LookupError, match="at 1 of 3"):
        inpainter.inpaint(picture, hole, steps=3, progress=progress)


@pytest.fixture
def no_forced_switches():
    """A thread keeps the interpreter until it gives it away of its own accord."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(3600)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("batch", [False, True])
def test_other_threads_run_during_a_fill(inpainter, picture, hole, no_forced_switches, batch):
    go = threading.Event()
    has_run = []

    def other():
        go.wait()
        has_run.append(True)

    def progress(*_):
        go.set()  # the other thread wakes as soon as this one gives the interpreter away
        return not has_run

    thread = threading.Thread(target=other)
    thread.start()
    with pytest.raises(strdiffusion.Cancelled):
        if batch:
            inpainter.inpaint_batch([picture], [hole], steps=300, progress=progress)
        else:
            inpainter.inpaint(picture, hole, steps=300, progress=progress)
    thread.join()


@pytest.fixture
def ctrl_c_raises():
    """A program that a shell started in the background ignores Ctrl-C unless it says otherwise."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_stops_a_fill(inpainter, picture, hole, no_forced_switches, ctrl_c_raises):
    source = read_image(picture)
    borders = dict(grow=0, shrink=0, feather=0, threshold=None, soft=False, extend=None)
    found = _native.find_hole(source.pixels, read_mask(hole, "mask"), **borders)
    go = threading.Event()
    main = threading.main_thread().ident

    def other():
        go.wait()
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=other)
    thread.start()
    steps = {}
    go.set()
    with pytest.raises(KeyboardInterrupt):
        inpainter._native.fill(
            source.pixels,
            found,
            structure=None,
            avoid=None,
            seed=0,
            scale="auto",
            detail="auto",
            sampler=None,
            steps=300,
            resampling=None,
            # Runs no Python code, which would look for signals itself.
            progress=functools.partial(operator.setitem, steps),
        )
    thread.join()
    assert len(steps) < 300


def test_threads_share_an_inpainter(inpainter, picture, hole):
    expected = [inpainter.inpaint(picture, hole, seed=seed) for seed in range(3)]
    results = [None] * 3

    def fill(seed):
        results[seed] = inpainter.inpaint(picture, hole, seed=seed)

    threads = [threading.Thread(target=fill, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result, want in zip(results, expected):
        assert np.array_equal(result, want)


FILL = """
import sys, numpy as np, strdiffusion
strdiffusion.limit_threads(int(sys.argv[2]))
picture, hole = np.load(sys.argv[3]), np.load(sys.argv[4])
filled = strdiffusion.Inpainter(sys.argv[1]).inpaint(picture, hole, seed=3)
sys.stdout.buffer.write(filled.tobytes())
"""


def test_results_do_not_depend_on_threads(picture, hole, tmp_path):
    np.save(tmp_path / "picture.npy", picture)
    np.save(tmp_path / "hole.npy", hole)
    arguments = [DEFAULT_MODEL, tmp_path / "picture.npy", tmp_path / "hole.npy"]

    def filled(threads):
        model, *arrays = map(str, arguments)
        command = [sys.executable, "-c", FILL, model, str(threads), *arrays]
        return subprocess.run(command, check=True, capture_output=True).stdout

    one = filled(1)
    assert one and one == filled(2) == filled(8)
    with pytest.raises(ValueError, match="at least 1"):
        strdiffusion.limit_threads(0)
