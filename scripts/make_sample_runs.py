"""Writes sample runs: real run logs with believable curves, for looking at the server and the web app.

    python scripts/make_sample_runs.py                          # 12 finished runs of 40 keys and 1,000 steps
    python scripts/make_sample_runs.py --runs 200 --steps 5000 --project large
    python scripts/make_sample_runs.py --runs 3 --live 20       # three runs, 20 rows a second, until Ctrl-C

Where runs end differently, have spikes, NaN and infinities, sparse keys, an `epoch` metric, a hostile name:
all of that is on purpose.  The same seed gives the same curves.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from epochal.base.home import home
from epochal.runlog.folder import announce, default_runs_folder, new_run_folder
from epochal.runlog.format import Header, RecordType
from epochal.runlog.writer import RunLogWriter

ADJECTIVES = [
    "calm",
    "brisk",
    "sunny",
    "quiet",
    "amber",
    "distant",
    "gentle",
    "bold",
    "silver",
    "early",
    "restless",
    "bright",
]
NOUNS = [
    "river",
    "field",
    "lake",
    "ridge",
    "meadow",
    "harbor",
    "canyon",
    "forest",
    "island",
    "summit",
    "delta",
    "grove",
]
ENDS = ("finished", "finished", "finished", "failed", "killed", "finished", "crashed", "preempted")
SECONDS_A_STEP = 0.35
STEPS_AN_EPOCH = 50
STEPS_A_SYSTEM_SAMPLE = 43
HOSTILE = "<img src=x onerror=alert(1)> \u202eevil"
TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "train.py", line 61, in <module>\n    loss.backward()\n'
    "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB\n"
)

_encode = msgspec.msgpack.Encoder().encode


class Curve(NamedTuple):
    """One metric: a decay from `start` to `floor` with noise, and what is odd about it."""

    key: str
    start: float
    floor: float
    half_life: float  # steps
    noise: float
    every: int  # steps between its points

    def at(self, step: int, rng: random.Random) -> float:
        trend = self.floor + (self.start - self.floor) * 2 ** (-step / self.half_life)
        return trend * (1 + self.noise * rng.gauss(0, 1))


class Sample:
    """One run being written: the trainer's run log and the sidecar's beside it."""

    def __init__(self, folder: Path, index: int, options: argparse.Namespace, started: float) -> None:
        self.rng = random.Random(f"{options.seed}/{index}")
        self.run_id = "".join(self.rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=8))
        self.started, self.step = started, 0
        self.lr = 10 ** self.rng.uniform(-4.5, -1.5)
        self.curves = _curves(self.rng, options.keys, self.lr)
        self.diverges = index % 9 == 4
        self.steps = options.steps
        session = new_run_folder(folder, self.run_id, mode="online", now=started)
        self.trainer = self._open(session, options.project, "primary", "".join(reversed(self.run_id)))
        self.sidecar = self._open(session, options.project, "sidecar", f"sidecar-{self.run_id}")
        self._write_start(index)

    def _open(self, session: Path, project: str, kind: str, writer: str) -> RunLogWriter:
        header = msgspec.convert(
            {
                "run_id": self.run_id,
                "project": project,
                "entity": None,
                "writer": writer,
                "kind": kind,
                "start_time": self.started,
                "pid": os.getpid(),
                "host": "sample-host",
            },
            Header,
        )
        return RunLogWriter(session / f"{writer}.runlog", header)

    def _write_start(self, index: int) -> None:
        name = (
            HOSTILE
            if index % 10 == 7
            else f"{self.rng.choice(ADJECTIVES)}-{self.rng.choice(NOUNS)}-{index + 1}"
        )
        attributes = {
            "name": name,
            "tags": ["baseline"] if index % 3 == 0 else ["sweep", f"seed-{index % 4}"],
            "group": f"width-{2 ** (5 + index % 3)}",
            "job_type": "train",
            "notes": "Sample data." if index % 2 else "",
        }
        config = {
            "lr": self.lr,
            "batch_size": 2 ** self.rng.randint(4, 9),
            "model": {"width": 2 ** (5 + index % 3), "depth": self.rng.randint(2, 12), "act": "gelu"},
            "optimizer": self.rng.choice(["adamw", "sgd", "lion"]),
            "augment": bool(index % 2),
            "seed": index,
        }
        put(self.trainer, self.started, RecordType.ATTRIBUTES, attributes)
        put(self.trainer, self.started, RecordType.CONFIG, config, [])
        for definition in ({"name": "epoch", "hidden": True}, {"name": "val/*", "step_metric": "epoch"}):
            put(self.trainer, self.started, RecordType.DEFINE_METRIC, definition)
        put(self.trainer, self.started, RecordType.DEFINE_METRIC, {"name": "val/loss", "summary": ["min"]})
        put(self.sidecar, self.started, RecordType.METADATA, _metadata())

    def advance(self, now: float) -> None:
        """Write the next step, at `now` (Unix seconds)."""
        step, rng = self.step, self.rng
        row: dict[str, object] = {"epoch": step / STEPS_AN_EPOCH}
        for curve in self.curves:
            if step % curve.every == 0:
                row[curve.key] = self._value(curve, step)
        if step % (10 * STEPS_AN_EPOCH) == 0:
            counts = [int(40 * math.exp(-((b - 10) ** 2) / 18)) + rng.randint(0, 4) for b in range(20)]
            row["weights"] = {"_type": "histogram", "values": counts, "bins": [b / 10 - 1 for b in range(21)]}
        put(self.trainer, now, RecordType.ROW, step, row)
        if step % STEPS_AN_EPOCH == 0:
            line = f"epoch {step // STEPS_AN_EPOCH:4d}  loss {self._value(self.curves[0], step):.4f}\n"
            put(self.trainer, now, RecordType.CONSOLE, "stdout", line)
        self.step += 1

    def _value(self, curve: Curve, step: int) -> float:
        value = curve.at(step, self.rng)
        if self.diverges and curve.key == "train/loss" and step > 0.7 * self.steps:
            return self.rng.choice([math.nan, math.inf, value * 50])
        if curve.key == "train/grad_norm" and step == self.steps // 3:
            return value * 100  # one step wide: no zoom may hide it
        return value

    def sample_system(self, now: float) -> None:
        """Write one sample of system metrics and a heartbeat, at `now`."""
        rng, busy = self.rng, 60 + 30 * math.sin(self.step / 300)
        values = {
            "cpu": busy / 2 + rng.uniform(0, 5),
            "proc.memory.rssMB": 1800 + 20 * math.log1p(self.step),
            "memory_percent": 41 + rng.uniform(-1, 1),
            "gpu.0.gpu": min(100.0, busy + rng.uniform(0, 15)),
            "gpu.0.memory": 72.0,
            "gpu.0.temp": 58 + busy / 10,
        }
        put(self.sidecar, now, RecordType.SYSTEM, values)
        put(self.sidecar, now, RecordType.HEARTBEAT)

    def end(self, state: str, now: float) -> None:
        """Write how the run ended; a crashed one just stops."""
        if state == "failed":
            put(self.trainer, now, RecordType.CONSOLE, "stderr", TRACEBACK)
        if state != "crashed":
            details = {
                "state": state,
                "exit_code": {"finished": 0, "failed": 1}.get(state),
                "signal": {"killed": 9, "preempted": 15}.get(state),
                "traceback": TRACEBACK if state == "failed" else None,
                "reason": None,
            }
            put(self.sidecar, now, RecordType.EXIT, details)
        self.trainer.close()
        self.sidecar.close()


def put(writer: RunLogWriter, at: float, record_type: RecordType, *items: object) -> None:
    """Append a record with a wall time of our choice."""
    writer.append(_encode((int(record_type), at, *items)))


def _curves(rng: random.Random, n_keys: int, lr: float) -> list[Curve]:
    """Return `n_keys` metrics: the usual ones first, then one per layer and figure."""
    half = 40 / max(lr, 1e-3) ** 0.5
    curves = [
        Curve("train/loss", 2.3, rng.uniform(0.05, 0.4), half, 0.08, 1),
        Curve("train/accuracy", 0.1, rng.uniform(0.85, 0.99), half, 0.01, 1),
        Curve("train/grad_norm", 4.0, 0.6, half, 0.25, 1),
        Curve("train/lr", lr, lr / 100, 400, 0.0, 1),
        Curve("val/loss", 2.3, rng.uniform(0.2, 0.5), half, 0.03, STEPS_AN_EPOCH),
        Curve("val/accuracy", 0.1, rng.uniform(0.8, 0.97), half, 0.005, STEPS_AN_EPOCH),
        Curve("throughput", 900, 1200, 30, 0.02, 5),
    ]
    figures = ("weight_norm", "grad_norm", "activation/mean", "activation/std")
    for number in range(max(0, n_keys - len(curves))):
        layer, figure = divmod(number, len(figures))
        curves.append(
            Curve(f"layers/{layer}/{figures[figure]}", rng.uniform(0.5, 3), rng.uniform(0.2, 2), 300, 0.05, 1)
        )
    return curves[: max(1, n_keys)]


def _metadata() -> dict[str, object]:
    return {
        "host": "sample-host",
        "os": "Linux-6.1-x86_64",
        "python": "3.11.2",
        "program": "train.py",
        "command": "python train.py --lr 3e-4",
        "cwd": "/home/someone/project",
        "git": {
            "commit": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
            "remote": "git@example.org:someone/project",
        },
        "packages": {"numpy": "2.1.0", "torch": "2.5.1"},
        "cpu_count": 16,
        "memory_bytes": 64 * 2**30,
        "gpus": [{"name": "Sample GPU", "memory_bytes": 24 * 2**30}],
    }


def write_finished(folder: Path, options: argparse.Namespace, now: float) -> None:
    """Write `options.runs` runs that ended before `now`."""
    for index in range(options.runs):
        started = now - (options.runs - index) * 1800 - options.steps * SECONDS_A_STEP
        sample = Sample(folder, index, options, started)
        state = ENDS[index % len(ENDS)]
        n_steps = options.steps if state == "finished" else max(1, options.steps * 2 // 3)
        for step in range(n_steps):
            at = started + step * SECONDS_A_STEP
            # By steps and not by time, whose rounding depends on the day.
            if step % STEPS_A_SYSTEM_SAMPLE == 0:
                sample.sample_system(at)
            sample.advance(at)
        sample.end(state, started + n_steps * SECONDS_A_STEP)


def write_live(folder: Path, options: argparse.Namespace) -> None:
    """Write `options.runs` runs at `options.live` rows a second until interrupted or done."""
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: stopped.append(got))
    begun = time.time()
    samples = [Sample(folder, index, options, begun) for index in range(options.runs)]
    next_system = begun
    for step in range(options.steps):
        if stopped:
            break
        if time.time() >= next_system:
            for sample in samples:
                sample.sample_system(time.time())
            next_system += 5
        for sample in samples:
            sample.advance(time.time())
        time.sleep(max(0.0, begun + (step + 1) / options.live - time.time()))
    for sample in samples:
        sample.end("killed" if stopped else "finished", time.time())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=12, help="how many (default: 12)")
    parser.add_argument("--keys", type=int, default=40, help="metric keys a run (default: 40)")
    parser.add_argument("--steps", type=int, default=1000, help="steps a run (default: 1000)")
    parser.add_argument("--project", default="digits", help="project name (default: digits)")
    parser.add_argument("--runs-dir", type=Path, help="runs folder (default: $EPOCHAL_HOME/runs)")
    parser.add_argument("--seed", help="other curves and run ids (default: 0, and a new one with --live)")
    parser.add_argument(
        "--live", type=float, metavar="RATE", help="log live, RATE rows a second, until Ctrl-C"
    )
    options = parser.parse_args()
    # Live runs are new ones each time; finished ones are the same, and written twice they count as resumed.
    options.seed = options.seed or (str(time.time_ns()) if options.live else "0")
    folder = options.runs_dir or default_runs_folder(home(os.environ))
    announce(home(os.environ), folder)
    if options.live:
        write_live(folder, options)
    else:
        write_finished(folder, options, time.time())
    print(f"{options.runs} runs of {options.project} are in {folder}")


if __name__ == "__main__":
    main()
