"""What this process's own run log says so far, rows aside: the part of a checkpoint that grows.

Values are kept as they were encoded, because those of a script change under its hands, and because a
checkpoint is written in the middle of a call of `log()`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import time

import msgspec

from epochal.runlog.format import RecordType
from epochal.runlog.summary import merged_definition
from epochal.sdk.values import encode


class Said:
    """Config, attributes and definitions that went into one run log."""

    def __init__(self) -> None:
        self._config: dict[str, msgspec.Raw] = {}
        self._deleted: dict[str, None] = {}
        self._attributes: dict[str, object] = {}
        self._definitions: dict[str, dict[str, object]] = {}

    def config(self, values: Mapping[str, msgspec.Raw], deleted: Iterable[str]) -> None:
        """Take in that config values are set, and that keys are deleted."""
        self._config.update(values)
        for key in values:
            self._deleted.pop(key, None)
        for key in deleted:
            self._config.pop(key, None)
            self._deleted[key] = None

    def attributes(self, values: Mapping[str, object]) -> None:
        """Take in attributes of the run."""
        self._attributes.update(values)

    def definition(self, definition: Mapping[str, object]) -> None:
        """Take in one call of define_metric."""
        name = str(definition["name"])
        self._definitions[name] = merged_definition(self._definitions.get(name, {}), definition)

    def checkpoint(self, last_step: int, n_unplaced: int, step_metrics: Mapping[str, object]) -> bytes:
        """Return the record that repeats all of it, and where the rows are."""
        content = {
            "last_step": last_step,
            "n_unplaced": n_unplaced,
            "config": self._config,
            "deleted_config": list(self._deleted),
            "attributes": self._attributes,
            "definitions": self._definitions,
            "step_metrics": _encodable(step_metrics),
        }
        return encode((int(RecordType.CHECKPOINT), time(), content))


def _encodable(values: Mapping[str, object]) -> dict[str, msgspec.Raw]:
    """Return `values` encoded, without those that are still on a device: nothing may wait for it here."""
    known = {}
    for key, value in list(values.items()):
        try:
            known[key] = msgspec.Raw(encode(value))
        except Exception:  # noqa: BLE001, S112  whatever a value raises
            continue
    return known
