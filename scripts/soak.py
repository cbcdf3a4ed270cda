#!/usr/bin/env python3
"""Sends a server thousands of requests, good, bad and broken off, and compares its memory.

    scripts/soak.py --count 10000 [--clients 16] [--binary target/release/strdiffusion]
                    [--model MODEL] [--size 48] [--seed 0]

The server runs on this machine with a tiny model, or the one that is named. Its memory (resident, Linux)
is taken after a tenth of the requests, when all that it may keep is there, and after the last. It fails
where that grew by more than a tenth, an answer was wrong, or the server made a mistake (500).
"""

import argparse
import collections
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from crash_test import ROOT, Bench, png

ALLOWED = 0.10
JOB = "00000000-0000-4000-8000-000000000000"


class Client:
    """Requests of every kind, each on a connection of its own."""

    def __init__(self, address, rng, photo, mask):
        host, port = address.rsplit(":", 1)
        self.host, self.port, self.rng = host, int(port), rng
        self.photo, self.mask = photo, mask

    def connect(self):
        return socket.create_connection((self.host, self.port), timeout=120)

    def head(self, line, length=0, kind="multipart/form-data; boundary=x"):
        return (
            f"{line} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nConnection: close\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        ).encode()

    def form(self, **more):
        parts = {"image": self.photo, "mask": self.mask}
        parts["settings"] = json.dumps({"seed": self.rng.randrange(1000)}).encode()
        body = b"".join(
            f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + data + b"\r\n"
            for name, data in (parts | more).items()
        )
        return body + b"--x--\r\n"

    def ask(self, line, body=b"", **more):
        """The status and the body of the answer."""
        with self.connect() as connection:
            connection.sendall(self.head(line, len(body), **more) + body)
            return read(connection)

    def fill(self):
        status, body = self.ask("POST /v1/inpaint", self.form())
        assert status in (200, 429), status
        assert status != 200 or body.endswith(b"IEND\xaeB`\x82"), "the picture is not whole"
        return status

    def job(self):
        status, body = self.ask("POST /v1/jobs", self.form())
        if status != 202:
            assert status == 429, status
            return status
        path = f"/v1/jobs/{json.loads(body)['id']}"
        status, events = self.ask(f"GET {path}/events")
        # A job may be forgotten between the two where others end meanwhile.
        if status == 200 and b"event: done" in events:
            status, picture = self.ask(f"GET {path}/candidates/0")
            assert status in (200, 404), status
            assert status != 200 or picture.endswith(b"IEND\xaeB`\x82"), "the picture is not whole"
        return 202

    def cancelled_job(self):
        status, body = self.ask("POST /v1/jobs", self.form())
        if status == 202:
            self.ask(f"DELETE /v1/jobs/{json.loads(body)['id']}")
        return status

    def left_events(self):
        """Goes away in the middle of a job's events."""
        status, body = self.ask("POST /v1/jobs", self.form())
        if status == 202:
            with self.connect() as connection:
                connection.sendall(self.head(f"GET /v1/jobs/{json.loads(body)['id']}/events"))
                connection.recv(self.rng.randrange(1, 400))
        return status

    def left_fill(self):
        """Goes away while it is being filled, with a reset."""
        body = self.form()
        with self.connect() as connection:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.sendall(self.head("POST /v1/inpaint", len(body)) + body)
            time.sleep(self.rng.uniform(0, 0.02))
        return "left"

    def cut_upload(self):
        body = self.form()
        whole = self.head("POST /v1/inpaint", len(body)) + body
        with self.connect() as connection:
            connection.sendall(whole[: self.rng.randrange(len(whole))])
        return "left"

    def slow_upload(self):
        body = self.form()
        whole = self.head("POST /v1/inpaint", len(body)) + body
        with self.connect() as connection:
            for part in range(0, len(whole), 1 + len(whole) // 5):
                connection.sendall(whole[part : part + 1 + len(whole) // 5])
                time.sleep(0.005)
            return read(connection)[0]

    def slow_reader(self):
        body = self.form()
        with self.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            connection.sendall(self.head("POST /v1/inpaint", len(body)) + body)
            while connection.recv(256):
                pass
        return "read"

    def wrong(self):
        """A refusal, of some kind."""
        noise = self.rng.randbytes(self.rng.randrange(2000))
        cases = [
            ("POST /v1/inpaint", {"body": self.form(image=noise)}, {400}),
            ("POST /v1/jobs", {"body": self.form(settings=noise)}, {400}),
            ("POST /v1/jobs", {"body": self.form(path=b"/etc/passwd")}, {400}),
            ("POST /v1/inpaint", {"body": noise, "kind": "application/json"}, {415}),
            ("POST /v1/inpaint", {"body": noise}, {400}),
            (f"GET /v1/jobs/{JOB}", {}, {404}),
            ("GET /assets/..%2f..%2fetc%2fpasswd", {}, {404}),
            ("DELETE /v1/models", {}, {405}),
        ]
        line, given, expected = self.rng.choice(cases)
        status, _ = self.ask(line, **given)
        # A full queue refuses before a body is read.
        assert status in expected | {429}, (line, status)
        return status

    def oversize(self):
        with self.connect() as connection:
            connection.sendall(self.head("POST /v1/inpaint", 1 << 40))
        return "left"

    def idle(self):
        with self.connect() as connection:
            connection.sendall(b"GET / HT"[: self.rng.randrange(8)])
        return "left"

    def page(self):
        status, _ = self.ask(f"GET {self.rng.choice(['/', '/healthz', '/metrics', '/v1/models'])}")
        assert status == 200, status
        return status

    KINDS = [
        (fill, 30),
        (job, 15),
        (cancelled_job, 10),
        (left_events, 5),
        (left_fill, 10),
        (cut_upload, 8),
        (slow_upload, 2),
        (slow_reader, 2),
        (wrong, 8),
        (oversize, 2),
        (idle, 4),
        (page, 4),
    ]


def read(connection):
    answer = b""
    while part := connection.recv(65536):
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        whole, rest = b"", body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            whole, rest = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        body = whole
    return int(head.split(b" ", 2)[1]), body


def memory(process):
    """Resident MiB."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def send(address, count, clients, seed, pictures, counts, problems):
    """Sends so many requests from so many clients."""
    left = iter(range(count))
    lock = threading.Lock()

    def work(number):
        rng = random.Random(f"{seed} {number}")
        client = Client(address, rng, *pictures)
        kinds, weights = zip(*Client.KINDS)
        while True:
            with lock:
                if next(left, None) is None:
                    return
            kind = rng.choices(kinds, weights)[0]
            try:
                outcome = kind(client)
            except Exception as error:
                outcome = type(error).__name__
                with lock:
                    problems.append(f"{kind.__name__}: {error!r}")
            with lock:
                counts[kind.__name__, outcome] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/strdiffusion")
    parser.add_argument("--model", type=pathlib.Path, help="model folder")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--size", type=int, default=48, help="side of the pictures")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="strdiffusion-soak-") as folder:
        bench = Bench(given.binary, pathlib.Path(folder), random.Random(given.seed))
        model = given.model or bench.inputs / "model"
        side = given.size
        photo = png(side, side, lambda x, y: ((5 * x) % 256, (7 * y) % 256, (x * y) % 256))
        hole = lambda x, y: side // 4 <= x < side // 2 and side // 3 <= y < 2 * side // 3
        pictures = photo, png(side, side, lambda x, y: (255 * hole(x, y),) * 3)
        command = [bench.binary, "serve", "--device", "cpu", "--listen", "127.0.0.1:0", "--model", model]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
        try:
            address = process.stdout.readline().split("http://")[1].strip().rstrip("/")
            counts, problems = collections.Counter(), []
            begun = time.monotonic()
            first = given.count // 10
            send(address, first, given.clients, f"{given.seed} first", pictures, counts, problems)
            before = memory(process)
            rest = given.count - first
            send(address, rest, given.clients, given.seed, pictures, counts, problems)
            after = memory(process)
            seconds = time.monotonic() - begun
            process.send_signal(signal.SIGTERM)
            ended = process.wait(timeout=120)
        finally:
            process.kill()
    for (kind, outcome), number in sorted(counts.items(), key=str):
        print(f"{kind:15} {outcome!s:10} {number}")
    grown = after / before - 1
    print(f"{sum(counts.values())} requests in {seconds:.0f} s by {given.clients} clients")
    print(f"memory: {before:.1f} MiB after {first} requests, {after:.1f} MiB at the end ({grown:+.1%})")
    for problem in problems[:20]:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems or ended != 0 or grown > ALLOWED else 0)


if __name__ == "__main__":
    main()
