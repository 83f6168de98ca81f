"""`run.config`: what went in.

Values are kept as plain data, so that what a script reads back is what the server shows.  A value does not
change once it is set, unless somebody says so: a typo must not rewrite what a run was started with.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from pathlib import Path
from typing import Any

from epochal.errors import ConfigError, UsageError
from epochal.sdk.values import key_text, plain_copy

Record = Callable[[dict[str, object], list[str]], None]


class Config:
    """The config of a run: items and attributes, nested as given.

    Args:
        record: is told each change: the keys that are set, with their whole values, and those deleted.
        may_change: whether values may change without being asked for.
    """

    def __init__(self, record: Record | None = None, may_change: bool = False) -> None:
        object.__setattr__(self, "_items", {})
        object.__setattr__(self, "_record", record)
        object.__setattr__(self, "_may_change", may_change)

    _items: dict[str, Any]
    _record: Record | None
    _may_change: bool

    def update(self, d: object, allow_val_change: bool | None = None) -> None:
        """Set many values: from a mapping, a namespace, absl flags, a dataclass, or a YAML file's path.

        Raises:
            ConfigError: a value would change, and neither this call nor the run allows it.
            UsageError: `d` is none of these.
        """
        self._set(as_mapping(d), self._may_change if allow_val_change is None else allow_val_change)

    def setdefaults(self, d: object) -> None:
        """Set those values of `d` whose keys are not there yet."""
        self._set({k: v for k, v in as_mapping(d).items() if clean_key(k) not in self._items}, False)

    def as_dict(self) -> dict[str, Any]:
        """Return a copy as plain data."""
        return plain_copy(self._items)  # type: ignore[return-value]

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401
        """Return the value of `key`, or `default`."""
        return self._items.get(key, default)

    def keys(self) -> KeysView[str]:
        """Return the keys that do not begin with an underscore."""
        return self._shown().keys()

    def values(self) -> ValuesView[Any]:
        """Return the values of `keys()`."""
        return self._shown().values()

    def items(self) -> ItemsView[str, Any]:
        """Return `keys()` with their values."""
        return self._shown().items()

    def persist(self) -> None:
        """Nothing: every change is on the disk at once."""

    def _shown(self) -> dict[str, Any]:
        return {k: v for k, v in self._items.items() if not k.startswith("_")}

    def _set(self, values: Mapping[Any, object], allowed: bool) -> None:
        clean = {clean_key(key): plain_copy(value) for key, value in values.items()}
        old = self._items
        changed = {k: v for k, v in clean.items() if k not in old or not _same(old[k], v)}
        if not allowed:
            for key in changed:
                if key in old:
                    raise ConfigError(
                        f"config.{key} is {_short(old[key])} and would become {_short(changed[key])}.\n"
                        "If that is meant: run.config.update({...}, allow_val_change=True), "
                        "or init(allow_val_change=True)."
                    )
        # A value that changes its type but not its worth (1 to 1.0) is not worth an error, nor a record.
        self._items.update(changed)
        if changed and self._record is not None:
            self._record(changed, [])

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401
        return self._items[key]

    def __setitem__(self, key: str, value: object) -> None:
        self._set({key: value}, self._may_change)

    def __delitem__(self, key: str) -> None:
        del self._items[key]
        if self._record is not None:
            self._record({}, [key])

    def __getattr__(self, key: str) -> Any:  # noqa: ANN401
        try:
            return object.__getattribute__(self, "_items")[key]
        except KeyError:
            raise AttributeError(
                f"config has no {key!r}; it has {', '.join(self._items) or 'nothing'}"
            ) from None

    def __setattr__(self, key: str, value: object) -> None:
        if key in ("_items", "_record", "_may_change"):
            object.__setattr__(self, key, value)
        else:
            self[key] = value

    def __delattr__(self, key: str) -> None:
        try:
            del self[key]
        except KeyError:
            raise AttributeError(key) from None

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._shown())

    def __len__(self) -> int:
        return len(self._shown())

    def __repr__(self) -> str:
        return repr(self._items)

    def __copy__(self) -> Config:
        return self

    def __deepcopy__(self, memo: object) -> Config:
        return self


class StaticConfig:
    """`run.config_static`: the config as it was when this was made; reading only."""

    def __init__(self, config: Config) -> None:
        object.__setattr__(self, "_items", config.as_dict())

    def __getattr__(self, key: str) -> Any:  # noqa: ANN401
        try:
            return object.__getattribute__(self, "_items")[key]
        except KeyError:
            raise AttributeError(key) from None

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401
        return object.__getattribute__(self, "_items")[key]

    def __setattr__(self, key: str, value: object) -> None:
        raise AttributeError("config_static does not change; use run.config")

    def keys(self) -> KeysView[str]:
        """Return the keys."""
        return object.__getattribute__(self, "_items").keys()  # type: ignore[no-any-return]


def clean_key(key: object) -> str:
    """Return a config key as text, without the dashes of a command-line option."""
    return key_text(key).lstrip("-") or key_text(key)


def as_mapping(config: object) -> Mapping[Any, object]:
    """Return what a user gave as config as a mapping.

    Raises:
        UsageError: it cannot be read as one.
    """
    if config is None:
        return {}
    if isinstance(config, (str, os.PathLike)):
        return from_yaml(Path(config))
    if isinstance(config, Mapping):
        return config
    if hasattr(config, "flag_values_dict"):
        return config.flag_values_dict()  # type: ignore[no-any-return]
    if isinstance(config, Config):
        return config.as_dict()
    if hasattr(config, "__dataclass_fields__") and not isinstance(config, type):
        from dataclasses import asdict

        return asdict(config)  # type: ignore[call-overload, no-any-return]
    for method in ("model_dump", "to_dict", "_asdict"):
        if callable(getattr(config, method, None)) and not isinstance(config, type):
            return getattr(config, method)()  # type: ignore[no-any-return]
    if hasattr(config, "keys") and hasattr(config, "__getitem__"):
        return {key: config[key] for key in config.keys()}  # noqa: SIM118  not a mapping: only these two are sure
    if hasattr(config, "__dict__") and not isinstance(config, type):
        return dict(vars(config))
    raise UsageError(
        f"config is a dict, a namespace, a dataclass or the path of a YAML file, not {type(config).__name__}"
    )


def from_yaml(path: Path) -> dict[str, object]:
    """Return the config in a YAML (or JSON) file, plain or with `value:` and `desc:` below each key.

    Raises:
        UsageError: the file cannot be read, or is no mapping, or PyYAML is not there to read it.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the config file {path} cannot be read: {error}") from error
    if path.suffix == ".json":
        import json

        loaded = json.loads(content)
    else:
        loaded = _yaml(path).safe_load(content)
    if not isinstance(loaded, dict):
        raise UsageError(f"the config file {path} holds no mapping of keys to values")
    return {str(key): _value_in(value) for key, value in loaded.items() if key != "wandb_version"}


def _yaml(path: Path) -> Any:  # noqa: ANN401  a module
    try:
        return importlib.import_module("yaml")
    except ImportError as error:
        raise UsageError(f"to read {path}, install PyYAML: pip install pyyaml") from error


def _value_in(entry: object) -> object:
    described = isinstance(entry, dict) and "value" in entry and entry.keys() <= {"value", "desc"}
    return entry["value"] if described else entry  # type: ignore[index]


def _same(old: object, new: object) -> bool:
    if old == new and isinstance(old, bool) == isinstance(new, bool):
        return True
    # NaN differs from itself, but setting it again is no change.
    return old != old and new != new


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"
