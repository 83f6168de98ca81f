"""A metadata store in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from epochal.store.metadata import Metadata


@pytest.fixture
def metadata(tmp_path: Path) -> Iterator[Metadata]:
    store = Metadata(tmp_path / "metadata.db")
    yield store
    store.close()
