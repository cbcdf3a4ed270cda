"""Training on several machines at once, as ``torchrun``, Slurm or Ray Train start it.

    torchrun --standalone --nproc-per-node 2 -m strdiffusion.train_distributed \\
        --images photos/ --out run/ --preset tiny

Each process takes its share of every step's pictures; the gradients are added up by
``torch.distributed``. What is trained does not depend on the number of processes, up to rounding.
Only the first process needs the run's folder.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from . import _native
from ._training import STAGES, run_settings


class _Stop(Exception):
    """What ends the program: a line, and its exit code."""

    def __init__(self, line: str, code: int) -> None:
        super().__init__(line)
        self.code = code


class Processes:
    """The processes of a ``torch.distributed`` group, which is made where there is none yet.

    Args:
        backend: ``"gloo"``, or ``"nccl"`` for CUDA.
        timeout: seconds that a process waits for another one.
    """

    def __init__(self, backend: str = "gloo", timeout: float = 1800) -> None:
        try:
            import torch
            import torch.distributed as distributed
        except ImportError:
            raise _Stop("torch is not installed: pip install torch", 2) from None
        self._torch: Any = torch
        self._distributed: Any = distributed
        if not distributed.is_initialized():
            wait = timedelta(seconds=timeout)
            try:
                distributed.init_process_group(backend, timeout=wait)
            except (RuntimeError, ValueError) as error:
                raise _Stop(f"the processes do not find each other: {_one_line(error)}", 1) from None
        self.rank: int = distributed.get_rank()
        self.size: int = distributed.get_world_size()
        local = int(os.environ.get("LOCAL_RANK", "0"))
        # NCCL adds up what lies on a GPU.
        self._device = f"cuda:{local}" if distributed.get_backend() == "nccl" else "cpu"

    def _tensor(self, buffer: bytearray, dtype: str) -> Any:
        torch = self._torch
        return torch.frombuffer(buffer, dtype=getattr(torch, dtype))

    def sum(self, values: bytearray) -> None:
        """Adds up native f32 over all processes, in place."""
        mine = self._tensor(values, "float32")
        there = mine.to(self._device)
        self._distributed.all_reduce(there)
        if there is not mine:
            mine.copy_(there)

    def broadcast(self, data: bytes) -> bytes:
        """The first process's bytes."""
        size = self._torch.tensor([len(data)], device=self._device)
        self._distributed.broadcast(size, 0)
        buffer = bytearray(data) if self.rank == 0 else bytearray(int(size))
        if buffer:
            mine = self._tensor(buffer, "uint8")
            there = mine.to(self._device)
            self._distributed.broadcast(there, 0)
            if there is not mine:
                mine.copy_(there)
        return bytes(buffer)

    def close(self) -> None:
        """Leaves the group."""
        self._distributed.destroy_process_group()


def _one_line(error: object) -> str:
    # Gloo begins with a place in its own source.
    return re.sub(r"^\[[^]]*\]\s*", "", " ".join(str(error).split()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m strdiffusion.train_distributed",
        description="Train on several machines; start it with torchrun.",
    )
    parser.add_argument("--images", required=True, help="folder of photographs")
    parser.add_argument("--masks", help="folder of masks; none: they are generated")
    parser.add_argument("--hole", choices=["white", "black"], default="white")
    parser.add_argument("--out", required=True, type=Path, help="folder of the run")
    parser.add_argument("--preset", choices=["tiny", "small", "paper"])
    parser.add_argument("--config", help="settings from a TOML file")
    parser.add_argument("--from", dest="start_from", help="model folder to start from")
    parser.add_argument(
        "--set", dest="changes", metavar="KEY=VALUE", type=_change, action="append", default=[],
        help="change one setting; may be given again",
    )
    parser.add_argument("--stage", choices=[*STAGES, "all"], default="all")
    parser.add_argument("--steps", type=int, help="stop each stage after this many steps")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--device", help="where each process computes; none: cpu, or its GPU")
    parser.add_argument("--threads", type=int, help="threads of each process")
    parser.add_argument("--backend", choices=["gloo", "nccl"], default="gloo")
    parser.add_argument(
        "--timeout", type=float, default=1800, help="seconds to wait for another process"
    )
    return parser


def _change(text: str) -> tuple[str, str]:
    key, found, value = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError("give a key and its value, such as run.batch=4")
    return key.strip(), value.strip()


def _settings(args: argparse.Namespace) -> str:
    """The run's settings: of its folder, or new ones."""
    return run_settings(
        args.out,
        resume=args.resume,
        preset=args.preset,
        config=args.config,
        start_from=args.start_from,
        changes=args.changes,
    )


def _show(text: str) -> None:
    event = json.loads(text)
    kind = event["event"]
    if kind == "note":
        print(f"note: {event['text']}", file=sys.stderr)
    elif kind == "stepped" and event["log"]:
        print(
            f"{event['stage']} step {event['step']} of {event['until']}: "
            f"loss {event['loss']:.4g}, {event['steps_per_second']:.3g} steps/s",
            flush=True,
        )
    elif kind == "validated":
        psnr = "" if event["psnr"] is None else f", PSNR {event['psnr']:.2f} dB"
        print(f"{event['stage']} step {event['step']}: loss {event['loss']:.4g}{psnr}", flush=True)


def _train(args: argparse.Namespace) -> bool:
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    threads = args.threads or max(1, (os.cpu_count() or 1) // local_size)
    _native.limit_threads(threads)
    processes = Processes(args.backend, args.timeout)
    is_first = processes.rank == 0
    settings = processes.broadcast(_settings(args).encode() if is_first else b"").decode()
    asked = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.append(True))

    def on_event(text: str) -> bool:
        if is_first:
            _show(text)
        return not asked

    gpu = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    finished = _native.train(
        settings,
        images=args.images,
        masks=args.masks,
        black_holes=args.hole == "black",
        run=os.fspath(args.out),
        stages=STAGES if args.stage == "all" else [args.stage],
        steps=args.steps,
        device=args.device or (gpu if args.backend == "nccl" else "cpu"),
        on_event=on_event,
        group=processes,
    )
    if is_first:
        print("done" if finished else "stopped, and saved; go on with --resume", flush=True)
    processes.close()
    return finished


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains as the arguments say, and returns the exit code: 0 done, 130 stopped, 2 the input is
    at fault, 1 anything else."""
    try:
        return 0 if _train(_parser().parse_args(arguments)) else 130
    except _Stop as error:
        line, code = str(error), error.code
    except (OSError, ValueError) as error:
        line, code = _one_line(error), 2
    except RuntimeError as error:
        line, code = _one_line(error), 1
    print(f"error: {line}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    # Threads of a connection that is broken would keep the process.
    sys.stdout.flush()
    os._exit(main())
