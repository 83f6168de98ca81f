from __future__ import annotations

from pathlib import Path

import pytest

from epochal.store.metrics.embedded.store import EmbeddedMetricStore
from epochal.store.metrics.stores import MetricStores


def open_files(stores: MetricStores) -> set[str]:
    return set(stores._open)


def test_the_stores_used_last_stay_open_and_those_in_use_too(tmp_path: Path) -> None:
    stores = MetricStores(tmp_path, EmbeddedMetricStore, max_open=2)
    with stores.use("1.db") as first:
        for name in ("2.db", "3.db", "4.db"):
            with stores.use(name):
                pass
        assert open_files(stores) == {"1.db", "4.db"}
        assert first.sizes() == {}
        with stores.use("1.db") as again:
            assert again is first
    stores.close()
    assert open_files(stores) == set()


@pytest.mark.parametrize("name", ["../1.db", "1.db/../x", "x.db", "1", "", "1.db\n", "²1.db", "/etc/1.db"])
def test_only_numbers_name_a_file(tmp_path: Path, name: str) -> None:
    stores = MetricStores(tmp_path, EmbeddedMetricStore)

    with pytest.raises(ValueError, match="a store file is a number"), stores.use(name):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_highest_number_counts_files_of_every_kind(tmp_path: Path) -> None:
    stores = MetricStores(tmp_path, EmbeddedMetricStore)
    assert stores.highest_number() == 0

    for name in ("3.db", "12.db-wal", "notes.txt", "²"):
        (tmp_path / name).touch()
    assert stores.highest_number() == 12
