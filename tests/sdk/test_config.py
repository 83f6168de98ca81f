"""`run.config`: what is taken, what may change, what is recorded."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import epochal
from epochal.runlog.format import RecordType
from epochal.sdk.config import Config

Records = Callable[[epochal.Run, RecordType], list[list[Any]]]


@dataclass
class Optimiser:
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass
class Arguments:
    epochs: int = 3
    optimiser: Optimiser = field(default_factory=Optimiser)


class OmegaLike(Mapping[str, Any]):
    """A mapping that is no dict, nested, as OmegaConf's is."""

    def __init__(self, items: dict[str, Any]) -> None:
        self._items = {k: OmegaLike(v) if isinstance(v, dict) else v for k, v in items.items()}

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


class AbslLike:
    def flag_values_dict(self) -> dict[str, Any]:
        return {"lr": 0.1}


class PydanticLike:
    def model_dump(self) -> dict[str, Any]:
        return {"lr": 0.1}


SOURCES: list[tuple[Any, dict[str, Any]]] = [
    ({"lr": 0.1, "nested": {"a": 1}}, {"lr": 0.1, "nested": {"a": 1}}),
    (argparse.Namespace(lr=0.1, layers=[1, 2]), {"lr": 0.1, "layers": [1, 2]}),
    (Arguments(), {"epochs": 3, "optimiser": {"lr": 0.1, "betas": [0.9, 0.999]}}),
    (OmegaLike({"lr": 0.1, "model": {"depth": 2}}), {"lr": 0.1, "model": {"depth": 2}}),
    (AbslLike(), {"lr": 0.1}),
    (PydanticLike(), {"lr": 0.1}),
    ({"--batch-size": 4}, {"batch-size": 4}),
    (
        {"path": Path("/a"), "fn": len, "t": (1, 2), "s": {1}},
        {"path": "/a", "fn": "builtins.len", "t": [1, 2], "s": [1]},
    ),
    (None, {}),
]


@pytest.mark.parametrize(("source", "expected"), SOURCES, ids=lambda v: type(v).__name__)
def test_config_is_taken_from(source: Any, expected: dict[str, Any], records: Records) -> None:
    run = epochal.init(config=source)

    assert run.config.as_dict() == expected
    assert _recorded(records(run, RecordType.CONFIG)) == expected


@pytest.mark.parametrize(
    "content",
    ["lr: 0.1\nmodel: {depth: 2}\n", "lr:\n  desc: rate\n  value: 0.1\nmodel: {value: {depth: 2}}\n"],
)
def test_config_is_read_from_a_yaml_file(content: str) -> None:
    pytest.importorskip("yaml")
    Path("c.yaml").write_text(content)

    assert epochal.init(config="c.yaml").config.as_dict() == {"lr": 0.1, "model": {"depth": 2}}


def test_config_defaults_are_read_unasked_and_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("yaml")
    Path("config-defaults.yaml").write_text("a: 1\nb: 1\nc: 1\n")
    Path("more.yaml").write_text("b: 2\nc: 2\n")
    monkeypatch.setenv("WANDB_CONFIG_PATHS", "more.yaml")

    assert epochal.init(config={"c": 3}).config.as_dict() == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize("config", [5, "missing.yaml", [1, 2]])
def test_config_that_is_no_mapping_is_refused(config: Any) -> None:
    with pytest.raises(epochal.UsageError, match="config"):
        epochal.init(config=config)


def test_keys_are_included_or_excluded_but_not_both() -> None:
    values = {"a": 1, "b": 2}

    assert epochal.init(config=values, config_exclude_keys=["a"]).config.as_dict() == {"b": 2}
    epochal.finish()
    assert epochal.init(config=values, config_include_keys=["a"]).config.as_dict() == {"a": 1}
    epochal.finish()
    with pytest.raises(epochal.UsageError, match="exclude each other"):
        epochal.init(config=values, config_include_keys=["a"], config_exclude_keys=["b"])


def test_a_value_does_not_change_unless_it_is_allowed_to(run: epochal.Run) -> None:
    run.config.lr = 0.1
    run.config["lr"] = 0.1

    with pytest.raises(epochal.ConfigError, match="allow_val_change=True"):
        run.config.lr = 0.2
    with pytest.raises(epochal.ConfigError):
        run.config.update({"lr": 0.2, "new": 1})
    assert run.config.as_dict() == {"lr": 0.1}

    run.config.update({"lr": 0.2}, allow_val_change=True)
    assert run.config.lr == 0.2


def test_init_may_allow_every_change() -> None:
    run = epochal.init(config={"lr": 0.1}, allow_val_change=True)

    run.config.lr = 0.2

    assert run.config.lr == 0.2


def test_nan_is_kept_and_may_be_set_again(run: epochal.Run) -> None:
    run.config.x = float("nan")
    run.config.x = float("nan")

    assert run.config.x != run.config.x


def test_numpy_and_torch_values_are_kept_in_full(run: epochal.Run) -> None:
    np = pytest.importorskip("numpy")
    torch = pytest.importorskip("torch")

    run.config.update(
        {"a": np.arange(100), "b": torch.ones(2, 2), "c": np.float32(0.5), "d": torch.tensor(3)}
    )

    assert run.config.as_dict() == {"a": list(range(100)), "b": [[1, 1], [1, 1]], "c": 0.5, "d": 3}


def test_it_is_used_as_a_dict_and_as_an_object(run: epochal.Run) -> None:
    config = run.config
    config.update({"lr": 0.1, "_hidden": 1})
    config.setdefaults({"lr": 0.5, "depth": 2})

    assert (config.lr, config["depth"], config.get("none", 7)) == (0.1, 2, 7)
    assert (list(config), dict(config.items()), "_hidden" in config) == (
        ["lr", "depth"],
        {"lr": 0.1, "depth": 2},
        True,
    )
    assert {**config} == {"lr": 0.1, "depth": 2}
    with pytest.raises(AttributeError, match="has no 'rate'"):
        _ = config.rate
    with pytest.raises(KeyError):
        config["rate"]
    assert not hasattr(config, "rate")


def test_a_deleted_key_is_gone_and_recorded(run: epochal.Run, records: Records) -> None:
    run.config.update({"a": 1, "b": 2})
    del run.config["a"]

    assert run.config.as_dict() == {"b": 2}
    assert _recorded(records(run, RecordType.CONFIG)) == {"b": 2}


def test_the_config_a_script_changes_in_place_is_not_the_recorded_one(run: epochal.Run) -> None:
    layers = [1, 2]
    run.config.layers = layers
    layers.append(3)

    assert run.config.layers == [1, 2]


def test_a_large_config_is_kept(records: Records) -> None:
    large = {"large_list": list(range(3_000_000)), "large_string": "a" * 10_000_000}

    run = epochal.init(config=large)

    assert _recorded(records(run, RecordType.CONFIG)) == large


def test_a_config_over_the_limit_is_a_clear_error_and_the_run_goes_on(
    capsys: pytest.CaptureFixture[str], records: Records
) -> None:
    run = epochal.init(config={"huge": "a" * (65 << 20), "lr": 0.1})
    run.config.depth = 2

    assert "'huge' of 65 MiB is not stored" in capsys.readouterr().err
    assert _recorded(records(run, RecordType.CONFIG)) == {"lr": 0.1, "depth": 2}


def test_config_static_does_not_change(run: epochal.Run) -> None:
    run.config.lr = 0.1
    static = run.config_static
    run.config.depth = 2

    assert (static.lr, list(static.keys())) == (0.1, ["lr"])
    with pytest.raises(AttributeError):
        static.lr = 0.2


def test_config_is_recognised_by_its_type() -> None:
    epochal.init()

    assert isinstance(epochal.config, Config)
    assert isinstance(epochal.config, epochal.Config)


def _recorded(records: list[list[Any]]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for _, _, values, deleted in records:
        config.update(values)
        for key in deleted:
            del config[key]
    return config
