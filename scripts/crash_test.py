#!/usr/bin/env python3
"""Ends commands at random moments and on full disks, and checks what they leave.

    scripts/crash_test.py --count 10 [--binary target/release/strdiffusion] [--only train,inpaint]
                          [--kinds kill,term,full] [--seed 0]

kill is SIGKILL and term SIGTERM after a random part of the command's usual time; full is a file system
with random room left: a small tmpfs where mounting is allowed, else a limit on the size of each file.
After each, every file is the old or the new one, whole; the same command then goes on and ends with
the files of a run that nobody disturbed. Needs Python alone.
"""

import argparse
import csv
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import urllib.error
import urllib.request
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
NETS = ROOT / "crates/strdiffusion-testing/recorded/nets"
TRAINING = """
[networks]
width = 4
depth = 1
discriminator_width = 2
discriminator_time_dim = 8
[sde]
schedule = "cosine"
steps = 6
max_sigma = 0.1
eps = 0.005
[data]
resolution = 16
threads = 1
[run]
batch = 3
accumulate = 1
checkpoint_every = 2
log_every = 1
[validation]
every = 3
pictures = 2
sampler_steps = 2
""" + "".join(
    f"""
[{stage}]
steps = 6
learning_rate = 0.001
halve_every = 100
warmup = 0
[{stage}.adam]
beta1 = 0.9
beta2 = 0.99
eps = 1e-8
"""
    for stage in ("structure", "texture", "discriminator")
)
# Temporary names; a killed program cannot take them away.
LEFT = (".strdiffusion-", ".model-", ".tmp")
MIB = 1 << 20


class Wrong(Exception):
    """What a command left is not what it promises."""


def require(condition, what):
    if not condition:
        raise Wrong(what)


def png(width, height, pixel):
    """An RGB picture."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    rows = b"".join(b"\0" + bytes(v for x in range(width) for v in pixel(x, y)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def check_png(data):
    at = 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + length]
        (crc,) = struct.unpack_from(">I", data, at + 8 + length)
        require(zlib.crc32(body) == crc, "a chunk is damaged")
        if body[:4] == b"IEND":
            return
        at += 12 + length
    raise Wrong("it ends early")


def check_safetensors(data):
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    require(8 + length + max(ends, default=0) == len(data), "its length is wrong")


CHECKS = {
    ".png": check_png,
    ".safetensors": check_safetensors,
    ".json": json.loads,
    ".toml": lambda data: tomllib.loads(data.decode()),
}


def files(folder):
    """All files below a folder with their bytes, less those with temporary names."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(LEFT) for part in name.parts):
            found[str(name)] = path.read_bytes()
    return found


def check_whole(folder):
    for name, data in files(folder).items():
        check = CHECKS.get(pathlib.Path(name).suffix)
        if check is None:
            continue
        try:
            check(data)
        except (Wrong, ValueError, struct.error) as error:
            raise Wrong(f"{name} is not whole: {error}") from error


def left_over(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(LEFT)]


class Case:
    """A command: what it works in, what it leaves, and how it goes on."""

    name = ""

    def __init__(self, bench):
        self.bench = bench

    def prepare(self, out):
        """Makes what was there before."""

    def arguments(self, out):
        """The command's arguments; the same ones go on after a crash, unless `again` says more."""
        raise NotImplementedError

    def again(self, out):
        return self.arguments(out)

    def check_after_crash(self, out, old, new):
        """More than that each file is whole."""

    def results(self, out):
        """What must be as in an undisturbed run."""
        return files(out)


class One(Case):
    name = "inpaint"

    def prepare(self, out):
        shutil.copy(self.bench.inputs / "photos/0.png", out / "filled.png")

    def arguments(self, out):
        inputs = self.bench.inputs
        photo, mask = inputs / "large.png", inputs / "large-mask.png"
        return ["inpaint", photo, "-m", mask, "-o", out / "filled.png"]

    def check_after_crash(self, out, old, new):
        found = files(out).get("filled.png")
        require(found in (old["filled.png"], new["filled.png"]), "neither the old nor the new file")


class Folder(Case):
    name = "inpaint-folder"

    def arguments(self, out):
        inputs = self.bench.inputs
        return ["inpaint", "--images", inputs / "photos", "--masks", inputs / "masks", "--out", out / "filled"]

    def check_after_crash(self, out, old, new):
        for name, data in files(out).items():
            require(data == new.get(name), f"{name} is not as in an undisturbed run")


class Eval(Case):
    name = "eval"

    def arguments(self, out):
        inputs = self.bench.inputs
        photos, masks = inputs / "photos", inputs / "masks"
        more = ["--metrics", "psnr,ssim", "--size", "32"]
        return ["eval", "--images", photos, "--masks", masks, "--report", out / "report", *more]

    def check_after_crash(self, out, old, new):
        rows = out / "report/rows.jsonl"
        done = rows.read_text().splitlines(keepends=True) if rows.exists() else []
        for line in done:
            if not line.endswith("\n"):
                continue  # a row that was being written; it does not count
            picture = f"report/results/{json.loads(line)['id']}.png"
            require(files(out).get(picture) == new[picture], f"{picture} counts as done and is not")

    def results(self, out):
        found = files(out)
        pictures = {name: data for name, data in found.items() if name.endswith(".png")}
        rows = [json.loads(line) for line in found["report/rows.jsonl"].splitlines()]
        scores = sorted((row["id"], json.dumps(row.get("scores", row.get("psnr")))) for row in rows)
        return pictures | {"pairs.csv": found["report/pairs.csv"], "scores": scores}


class Train(Case):
    name = "train"

    def arguments(self, out):
        inputs = self.bench.inputs
        return ["train", "--images", inputs / "photos", "--out", out / "run", "--config", inputs / "train.toml"]

    def again(self, out):
        if not (out / "run/config.toml").exists():
            return self.arguments(out)
        return ["train", "--images", self.bench.inputs / "photos", "--out", out / "run", "--resume"]

    def results(self, out):
        return {name: data for name, data in files(out).items() if name.startswith("run/model/")}


class Experiment(Case):
    name = "experiment"

    def arguments(self, out):
        inputs = self.bench.inputs
        photos, masks = inputs / "photos", inputs / "masks"
        given = ["--train", photos, "--images", photos, "--masks", masks, "--out", out / "claims"]
        return ["experiment", "claims", *given, "--config", inputs / "claims.toml", "-n", "1", "--seeds", "1"]

    def results(self, out):
        found = files(out)
        models = {name: data for name, data in found.items() if "/model/" in name}
        rows = list(csv.DictReader(found["claims/claims.csv"].decode().splitlines(), delimiter=";"))
        timeless = [{k: v for k, v in row.items() if "second" not in k} for row in rows]
        return models | {"claims.csv": timeless}


class Import(Case):
    name = "import"

    def prepare(self, out):
        shutil.copytree(self.bench.inputs / "model", out / "made")

    def arguments(self, out):
        return [*self.bench.importing(), "--steps", "6", "-o", out / "made", "--force"]

    def check_after_crash(self, out, old, new):
        require(files(out) in (old, new), "neither the old nor the new model")


class Bench:
    """Inputs, and how commands are run on them."""

    def __init__(self, binary, folder, rng):
        self.binary, self.folder, self.rng = binary.resolve(), folder, rng
        self.inputs = folder / "inputs"
        for name in ("photos", "masks"):
            (self.inputs / name).mkdir(parents=True)
        hole = lambda x, y: 8 <= x < 24 and 8 <= y < 22
        for i in range(8):
            photo = png(32, 32, lambda x, y: ((5 * x + 9 * i) % 256, 7 * y, (x * y) % 256))
            (self.inputs / f"photos/{i}.png").write_bytes(photo)
            mask = png(32, 32, lambda x, y: (255 * hole(x + i % 3, y),) * 3)
            (self.inputs / f"masks/{i}.png").write_bytes(mask)
        self.large(360)
        (self.inputs / "train.toml").write_text(TRAINING)
        short = TRAINING.replace("steps = 6", "steps = 2")
        (self.inputs / "claims.toml").write_text(short)
        self.run([*self.importing(), "--steps", "4", "-o", self.inputs / "model"], check=True)

    def large(self, side):
        photo = png(side, side, lambda x, y: (x % 256, y % 256, (x * y) % 251))
        mask = png(side, side, lambda x, y: (255 * (x % 60 < 12 and y % 50 < 9),) * 3)
        (self.inputs / "large.png").write_bytes(photo)
        (self.inputs / "large-mask.png").write_bytes(mask)

    @staticmethod
    def importing():
        kinds = ("texture", "structure", "discriminator")
        given = [part for kind in kinds for part in (f"--{kind}", NETS / f"{kind}_tiny.pth")]
        return ["import", *given, "--resolution", "32"]

    def environment(self, **more):
        return os.environ | {"STRDIFFUSION_MODEL": str(self.inputs / "model")} | more

    def start(self, arguments, **options):
        command = [str(part) for part in (self.binary, *arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=pipe, env=self.environment(), text=True, **options
        )

    def run(self, arguments, check=False, **options):
        process = self.start(arguments, **options)
        _, said = process.communicate()
        require(not check or process.returncode == 0, f"{arguments[0]} ended with {process.returncode}: {said}")
        return process.returncode, said


class Room:
    """A folder in which room can be taken away."""

    def __init__(self, folder, mounted):
        self.folder, self.mounted = folder, mounted
        folder.mkdir()
        if mounted:
            options = f"size={64 * MIB}"
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
        self.out = folder / "out"
        self.out.mkdir()
        self.ballast = folder / "ballast"

    def leave(self, room):
        """Leaves `room` bytes; returns options for the process where only it can be limited."""
        if self.mounted:
            disk = os.statvfs(self.folder)
            with open(self.ballast, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - room))
            return {}

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

        return {"preexec_fn": limit}

    def free(self):
        self.ballast.unlink(missing_ok=True)

    def close(self):
        if self.mounted:
            subprocess.run(["umount", self.folder], check=True)
        shutil.rmtree(self.folder)


def can_mount():
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True
        )
        if tried.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        return tried.returncode == 0


def undisturbed(bench, case):
    """What was there before, what is there after, and the seconds between."""
    out = bench.folder / f"reference-{case.name}"
    out.mkdir()
    case.prepare(out)
    old = files(out)
    begun = time.monotonic()
    bench.run(case.arguments(out), check=True)
    seconds = time.monotonic() - begun
    check_whole(out)
    return old, files(out), case.results(out), seconds


def disturb(bench, case, kind, room, expected):
    """One crash and what follows; whether the command was caught before its end."""
    old, new, results, seconds = expected
    out = room.out
    case.prepare(out)
    if kind == "full":
        need = sum(map(len, new.values()))
        options = room.leave(bench.rng.randrange(need + 4096 * len(new)))
        code, said = bench.run(case.arguments(out), **options)
        caught = tidies = code != 0
        if caught:
            words = ("No space left", "File too large")
            require(any(word in said for word in words), f"ended with {code}: {said}")
        room.free()
    else:
        process = bench.start(case.arguments(out))
        try:
            process.wait(timeout=bench.rng.uniform(0, 1.05 * seconds))
        except subprocess.TimeoutExpired:
            pass
        process.send_signal(signal.SIGKILL if kind == "kill" else signal.SIGTERM)
        _, said = process.communicate(timeout=120)
        caught = process.returncode != 0
        allowed = (0, -signal.SIGKILL) if kind == "kill" else (0, 130, -signal.SIGTERM)
        require(process.returncode in allowed, f"ended with {process.returncode}: {said}")
        # SIGTERM before the program listens for it ends it as SIGKILL does.
        tidies = process.returncode >= 0
    check_whole(out)
    case.check_after_crash(out, old, new)
    if tidies:
        require(not left_over(out), f"left: {left_over(out)}")
    bench.run(case.again(out), check=True)
    check_whole(out)
    require(case.results(out) == results, "going on does not end with the files of an undisturbed run")
    return caught


def post(address, bench, seed):
    """A fill by HTTP."""
    parts = {
        "image": (bench.inputs / "photos/0.png").read_bytes(),
        "mask": (bench.inputs / "masks/0.png").read_bytes(),
        "settings": json.dumps({"seed": seed}).encode(),
    }
    body = b"".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + data + b"\r\n"
        for name, data in parts.items()
    )
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    request = urllib.request.Request(f"http://{address}/v1/inpaint", body + b"--x--\r\n", kind)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


class Server:
    """A running `serve`."""

    def __init__(self, bench, listen="127.0.0.1:0", **more):
        command = [str(bench.binary), "serve", "--device", "cpu", "--listen", listen]
        environment = bench.environment(**more)
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
        )
        line = self.process.stdout.readline()
        require("http://" in line, "the server does not start")
        self.address = line.split("http://")[1].strip().rstrip("/")

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait(timeout=120)
        self.process.stdout.close()
        return self.process.returncode


def disturb_server(bench, kind, room, expected):
    model = files(bench.inputs / "model")
    more = {}
    if kind == "full":
        room.leave(0)
        more = {"TMPDIR": str(room.out)}
    server = Server(bench, **more)
    answers = []

    def client(number):
        try:
            while True:
                answers.append(post(server.address, bench, number))
        except (OSError, urllib.error.URLError, ConnectionError, ValueError):
            pass
        except Exception as error:  # an answer that breaks off in its middle
            if type(error).__name__ not in ("IncompleteRead", "RemoteDisconnected", "BadStatusLine"):
                raise

    clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in clients:
        thread.start()
    time.sleep(bench.rng.uniform(0, 0.6))
    how = signal.SIGKILL if kind == "kill" else signal.SIGTERM
    code = server.end(how)
    for thread in clients:
        thread.join()
    require(code in ((-signal.SIGKILL,) if kind == "kill" else (0,)), f"ended with {code}")
    for answer in answers:
        require(answer in expected.values(), "an answer is no whole, right picture")
    room.free()
    require(files(bench.inputs / "model") == model, "the model has changed")
    # The same command goes on, at the same port.
    server = Server(bench, listen=server.address)
    require(post(server.address, bench, 1) == expected[1], "the next server answers otherwise")
    require(server.end(signal.SIGTERM) == 0, "the next server does not end well")
    return True


CASES = [One, Folder, Eval, Train, Experiment, Import]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/strdiffusion")
    parser.add_argument("--count", type=int, default=10, help="crashes of each kind and command")
    parser.add_argument("--only", help="commands, separated by commas")
    parser.add_argument("--kinds", default="kill,term,full")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    names = [case.name for case in CASES] + ["serve"]
    only = given.only.split(",") if given.only else names
    if unknown := set(only) - set(names):
        parser.error(f"no command {', '.join(unknown)}; choose from {', '.join(names)}")
    mounted = can_mount()
    if not mounted:
        print("mounting is not allowed: a limit on the size of each file stands in for a full disk")
    failures = 0
    print("| command | undisturbed | " + " | ".join(given.kinds.split(",")) + " |")
    with tempfile.TemporaryDirectory(prefix="strdiffusion-crash-") as folder:
        folder = pathlib.Path(folder)
        bench = Bench(given.binary, folder, random.Random(given.seed))
        tried = {}
        for case in [make(bench) for make in CASES if make.name in only]:
            expected = undisturbed(bench, case)
            tried[case.name] = (expected[3], lambda kind, room, c=case, e=expected: disturb(bench, c, kind, room, e))
        if "serve" in only:
            server = Server(bench)
            expected = {seed: post(server.address, bench, seed) for seed in range(4)}
            server.end(signal.SIGTERM)
            tried["serve"] = (0.0, lambda kind, room: disturb_server(bench, kind, room, expected))
        for name, (seconds, once) in tried.items():
            cells = []
            for kind in given.kinds.split(","):
                caught = wrong = 0
                for number in range(given.count):
                    room = Room(folder / "room", mounted and kind == "full")
                    try:
                        caught += once(kind, room)
                    except (Wrong, subprocess.TimeoutExpired) as error:
                        wrong += 1
                        print(f"{name}, {kind} {number}: {error}", file=sys.stderr)
                    finally:
                        room.close()
                failures += wrong
                cells.append(f"{given.count} ({caught} before the end), {wrong} wrong")
            print(f"| {name} | {seconds:.2f} s | " + " | ".join(cells) + " |", flush=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
