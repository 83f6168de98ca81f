"""A project of many runs with many fields, put straight into the metadata."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from epochal.ids import RunId
from epochal.store.metadata import Metadata, RunRecord
from epochal.store.metadata.records import RunState

NOW = 1_800_000_000.0
MODELS = ("resnet18", "resnet50", "vit-b", "vit-l", "convnext", "mixer", "deit", "swin")
END_STATES: tuple[RunState, ...] = ("finished", "failed", "crashed", "killed")
_AT_ONCE = 2_000


def make_project(path: Path, n_runs: int, n_config: int = 50, n_summary: int = 100) -> Metadata:
    """Return a new metadata store at `path` with a project `p` of `n_runs` runs.

    A config has numbers, texts, switches and nested keys, a summary numbers; one run in 20 lacks half
    of its summary, one in 200 diverged to NaN.
    """
    metadata = Metadata(path)
    rng = random.Random(1)
    with metadata.write() as connection:
        project = metadata.projects.ensure(connection, "local", "p", now=NOW)
    for first in range(0, n_runs, _AT_ONCE):
        ids = [RunId(f"r{i:07d}") for i in range(first, min(first + _AT_ONCE, n_runs))]
        with metadata.write() as connection:
            keys = metadata.runs.ensure(connection, project, ids, now=NOW)
            records = [_record(keys[run_id], run_id, i, rng) for i, run_id in enumerate(ids, first)]
            metadata.runs.save(connection, records)
            metadata.documents.put(
                connection,
                (
                    (
                        run.key,
                        {"config": config_of(rng, n_config), "summary": summary_of(rng, n_summary)},
                    )
                    for run in records
                ),
            )
    return metadata


def config_of(rng: random.Random, n_keys: int) -> dict[str, object]:
    """Return a nested config of `n_keys` leaves."""
    config: dict[str, object] = {
        "lr": 10 ** rng.uniform(-5, -1),
        "seed": rng.randrange(2**31),
        "model": {"name": rng.choice(MODELS), "width": rng.choice([64, 128, 256, 512])},
        "optimizer": {"name": rng.choice(["adam", "sgd", "lion"]), "momentum": rng.random()},
        "amp": rng.random() < 0.5,
        "comment": f"trial {rng.randrange(10**9)}",
    }
    for i in range(n_keys - 8):
        config[f"key{i:02d}"] = rng.random() if i % 2 else rng.randrange(20) if i % 4 else rng.choice(MODELS)
    return config


def summary_of(rng: random.Random, n_keys: int) -> dict[str, object]:
    """Return a flat summary of up to `n_keys` numbers."""
    summary: dict[str, object] = {f"metric{i:02d}/value": rng.random() for i in range(n_keys - 2)}
    if rng.random() < 0.05:
        summary = dict(list(summary.items())[: n_keys // 2])
    summary["acc"] = rng.random()
    summary["loss"] = float("nan") if rng.random() < 0.005 else rng.expovariate(1.0)
    return summary


def _record(key: int, run_id: RunId, i: int, rng: random.Random) -> RunRecord:
    created_at = NOW - (1_000_000 - 10 * i)
    return RunRecord(
        key=key,
        run_id=run_id,
        entity="local",
        project="p",
        name=f"{rng.choice(MODELS)}-{rng.choice(['brave', 'calm', 'keen', 'wild'])}-otter-{i}",
        created_at=created_at,
        heartbeat_at=created_at + rng.uniform(100, 50_000),
        end_state=rng.choices(END_STATES, [8, 1, 1, 1])[0],
        ended_at=created_at + 60_000,
        tags=tuple(rng.sample(["best", "baseline", "debug", "paper", "sweep"], rng.randrange(3))),
        group=f"group-{i // 100}",
        job_type=rng.choice(["train", "eval"]),
        last_step=rng.randrange(1_000_000),
        n_rows=rng.randrange(1_000_000),
    )


def live_updates(metadata: Metadata, keys: list[int], rng: random.Random) -> Iterator[None]:
    """Give a new summary to the runs `keys`, 100 of them a step, as runs do that log."""
    while True:
        for first in range(0, len(keys), 100):
            some = metadata.runs.of_keys(keys[first : first + 100], documents=())
            with metadata.write() as connection:
                metadata.runs.save(connection, some)
                metadata.documents.put(
                    connection, ((run.key, {"summary": summary_of(rng, 100)}) for run in some)
                )
            yield
