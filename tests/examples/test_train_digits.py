"""The example trains, and what it logged is all there."""

from __future__ import annotations

import ast
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from epochal.runlog.format import RecordType
from epochal.runlog.reader import read_all

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_digits.py"
EPOCHS = 3
TRAIN_IMAGES = 1437  # four fifths of the 1,797 bundled with scikit-learn
BATCH_SIZE = 32
BATCHES = math.ceil(TRAIN_IMAGES / BATCH_SIZE)

# What of `wandb` the example may touch: names that the stock client has had for years.
STOCK_NAMES = {"init", "log", "config", "summary", "define_metric", "Histogram", "finish", "run"}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    """What a short training wrote to its run log."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    home = tmp_path_factory.mktemp("home")
    command = [sys.executable, str(EXAMPLE), "--epochs", str(EPOCHS), "--name", "short"]
    done = subprocess.run(
        command,
        env={"EPOCHAL_HOME": str(home), "OMP_NUM_THREADS": "1"},
        cwd=home,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (log,) = (path for path in home.glob("runs/run-*/*.runlog") if not path.name.startswith("sidecar"))
    frames, _ = read_all(log)
    return [frame.record for frame in frames]


def rows_with(records: list[list[Any]], key: str) -> list[dict[str, Any]]:
    return [record[3] for record in records if record[0] == RecordType.ROW and key in record[3]]


def test_every_step_of_the_training_is_in_the_run_log(records: list[list[Any]]) -> None:
    losses = [row["train/loss"] for row in rows_with(records, "train/loss")]

    assert len(losses) == EPOCHS * BATCHES
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < losses[0]


def test_every_epoch_is_in_the_run_log(records: list[list[Any]]) -> None:
    rows = rows_with(records, "val/accuracy")

    assert [row["epoch"] for row in rows] == list(range(EPOCHS))
    assert rows[-1]["val/accuracy"] > 0.5


def test_the_settings_of_the_command_line_are_the_config(records: list[list[Any]]) -> None:
    config: dict[str, Any] = {}
    for record in records:
        if record[0] == RecordType.CONFIG:
            config |= record[2]

    assert config["epochs"] == EPOCHS
    assert config["batch_size"] == BATCH_SIZE


def test_the_example_is_an_ordinary_script_for_the_stock_client() -> None:
    """One changed line is the promise: no name of ours, no other import of ours."""
    tree = ast.parse(EXAMPLE.read_text())
    ours = [
        ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Import) and "epochal" in ast.unparse(n)
    ]
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "wandb"
    }

    assert ours == ["import epochal as wandb"]
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and "epochal" in str(n.module)]
    assert used <= STOCK_NAMES
