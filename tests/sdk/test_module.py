"""The module as scripts see it: `import epochal as wandb`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import epochal as wandb
from epochal.sdk.later import MODULE_NAMES

Rows = Callable[[Any], dict[int, dict[str, Any]]]


def test_before_init_there_is_no_run_and_calls_say_what_to_do() -> None:
    assert wandb.run is None
    with pytest.raises(wandb.Error, match=r"epochal\.init\(\)"):
        wandb.log({"a": 1})
    with pytest.raises(wandb.Error, match=r"epochal\.init\(\)"):
        wandb.config.lr = 0.1
    with pytest.raises(wandb.Error, match=r"epochal\.init\(\)"):
        wandb.summary["a"]
    with pytest.raises(wandb.Error, match=r"epochal\.init\(\)"):
        wandb.define_metric("a")
    wandb.finish()


def test_module_level_names_mean_the_live_run(rows: Rows) -> None:
    run = wandb.init()
    wandb.log({"a": 1})
    wandb.config.lr = 0.1
    wandb.summary["best"] = 2
    wandb.define_metric("a", summary="min")

    assert wandb.run is run
    assert (run.config.lr, run.summary["best"], rows(run)) == (0.1, 2, {0: {"a": 1}})
    wandb.finish()
    assert wandb.run is None
    with pytest.raises(wandb.Error):
        wandb.log({"a": 1})


def test_names_imported_before_init_mean_the_live_run(rows: Rows) -> None:
    from epochal.sdk.api import finish, log

    run = wandb.init()
    log({"a": 1})
    finish()

    assert rows(run) == {0: {"a": 1}}


@pytest.mark.parametrize("name", sorted(MODULE_NAMES))
def test_a_name_of_a_later_version_exists_and_says_once_that_it_does_nothing(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    thing = getattr(wandb, name)
    for _ in range(2):
        result = thing("anything", more=1)

    assert not result
    assert list(result.anything(1)) == []
    assert capsys.readouterr().err.count("is not in this version") == 1


def test_classes_of_a_later_version_work_with_isinstance(rows: Rows) -> None:
    run = wandb.init()
    artifact = wandb.Artifact("model", type="model")
    artifact.add_file("x")
    run.log_artifact(artifact).wait()
    run.log({"video": wandb.Video("a.mp4"), "loss": 1})

    assert isinstance(artifact, wandb.Artifact)
    assert rows(run)[0]["loss"] == 1
    assert "not in this version" in rows(run)[0]["video"]


def test_methods_of_a_later_version_do_not_raise(capsys: pytest.CaptureFixture[str]) -> None:
    run = wandb.init()
    run.watch(object())
    run.unwatch()
    run.log_code()
    run.restore("x")
    run.link_model("a", "b")

    shown = capsys.readouterr().err
    assert shown.count("run.watch does nothing") == 1


def test_what_nobody_knows_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = wandb.nonsense


def test_every_public_name_can_be_had() -> None:
    for name in wandb.__all__:
        getattr(wandb, name)


def test_the_old_service_switches_are_accepted() -> None:
    wandb.require("service")
    wandb.require("core")
    wandb.setup()
    wandb.teardown()


def test_the_sdk_loads_no_heavy_module_either_when_a_run_begins() -> None:
    script = (
        "import sys, epochal\n"
        "run = epochal.init(settings={'silent': True}); run.log({'a': 1})\n"
        "heavy = {'numpy', 'torch', 'asyncio', 'subprocess', 'hashlib', 'ssl', 'psutil', 'tempfile'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert out.strip() == "[]"
