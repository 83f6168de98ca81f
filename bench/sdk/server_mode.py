"""What a server costs the training that is sent to it: log() and the sidecar, beside no server at all.

    python bench/sdk/server_mode.py [--rounds 5] [--seconds 4]

A training logs five scalars 1,000 times a second, its runs kept here, sent to a server that takes them, to
one that is down, and to one that takes connections and never answers.  The rounds go in turns, so that a
noisy moment hits all four.  Prints p50 and p99 of log() (medians of the rounds), the time of finish(), and
the sidecar's memory and CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

KEY = "epochal-aaaa"
CASES = ("no server", "a server", "down", "black hole")

TRAINING = """
import json, os, sys, time
import psutil
import epochal as wandb
seconds = float(sys.argv[1])
settings = wandb.Settings(silent=True, x_disable_stats=True, finish_timeout=1.0)
run = wandb.init(project="p", settings=settings)
taken, values = [], {"a": 0.5, "b": 1.5, "c": 2.5, "d": 3.5, "e": 4.5}
end = time.monotonic() + seconds
due = time.perf_counter_ns()
while time.monotonic() < end:
    began = time.perf_counter_ns()
    run.log(values)
    taken.append(time.perf_counter_ns() - began)
    due += 1_000_000
    time.sleep(max(0, due - time.perf_counter_ns()) / 1e9)
ours = [p for p in psutil.process_iter(["cmdline"]) if str(os.getpid()) in (p.info["cmdline"] or [])]
sidecar = next(p for p in ours if any("epochal.sidecar" in w for w in p.info["cmdline"]))
memory, cpu = sidecar.memory_full_info().uss, sum(sidecar.cpu_times()[:2])
began = time.perf_counter()
run.finish()
taken.sort()
n = len(taken)
figures = {"p50": taken[n // 2], "p99": taken[n * 99 // 100], "finish_s": time.perf_counter() - began}
print(json.dumps({**figures, "memory": memory, "cpu_share": cpu / seconds}))
"""


class _Taker(BaseHTTPRequestHandler):
    """Acknowledges every block without looking at what is in it but its place."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        from epochal.wire.block import decode

        body = self.rfile.read(int(self.headers["Content-Length"]))
        ends: dict[tuple[str, str, str], int] = {}
        at = 0
        while at < len(body):
            length = int.from_bytes(body[at : at + 4], "little")
            block = decode(body[at + 4 : at + 4 + length])
            ends[block.project, block.run_id, block.writer] = block.end_offset
            at += 4 + length
        names = ("project", "run", "writer")
        writers = [dict(zip(names, name, strict=True)) | {"offset": end} for name, end in ends.items()]
        data = json.dumps({"writers": writers}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


def train(address: str | None, seconds: float) -> dict[str, float]:
    """Return the figures of one training."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "train.py")
        script.write_text(TRAINING)
        environ = {**os.environ, "EPOCHAL_HOME": folder}
        if address:
            environ |= {"EPOCHAL_BASE_URL": address, "EPOCHAL_API_KEY": KEY}
        command = [sys.executable, str(script), str(seconds)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    taker = ThreadingHTTPServer(("127.0.0.1", 0), _Taker)
    threading.Thread(target=taker.serve_forever, daemon=True).start()
    hole = socket.create_server(("127.0.0.1", 0))
    with socket.create_server(("127.0.0.1", 0)) as free:
        down = free.getsockname()[1]
    ports = {"a server": taker.server_address[1], "down": down, "black hole": hole.getsockname()[1]}
    found: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
    for _ in range(options.rounds):
        for case in CASES:
            address = f"http://127.0.0.1:{ports[case]}" if case in ports else None
            found[case].append(train(address, options.seconds))
    taker.shutdown()
    hole.close()
    print("| sent to | log() p50 | p99 | finish() | sidecar's memory | sidecar's CPU |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case, rounds in found.items():
        middle = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
        print(
            f"| {case} | {middle['p50'] / 1e3:.1f} µs | {middle['p99'] / 1e3:.1f} µs "
            f"| {middle['finish_s']:.2f} s | {middle['memory'] / 2**20:.1f} MiB | {middle['cpu_share']:.1%} |"
        )
    print()
    print("finish() with `finish_timeout=1`. Memory is what the sidecar alone holds (USS).")


if __name__ == "__main__":
    main()
