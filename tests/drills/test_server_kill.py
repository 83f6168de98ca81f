"""A server that is killed again and again has every row that it acknowledged, once, in sound files."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.drills.server_kill import server_kill_drill


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_acknowledged_row_outlives_a_server_that_is_killed(tmp_path: Path) -> None:
    verdict = server_kill_drill(tmp_path, n_kills=5, seed=3, n_writers=8, n_runs=3)

    assert verdict.n_rows > 0
    assert verdict.is_right, verdict
