"""Every pattern of the stock client's two performance guides runs with the import changed.

Models, loaders and environments are as small as they can be; the calls to the tracker are the guides'.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import epochal as wandb
from epochal.runlog.format import RecordType

Rows = Callable[[Any], dict[int, dict[str, Any]]]


class Guide:
    """What the guides take as given: a model, data, an optimiser."""

    def __init__(self) -> None:
        torch = pytest.importorskip("torch")
        torch.manual_seed(0)
        self.torch = torch
        self.model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        self.criterion = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 10)
        self.loader = [(torch.randn(8, 4), torch.randint(0, 2, (8,))) for _ in range(10)]

    def loss_of(self, batch: Any) -> Any:
        x, y = batch
        return self.criterion(self.model(x), y)

    def step(self, loss: Any) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


@pytest.fixture
def guide() -> Guide:
    return Guide()


def test_logging_the_loss_itself(guide: Guide, rows: Rows) -> None:
    run = wandb.init()
    expected = []
    for batch in guide.loader:
        loss = guide.loss_of(batch)
        wandb.log({"loss": loss})
        expected.append(loss.item())
        guide.step(loss)

    assert [row["loss"] for row in rows(run).values()] == expected


def test_batch_logging(guide: Guide, rows: Rows) -> None:
    run, log_interval = wandb.init(), 5
    losses: list[Any] = []
    for batch_idx, batch in enumerate(guide.loader):
        loss = guide.loss_of(batch)
        losses.append(loss)
        if batch_idx % log_interval == 0:
            wandb.log({"loss": guide.torch.stack(losses).mean().item(), "batch": batch_idx})
            losses = []
        guide.step(loss)

    assert [row["batch"] for row in rows(run).values()] == [0, 5]


def test_deferred_logging(guide: Guide, rows: Rows) -> None:
    run = wandb.init()
    gpu_metrics = []
    for batch_idx, batch in enumerate(guide.loader):
        loss = guide.loss_of(batch)
        gpu_metrics.append({"batch": batch_idx, "loss": loss.detach()})
        guide.step(loss)
    for metric in gpu_metrics:
        wandb.log({"loss": metric["loss"].item(), "batch": metric["batch"]})

    assert [row["batch"] for row in rows(run).values()] == list(range(10))


def test_a_tight_loop_and_a_list(rows: Rows) -> None:
    run = wandb.init()
    for i in range(1000):
        wandb.log({"metric": i})
    metrics = []
    for i in range(1000):
        metrics.append(i)
    wandb.log({"metrics": metrics})

    kept = rows(run)
    assert [kept[i]["metric"] for i in range(1000)] == list(range(1000))
    assert kept[1000] == {"metrics": list(range(1000))}


def test_a_whole_model_and_its_norm(guide: Guide, rows: Rows) -> None:
    run = wandb.init()
    wandb.log({"huge_tensor": guide.model.state_dict()})
    norm = guide.torch.nn.utils.parameters_to_vector(guide.model.parameters()).norm()
    wandb.log({"weight_norm": norm})

    assert set(rows(run)[0]["huge_tensor"]) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert rows(run)[1]["weight_norm"] == norm.item()


def test_several_keys_with_a_prefix(guide: Guide, rows: Rows) -> None:
    run, loss = wandb.init(), guide.loss_of(guide.loader[0])
    for step in range(20):
        if step % 10 == 0:
            wandb.log(
                {
                    "train/loss": loss.item(),
                    "train/accuracy": 0.5,
                    "train/learning_rate": guide.scheduler.get_last_lr()[0],
                    "train/epoch": 1,
                }
            )

    assert len(rows(run)) == 2
    assert rows(run)[1]["train/learning_rate"] == 0.1


def test_a_histogram_of_gradients(guide: Guide, rows: Rows) -> None:
    run = wandb.init()
    guide.step(guide.loss_of(guide.loader[0]))
    gradients = guide.model[0].weight.grad
    wandb.log({"gradients": wandb.Histogram(gradients)})

    assert sum(rows(run)[0]["gradients"]["values"]) == 32


def test_profiling_a_call() -> None:
    wandb.init()
    slow = 0
    for value in range(200):
        start = time.time()
        wandb.log({"metric": value})
        log_time = time.time() - start
        slow += log_time > 0.001

    # Not a timed assertion of one call: a busy machine may stop any of them, but not half of them.
    assert slow < 100


def test_a_table_of_predictions(guide: Guide, rows: Rows) -> None:
    run = wandb.init()
    table = wandb.Table(columns=["image", "prediction", "truth"])
    for i in range(3):
        table.add_data(wandb.Image(guide.torch.rand(3, 8, 8)), i, i)
    wandb.log({"predictions": table})

    stored = rows(run)[0]["predictions"]
    content = json.loads((Path(run.dir) / stored["path"]).read_text())
    assert (stored["_type"], stored["nrows"], stored["ncols"]) == ("table-file", 3, 3)
    assert [row[1:] for row in content["data"]] == [[0, 0], [1, 1], [2, 2]]
    for cell, *_ in content["data"]:
        assert (Path(run.dir) / cell["path"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "settings",
    [
        {"_stats_sample_rate_seconds": 0.1, "_internal_queue_size": 10000},
        {"_disable_stats": True, "_internal_queue_size": 100},
    ],
)
def test_the_settings_of_the_guide_act_and_say_nothing(
    settings: dict[str, Any], rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    run = wandb.init(project="high-freq-experiment", settings=wandb.Settings(**settings))
    for step in range(2000):
        if step % 1000 == 0:
            wandb.log({"loss": 0.5})

    assert len(rows(run)) == 2
    assert "_stats" not in capsys.readouterr().err
    in_force = run.settings
    assert in_force.x_internal_queue_size == settings["_internal_queue_size"]
    assert in_force.x_disable_stats == settings.get("_disable_stats", False)
    assert in_force.x_stats_sampling_interval == settings.get("_stats_sample_rate_seconds", 15.0)


def test_a_reinforcement_learning_loop_with_a_step_of_its_own(rows: Rows) -> None:
    run = wandb.init()
    step_buffer: list[dict[str, float]] = []
    for step in range(301):
        step_buffer.append({"reward": float(step), "step": step})
        if step % 100 == 0:
            avg_reward = sum(s["reward"] for s in step_buffer) / len(step_buffer)
            wandb.log({"avg_reward": avg_reward, "step": step})
            step_buffer = []

    assert [(at, row["step"]) for at, row in rows(run).items()] == [(0, 0), (1, 100), (2, 200), (3, 300)]


def test_only_rank_0_logs(guide: Guide, rows: Rows) -> None:
    run = wandb.init()
    for rank in range(4):
        if rank == 0:
            wandb.log({"loss": guide.loss_of(guide.loader[0]).item(), "global_step": 7})

    assert rows(run)[0]["global_step"] == 7


def test_with_blocks_and_commit(rows: Rows, records: Callable[[Any, RecordType], list[list[Any]]]) -> None:
    with wandb.init() as run:
        run.log({"loss": 0.42}, commit=True)
        run.log({"a": 1, "b": {"c": "hello", "d": [1, 2, 3]}})
        run.log({"a": 1, "b": {"c": 2, "d": {"e": 3, "f": 4}}})

    assert rows(run) == {
        0: {"loss": 0.42},
        1: {"a": 1, "b": {"c": "hello", "d": [1, 2, 3]}},
        2: {"a": 1, "b": {"c": 2, "d": {"e": 3, "f": 4}}},
    }
    assert [r[2]["exit_code"] for r in records(run, RecordType.EXIT)] == [0]


def test_the_basic_example(rows: Rows) -> None:
    with wandb.init(project="basic-intro") as run:
        for epoch in range(10):
            accuracy = 1 - 2**-epoch - random.random() / (epoch + 1)
            loss = 2**-epoch + random.random() / (epoch + 1)
            if epoch % 5 == 0:
                run.log({"acc": accuracy, "loss": loss})

    assert all(math.isfinite(row["loss"]) for row in rows(run).values())
    assert len(rows(run)) == 2


def test_a_list_of_ten_million_numbers_is_an_error_that_leaves_the_run_going(
    rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    with wandb.init(project="wide-values") as run:
        run.log({"wide_key": list(range(10_000_000))})
        run.log({"loss": 0.5})

    assert rows(run) == {0: {}, 1: {"loss": 0.5}}
    assert "'wide_key' in log() has 47 MiB" in capsys.readouterr().err


def test_a_large_json_file_is_one_row(rows: Rows, tmp_path: Path) -> None:
    path = tmp_path / "large_file.json"
    path.write_text(json.dumps({f"key{i}": list(range(20)) for i in range(20_000)}))
    with wandb.init(project="wide-values") as run, path.open() as f:
        large_data = json.load(f)
        run.log(large_data)

    assert rows(run)[0] == large_data


def test_a_config_of_ten_million_numbers_is_kept(
    records: Callable[[Any, RecordType], list[list[Any]]],
) -> None:
    config = {"large_list": list(range(10_000_000)), "large_string": "a" * 10_000_000}
    with wandb.init(project="config-size", config=config) as run:
        pass

    stored = records(run, RecordType.CONFIG)[0][2]
    assert len(stored["large_list"]) == 10_000_000
    assert stored["large_list"][-1] == 9_999_999
    assert len(stored["large_string"]) == 10_000_000
