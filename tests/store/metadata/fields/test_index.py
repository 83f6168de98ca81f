"""The columns follow the metadata, whatever happens to their file."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochal.ids import RunId
from epochal.store.metadata import Metadata, RunRecord
from epochal.store.metadata.documents import StoredDocument
from epochal.store.metadata.fields import Kind
from epochal.store.metadata.fields import build as build_module
from epochal.store.metadata.fields import table as table_module
from epochal.store.metadata.rewinding import set_counts

NOW = 1_700_000_000.0


def put(
    metadata: Metadata, first: int, n: int, project: str = "p", **documents: Mapping[str, object]
) -> list[int]:
    """Make or change the runs `r<first>` and so on; without documents they have config.i and summary.x."""
    with metadata.write() as connection:
        key = metadata.projects.ensure(connection, "local", project, now=NOW)
        ids = [RunId(f"r{i}") for i in range(first, first + n)]
        keys = metadata.runs.ensure(connection, key, ids, now=NOW)
        metadata.runs.save(connection, [record(keys[run_id], run_id, project) for run_id in ids])
        metadata.documents.put(
            connection, [(keys[run_id], _said(i, documents)) for i, run_id in enumerate(ids, first)]
        )
    return [keys[run_id] for run_id in ids]


def _said(
    i: int, documents: Mapping[str, Mapping[str, object]]
) -> dict[StoredDocument, Mapping[str, object]]:
    said = documents or {"config": {"i": i}, "summary": {"x": i / 2}}
    return {kind: said[kind] for kind in ("config", "summary") if kind in said}


def record(key: int, run_id: RunId, project: str) -> RunRecord:
    return RunRecord(
        key=key, run_id=run_id, entity="local", project=project, name=run_id, created_at=NOW, heartbeat_at=NOW
    )


def numbers(metadata: Metadata, field: str, project: int = 1) -> dict[int, float]:
    """Return the number of each run that has one, by key."""
    read = metadata.fields.read(project, [field])
    column = read.columns[field]
    has = (column.kinds == Kind.NUMBER) & read.is_there
    return dict(zip(read.keys[has].tolist(), column.numbers[has].tolist(), strict=True))


def build(metadata: Metadata, project: int = 1) -> int:
    return metadata.fields.build(project, pause=lambda _: None)


def test_a_column_is_the_same_from_documents_from_parts_and_after_a_restart(tmp_path: Path) -> None:
    metadata = Metadata(tmp_path / "metadata.db")
    keys = put(metadata, 0, 100)
    expected = {key: float(i) for i, key in enumerate(keys)}

    assert numbers(metadata, "config.i") == expected
    assert build(metadata) == 100
    assert numbers(metadata, "config.i") == expected
    metadata.close()
    metadata = Metadata(tmp_path / "metadata.db")
    assert numbers(metadata, "config.i") == expected
    assert build(metadata) == 0
    metadata.close()


def test_only_the_parts_whose_runs_changed_are_written_again(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_module, "RUNS_A_PART", 10)
    keys = put(metadata, 0, 50)
    assert build(metadata) == 50

    put(metadata, 25, 1, config={"i": -1}, summary={})
    assert build(metadata) == 10
    put(metadata, 50, 3)
    assert build(metadata) == 3
    put(metadata, 53, 3)  # the last part is small, so they go into it
    assert build(metadata) == 6

    assert numbers(metadata, "config.i")[keys[25]] == -1.0
    assert keys[25] not in numbers(metadata, "summary.x")
    assert len(numbers(metadata, "config.i")) == 56


def test_a_part_of_runs_with_many_fields_has_fewer_runs(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_module, "CELLS_A_PART", 1000)
    put(metadata, 0, 20, config={f"k{i}": i for i in range(300)})

    assert build(metadata) == 20

    assert len(numbers(metadata, "config.k299")) == 20
    with closing(sqlite3.connect(metadata.path.with_name("fields.db"))) as file:
        assert file.execute("SELECT count(*) FROM parts").fetchone() == (5,)


def test_what_changes_later_shows_in_columns_that_are_in_memory(metadata: Metadata) -> None:
    keys = put(metadata, 0, 10)
    build(metadata)
    put(metadata, 10, 2)
    assert len(numbers(metadata, "summary.x")) == 12

    put(metadata, 3, 1, summary={"x": 7.5, "new": "text"})
    put(metadata, 4, 1, summary={})
    put(metadata, 12, 1, summary={"x": 8.5})

    found = numbers(metadata, "summary.x")
    assert found[keys[3]] == 7.5
    assert keys[4] not in found
    assert len(found) == 12
    column = metadata.fields.read(1, ["summary.new"]).columns["summary.new"]
    assert column.texts == ["text"]


def test_projects_do_not_see_each_others_runs(metadata: Metadata) -> None:
    put(metadata, 0, 3)
    put(metadata, 0, 2, project="q")
    build(metadata)
    build(metadata, 2)

    assert len(numbers(metadata, "config.i", 1)) == 3
    assert len(numbers(metadata, "config.i", 2)) == 2
    assert numbers(metadata, "config.i", 77) == {}


@pytest.mark.parametrize("is_in_parts", [False, True])
def test_a_run_that_was_deleted_is_gone_from_columns_in_memory(metadata: Metadata, is_in_parts: bool) -> None:
    keys = put(metadata, 0, 5)
    if is_in_parts:
        build(metadata)
    assert len(numbers(metadata, "config.i")) == 5

    with metadata.write() as connection:
        metadata.runs.delete(connection, keys[2])

    assert numbers(metadata, "config.i") == {keys[0]: 0, keys[1]: 1, keys[3]: 3, keys[4]: 4}
    (info,) = metadata.fields.listing(1, lambda _: ["config.i"])
    assert info.n_runs == 4


def test_counts_that_a_repair_sets_show_in_columns_in_memory(metadata: Metadata) -> None:
    (key,) = put(metadata, 0, 1)
    assert numbers(metadata, "run.n_rows") == {key: 0}

    with metadata.write() as connection:
        set_counts(connection, key, n_rows=7, last_step=6)

    assert numbers(metadata, "run.n_rows") == {key: 7}
    assert numbers(metadata, "run.last_step") == {key: 6}


def test_a_file_that_is_damaged_or_of_another_store_is_made_again(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        store = Metadata(tmp_path / name / "metadata.db")
        put(store, 0, 5 if name == "a" else 7)
        build(store)
        store.close()
    shutil.copy(tmp_path / "a" / "fields.db", tmp_path / "b" / "fields.db")
    store = Metadata(tmp_path / "b" / "metadata.db")
    assert len(numbers(store, "config.i")) == 7
    assert build(store) == 7
    store.close()

    for damage in (b"", b"no database at all" * 500):
        (tmp_path / "b" / "fields.db").write_bytes(damage)
        store = Metadata(tmp_path / "b" / "metadata.db")
        assert len(numbers(store, "config.i")) == 7
        assert build(store) == 7
        store.close()


def test_metadata_put_back_from_a_copy_does_not_get_the_fields_of_later_runs(tmp_path: Path) -> None:
    store = Metadata(tmp_path / "metadata.db")
    keys = put(store, 0, 5)
    store.close()
    shutil.copy(tmp_path / "metadata.db", tmp_path / "copy.db")
    store = Metadata(tmp_path / "metadata.db")
    put(store, 0, 1, config={"i": 99})
    build(store)
    store.close()
    for name in ("metadata.db", "metadata.db-wal", "metadata.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy.db", tmp_path / "metadata.db")

    store = Metadata(tmp_path / "metadata.db")
    assert numbers(store, "config.i")[keys[0]] == 0.0
    store.close()


def test_damage_that_is_found_later_is_mended_while_the_answers_stay_right(tmp_path: Path) -> None:
    store = Metadata(tmp_path / "metadata.db")
    put(store, 0, 50)
    build(store)
    expected = numbers(store, "config.i")
    store.close()
    for place in (0.0, 0.5, 0.99):
        with closing(sqlite3.connect(tmp_path / "fields.db")) as file:
            (data,) = file.execute("SELECT data FROM chunks WHERE field = 'config.i'").fetchone()
            at = int(place * len(data))
            damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            file.execute("UPDATE chunks SET data = ? WHERE field = 'config.i'", (damaged,))
            file.commit()
        store = Metadata(tmp_path / "metadata.db")
        assert numbers(store, "config.i") == expected
        assert build(store) == 50
        assert numbers(store, "config.i") == expected
        store.close()


def test_without_a_file_columns_come_from_the_documents(tmp_path: Path) -> None:
    (tmp_path / "fields.db").mkdir()  # cannot be opened, nor be removed
    store = Metadata(tmp_path / "metadata.db")
    store.fields.start()
    put(store, 0, 5)

    assert len(numbers(store, "config.i")) == 5
    put(store, 5, 1)
    assert len(numbers(store, "config.i")) == 6
    assert [f.field for f in store.fields.listing(1, prefix="config")] == ["config.i"]
    store.close()


def test_more_changes_than_memory_may_hold_are_read_again_for_each_column(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "MAX_CHANGED_RUNS", 3)
    expected = {key: float(i) for i, key in enumerate(put(metadata, 0, 4))}
    build(metadata)
    for i in range(6):
        first = 3 + 3 * i
        expected |= {key: float(k) for k, key in enumerate(put(metadata, first, 4), first)}
        assert numbers(metadata, "config.i") == expected
        assert len(numbers(metadata, "summary.x")) == 7 + 3 * i
        held = list(metadata.fields._tables.values())
        assert all(not table.is_overfull for table in held)


def test_a_document_of_many_megabytes_is_held_as_its_fields_only(metadata: Metadata) -> None:
    big = {"list": list(range(500_000)), "text": "x" * 5_000_000, "lr": 0.5}
    metadata.fields.read(1, [])
    put(metadata, 0, 1)
    metadata.fields.read(1, [])
    put(metadata, 0, 1, config=big)

    assert numbers(metadata, "config.lr") == {1: 0.5}
    assert all(not table.is_full for table in metadata.fields._tables.values())


def test_fields_are_counted_by_the_runs_that_have_them_now(metadata: Metadata) -> None:
    put(metadata, 0, 5, config={"a": 1, "n": {"b": "x"}}, summary={"x": 1.0})
    for _ in range(2):
        counts = {f.field: f.n_runs for f in metadata.fields.listing(1) if not f.field.startswith("run.")}
        assert counts == {"config.a": 5, "config.n": 5, "config.n.b": 5, "summary.x": 5}
        build(metadata)
    put(metadata, 0, 2, config={"a": 1.5})
    put(metadata, 4, 2, config={"c": None}, summary={"x": "text"})

    found = {f.field: (f.n_runs, set(f.kinds)) for f in metadata.fields.listing(1, prefix="config.")}
    assert found == {
        "config.a": (4, {Kind.NUMBER}),
        "config.c": (2, {Kind.NULL}),
        "config.n": (2, {Kind.OBJECT}),
        "config.n.b": (2, {Kind.TEXT}),
    }
    assert metadata.fields.listing(1, prefix="summary.x")[0].n_runs == 6


def test_threads_that_read_and_write_at_once_see_whole_columns(metadata: Metadata) -> None:
    """Each write gives every run the same value, so a column with two values would be half of two moments."""
    put(metadata, 0, 50, summary={"x": 0})
    build(metadata)
    over = threading.Event()
    failures: list[object] = []

    def read() -> None:
        while not over.is_set():
            read = metadata.fields.read(1, ["summary.x", "config.none"])
            found = np.unique(read.columns["summary.x"].numbers)
            if found.size != 1:
                failures.append(found)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(1, 30):
        put(metadata, 0, 50, summary={"x": i})
        if i % 10 == 0:
            build(metadata)
    over.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_thread_writes_what_is_due(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epochal.store.metadata.fields.index.MAX_CHANGED_RUNS", 10)
    put(metadata, 0, 30)
    metadata.fields.start()

    file = metadata.path.with_name("fields.db")
    deadline = time.monotonic() + 60
    n_parts = 0
    while n_parts == 0 and time.monotonic() < deadline:
        with closing(sqlite3.connect(file, timeout=30)) as connection:
            n_parts = connection.execute("SELECT count(*) FROM parts").fetchone()[0]
        time.sleep(0.05)
    assert n_parts == 1


def test_a_few_runs_with_very_many_fields_are_written_too(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "MAX_CHANGED_BYTES", 10_000)
    put(metadata, 0, 5, summary={f"k{i}": float(i) for i in range(1000)})
    metadata.fields.start()

    deadline = time.monotonic() + 60
    n_parts = 0
    while n_parts == 0 and time.monotonic() < deadline:
        assert len(numbers(metadata, "summary.k999")) == 5
        with closing(sqlite3.connect(metadata.path.with_name("fields.db"), timeout=30)) as connection:
            n_parts = connection.execute("SELECT count(*) FROM parts").fetchone()[0]
        time.sleep(0.05)
    assert n_parts == 1


SCRIPT = """
import sys
from pathlib import Path
from epochal.store.metadata import Metadata
from epochal.store.metadata.fields import build
build.RUNS_A_PART = 20
metadata = Metadata(Path(sys.argv[1]))
print("ready", flush=True)
metadata.fields.build(1, pause=lambda s: __import__("time").sleep(0.01))
print("built", flush=True)
"""


def test_a_kill_while_parts_are_written_loses_nothing(tmp_path: Path) -> None:
    store = Metadata(tmp_path / "metadata.db")
    put(store, 0, 300)
    build(store)
    put(store, 0, 300, config={"i": 5.0})
    expected: dict[int, Any] = numbers(store, "config.i")
    store.close()
    for kill_after_s in (0.0, 0.02, 0.05, 0.1):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "metadata.db")], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(kill_after_s)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        store = Metadata(tmp_path / "metadata.db")
        assert numbers(store, "config.i") == expected
        store.close()
