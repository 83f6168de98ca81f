"""The part of a run that writes: every record that is not a row."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from epochal.runlog.format import RecordType
from epochal.sdk.alerts import Throttle, alert_level, fitting, wait_seconds
from epochal.sdk.limits import MAX_CONFIG_BYTES
from epochal.sdk.media.base import MediaFolder
from epochal.sdk.metric import DefinesMetrics, Metric
from epochal.sdk.rows import RowLog
from epochal.sdk.said import Said
from epochal.sdk.session import AnySession, Log
from epochal.sdk.step_sync import StepSync
from epochal.sdk.summary import Path_
from epochal.sdk.terminal import terminal
from epochal.sdk.values import encode, tidy


class RunRecords(DefinesMetrics, RowLog):
    """Writes what a run says of itself into its run log, and repeats it in checkpoints.

    Args:
        session: whose run log is opened.
        attributes: name, notes, tags, group, job_type; kept up to date here.
        is_primary: whether this is the run's first writer.
    """

    def __init__(self, session: AnySession, attributes: dict[str, Any], *, is_primary: bool) -> None:
        self._session = session
        self._attributes = attributes
        self._is_primary = is_primary
        self._is_finished = False
        self._step_sync = StepSync()
        self._said = Said()
        self._alerts = Throttle()
        self._log: Log = session.open_log("primary" if is_primary else "secondary", self._checkpoint)
        identity = session.identity
        is_placed = is_primary and identity.mode != "shared" and not identity.is_step_unknown
        super().__init__(
            self._log.append,
            first_step=identity.start_step if is_placed else 0,
            is_placed=is_placed,
            media=MediaFolder(session.files if session.is_recorded else None, self._record_file),
        )

    @property
    def _is_placing(self) -> bool:
        return self._kind == RecordType.ROW

    def _record(self, kind: RecordType, *items: object) -> None:
        """Write a record that is not a row."""
        self._append(encode((int(kind), time.time(), *items)))

    def alert(self, title: str, text: str = "", level: object = None, wait_duration: object = None) -> None:
        """Call for attention: the alert is shown with the run, and sent to the project's channels.

        Never waits for anything.  It is in the run log when this returns.

        Args:
            title: what happened, up to 64 characters; a longer one is cut here and goes on in the text.
            text: the rest.
            level: INFO (also by default), WARN or ERROR, as an `AlertLevel` or its name.
            wait_duration: an alert of the same title is left out for so long, a timedelta or seconds; 60 s
                by default.

        Raises:
            ValueError: the level or the wait is none.
        """
        level, wait_s = alert_level(level), wait_seconds(wait_duration)
        if self._is_finished:
            self._say_it_is_late("alerts")
        elif self._alerts.lets_through(str(title), wait_s):
            title, text = fitting(title, text)
            said = {"title": title, "text": text, "level": level.value, "wait_s": wait_s}
            self._record(RecordType.ALERT, said)

    def _record_config(self, values: dict[str, object], deleted: list[str]) -> None:
        if self._is_finished:
            self._say_it_is_late("config")
            return
        encoded = {key: msgspec.Raw(encode(value)) for key, value in values.items()}
        if sum(map(_size, encoded.values())) > MAX_CONFIG_BYTES:
            encoded = _fitting_config(encoded)
        payload = encode((int(RecordType.CONFIG), time.time(), encoded, deleted))
        self._said.config(encoded, deleted)
        self._append(payload)

    def _record_attributes(self, values: dict[str, object]) -> None:
        payload = encode((int(RecordType.ATTRIBUTES), time.time(), values))
        self._said.attributes(values)
        self._append(payload)

    def _record_definition(self, definition: dict[str, object]) -> None:
        payload = encode((int(RecordType.DEFINE_METRIC), time.time(), definition))
        self._said.definition(definition)
        self._append(payload)

    def _checkpoint(self) -> bytes:
        last_step, n_unplaced = self._rows_so_far()
        return self._said.checkpoint(last_step, n_unplaced, self._step_sync.last_values())

    def _synchronise(self, defined: Metric) -> None:
        self._step_sync.define(defined)
        # Before the first step metric, log() does not even ask.
        self._sync = self._step_sync if self._step_sync.is_needed else None

    def _record_summary(self, values: list[tuple[Path_, object]], deleted: list[Path_]) -> None:
        if self._is_finished:
            self._say_it_is_late("summary")
            return
        pairs = [(path, self._summary_value(path, value)) for path, value in values]
        self._record(RecordType.SUMMARY, pairs, deleted)

    def _summary_value(self, path: Path_, value: object) -> object:
        from epochal.sdk.row import split

        parts = split({"value": value}, lambda media, _: self._store(media, path, self._step))
        return parts.host["value"] if "value" in parts.host else tidy(value)

    def _record_file(self, relative: str) -> None:
        self._record(RecordType.FILE, relative, "now")

    def _record_console(self, stream: str, text: str) -> None:
        self._record(RecordType.CONSOLE, stream, text)

    def _set_attribute(self, name: str, value: object) -> None:
        self._attributes[name] = value
        if self._is_finished:
            terminal.warn_once(
                ("late", self._session.identity.run_id),
                f"The run is finished: its {name} does not change any more.",
            )
        else:
            self._record_attributes({name: value})

    def _say_it_is_late(self, what: str) -> None:
        terminal.warn_once(
            ("late", what, self._session.identity.run_id),
            f"The run is finished: its {what} does not change any more.",
        )


def _size(encoded: msgspec.Raw) -> int:
    return memoryview(encoded).nbytes


def _fitting_config(values: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    """Return `values` without the largest ones that make them too large together, each said as an error."""
    sizes = {key: _size(value) for key, value in values.items()}
    kept = dict(values)
    for key in sorted(sizes, key=lambda k: -sizes[k]):
        if sum(sizes[k] for k in kept) < MAX_CONFIG_BYTES:
            break
        del kept[key]
        terminal.error(
            f"The config value {key!r} of {sizes[key] >> 20} MiB is not stored: a config has at most "
            f"{MAX_CONFIG_BYTES >> 20} MiB. Everything else is, and your script goes on."
        )
    return kept
