"""A few of the kills of which the benchmark does a thousand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="not run: reads /proc")


@pytest.fixture(scope="module")
def kill() -> ModuleType:
    """The drill; loaded by its path, because tests are no package."""
    spec = importlib.util.spec_from_file_location("kill", Path(__file__).with_name("kill.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_whose_log_had_returned_survives_a_kill_once(kill: ModuleType, tmp_path: Path) -> None:
    verdict = kill.kill_drill(20, seed=1, home=tmp_path / "home")

    assert verdict.is_right, verdict
    assert verdict.n_confirmed > 100


def test_the_drill_notices_a_row_that_is_missing_or_there_twice(kill: ModuleType, tmp_path: Path) -> None:
    """A drill that cannot fail proves nothing."""

    def without_row_3(killed: object) -> list[int]:
        return [i for i in kill.rows_in_run_log(killed) if i != 3] + [5]

    verdict = kill.kill_drill(1, seed=2, home=tmp_path / "home", rows=without_row_3, max_alive_s=1.0)

    assert (verdict.n_lost, verdict.n_twice) == (1, 1)
