"""Runs put straight into a metadata store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from epochal.ids import RunId
from epochal.store.metadata import Metadata, RunRecord
from epochal.store.metadata.documents import StoredDocument

NOW = 1_700_000_000.0
PutRun = Callable[..., int]


def put_run(
    metadata: Metadata,
    run_id: str,
    *,
    project: str = "p",
    config: Mapping[str, object] | None = None,
    summary: Mapping[str, object] | None = None,
    **fields: Any,
) -> int:
    """Make a run, or give an old one other fields and documents; return its key."""
    documents: dict[StoredDocument, Mapping[str, object]] = {}
    if config is not None:
        documents["config"] = config
    if summary is not None:
        documents["summary"] = summary
    with metadata.write() as connection:
        project_key = metadata.projects.ensure(connection, "local", project, now=NOW)
        key = metadata.runs.ensure(connection, project_key, [RunId(run_id)], now=NOW)[RunId(run_id)]
        run = RunRecord(
            key=key,
            run_id=RunId(run_id),
            entity="local",
            project=project,
            name=run_id,
            created_at=NOW,
            heartbeat_at=NOW,
        )
        metadata.runs.save(connection, [msgspec.structs.replace(run, **fields)])
        metadata.documents.put(connection, [(key, documents)])
    return key


@pytest.fixture
def metadata(tmp_path: Path) -> Iterator[Metadata]:
    """Return an empty metadata store."""
    store = Metadata(tmp_path / "metadata.db")
    yield store
    store.close()


@pytest.fixture
def put(metadata: Metadata) -> PutRun:
    """Return a function that puts a run into `metadata`."""
    return lambda run_id, **fields: put_run(metadata, run_id, **fields)
