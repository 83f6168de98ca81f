"""One run, as a script holds it."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from epochal.base.home import home
from epochal.errors import UsageError
from epochal.ids import DEFAULT_ENTITY
from epochal.runlog.format import RecordType
from epochal.sdk import ending, metric, sidecar_process
from epochal.sdk.config import Config, StaticConfig
from epochal.sdk.console_files import ConsoleFile
from epochal.sdk.later import LaterRunMethods
from epochal.sdk.limits import MAX_CONFIG_BYTES
from epochal.sdk.media.base import MediaFolder
from epochal.sdk.metric import Metric
from epochal.sdk.process import process
from epochal.sdk.rows import RowLog
from epochal.sdk.said import Said
from epochal.sdk.server_address import address_of_server
from epochal.sdk.session import AnySession, Identity, Log, Session
from epochal.sdk.settings import Settings
from epochal.sdk.step_sync import StepSync
from epochal.sdk.summary import Path_, Summary
from epochal.sdk.terminal import terminal
from epochal.sdk.values import encode, tidy

if TYPE_CHECKING:
    from epochal.sdk.destination import Destination

MAX_TAG_CHARACTERS = 64


class Run(LaterRunMethods, RowLog):
    """A run.  Made by `init`, never by itself.

    Safe to use from several threads.  In a forked child it goes on as another writer of the same run;
    pickled, it attaches to the run in the process that loads it.
    """

    def __init__(
        self, session: AnySession, settings: Settings, attributes: dict[str, Any], *, is_primary: bool = True
    ) -> None:
        self._session = session
        self._settings = settings
        self._attributes = attributes  # name, notes, tags, group, job_type
        self._is_primary = is_primary
        self._is_foreign = False  # in a forked child
        self._is_finished = False
        self._console_files: list[ConsoleFile] = []  # that the sidecar follows
        self._step_sync = StepSync()
        self._on_finish: list[Any] = []
        self._said = Said()
        self._destination: Destination | None = None  # the server that the run is sent to
        self._log: Log = session.open_log("primary" if is_primary else "secondary", self._checkpoint)
        is_placed = is_primary and session.identity.mode != "shared"
        super().__init__(
            self._log.append,
            first_step=session.identity.start_step if is_placed else 0,
            is_placed=is_placed,
            media=MediaFolder(session.files if session.is_recorded else None, self._record_file),
        )
        self._config = Config(self._record_config, bool(settings.allow_val_change))
        self._summary = Summary(session.summary, self._record_summary)

    # What it is

    @property
    def id(self) -> str:
        """The permanent id."""
        return self._session.identity.run_id

    @property
    def project(self) -> str:
        """The project."""
        return self._session.identity.project

    @property
    def entity(self) -> str:
        """The user or team: as named, else where the server puts it, as far as known; `local` without one."""
        told = sidecar_process.entity_of(self._session.folder) if self._destination is not None else ""
        known = self._destination.entity if self._destination is not None else ""
        return self._session.identity.entity or told or known or DEFAULT_ENTITY

    @property
    def path(self) -> str:
        """`entity/project/id`."""
        return f"{self.entity}/{self.project}/{self.id}"

    @property
    def mode(self) -> str:
        """`online`, `offline`, `disabled` or `shared`."""
        return self._session.identity.mode

    @property
    def name(self) -> str:
        """The label, which may be changed."""
        return str(self._attributes.get("name") or self.id)

    @name.setter
    def name(self, value: str) -> None:
        self._set_attribute("name", str(value))

    @property
    def notes(self) -> str | None:
        """Notes in Markdown."""
        value = self._attributes.get("notes")
        return None if value is None else str(value)

    @notes.setter
    def notes(self, value: str | None) -> None:
        self._set_attribute("notes", "" if value is None else str(value))

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags; replace them with a new sequence."""
        return tuple(self._attributes.get("tags") or ())

    @tags.setter
    def tags(self, value: Sequence[str] | str | None) -> None:
        tags, wrong = split_tags(value)
        for tag in wrong:
            terminal.warn(
                f"The tag {tag[:80]!r} is left out: a tag has 1 to {MAX_TAG_CHARACTERS} characters."
            )
        self._set_attribute("tags", tags)

    @property
    def group(self) -> str:
        """The group; empty if none."""
        return str(self._attributes.get("group") or "")

    @property
    def job_type(self) -> str:
        """The role in its group; empty if none."""
        return str(self._attributes.get("job_type") or "")

    @property
    def config(self) -> Config:
        """What went in."""
        return self._config

    @property
    def config_static(self) -> StaticConfig:
        """The config of this moment, which does not change."""
        return StaticConfig(self._config)

    @property
    def summary(self) -> Summary:
        """One value per key for the whole run."""
        return self._summary

    @property
    def settings(self) -> Settings:
        """A copy of the settings in force."""
        return self._settings.copy()

    @property
    def step(self) -> int:
        """The step of the row that is open, or of the next one."""
        return self._step if self._is_placing else self._session.identity.start_step + self._step

    @property
    def starting_step(self) -> int:
        """The first step of this session."""
        return self._session.identity.start_step

    @property
    def start_time(self) -> float:
        """When this session began, Unix seconds."""
        return self._session.identity.start_time

    @property
    def resumed(self) -> bool:
        """Whether the run went on from an earlier session."""
        return self._session.identity.resumed

    @property
    def offline(self) -> bool:
        """Whether the mode is `offline`."""
        return self.mode == "offline"

    @property
    def disabled(self) -> bool:
        """Whether the mode is `disabled`: nothing is kept."""
        return self.mode == "disabled"

    @property
    def dir(self) -> str:
        """The run's folder for files."""
        if self._session.is_recorded:
            with contextlib.suppress(OSError):
                self._session.files.mkdir(exist_ok=True)
        return str(self._session.files)

    @property
    def sync_dir(self) -> str:
        """The folder of this session, with the run log in it."""
        return str(self._session.folder)

    @property
    def url(self) -> str | None:
        """Where the run is seen: on the server it is sent to, else on this machine's, if one runs."""
        return self._url(f"{self.entity}/{self.project}/runs/{self.id}")

    @property
    def project_url(self) -> str | None:
        """Where the project is seen, or None."""
        return self._url(f"{self.entity}/{self.project}")

    @property
    def sweep_id(self) -> None:
        """None: there are no sweeps yet."""
        return None

    @property
    def sweep_url(self) -> None:
        """None: there are no sweeps yet."""
        return None

    def project_name(self) -> str:
        """Return the project; an old name."""
        return self.project

    def get_url(self) -> str | None:
        """Return `url`; an old name."""
        return self.url

    def get_project_url(self) -> str | None:
        """Return `project_url`; an old name."""
        return self.project_url

    def get_sweep_url(self) -> None:
        """Return None; an old name."""

    # What is done with it

    def define_metric(
        self,
        name: str,
        step_metric: str | Metric | None = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        goal: str | None = None,
        overwrite: bool | None = None,
        **unknown: object,
    ) -> Metric:
        """Say what a metric means.

        Args:
            name: of the metric, or a glob with a trailing `*`.
            step_metric: the metric that is its x axis.
            step_sync: add the last value of `step_metric` to rows that lack it; on if there is one.
            hidden: no panel of its own.
            summary: `min`, `max`, `mean`, `last`, `first`, `best`, `copy` or `none`; several with commas.
            goal: `minimize` or `maximize`, for `best`.
            overwrite: replace an earlier definition in place of adding to it.

        Raises:
            EpochalError: the definition makes no sense.
            UsageError: the run is finished.
        """
        self._check_live("define_metric")
        say_unknown("define_metric", unknown)
        defined = metric.define(name, step_metric, step_sync, hidden, summary, goal, overwrite)
        self._record_definition(defined.to_record())
        self._synchronise(defined)
        return defined

    def save(
        self,
        glob_str: str | os.PathLike[str] | None = None,
        base_path: str | os.PathLike[str] | None = None,
        policy: str = "live",
        glob: bool = True,
    ) -> list[str]:
        """Put files into the run's folder and return their paths there.

        Args:
            glob_str: a path or a glob, expanded once, now.
            base_path: what of the path is not repeated below the run's folder; the file's own folder if None.
            policy: `live`, `now` or `end`; a file saved `live` or `end` is linked where that can be, so that
                what it holds at the end is what is kept.
            glob: False takes `glob_str` as the name of one file.
        """
        if glob_str is None or not self._session.is_recorded:
            return []
        from epochal.sdk import saved_files

        files = saved_files.save(self._session.files, Path(glob_str), base_path, policy, glob)
        for relative in files:
            self._record(RecordType.FILE, relative, policy)
        return [str(self._session.files / relative) for relative in files]

    def mark_preempting(self) -> None:
        """Say that this process is about to be taken away: a bad end is then `preempted`."""
        self._record_attributes({"preempting": True})

    def write_logs(self, text: str) -> None:
        """Add text to the console log."""
        self._record(RecordType.CONSOLE, "stdout", str(text))

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything logged is in the file; return whether that was reached in time."""
        deadline = time.monotonic() + timeout_s
        n_late = self._wait_for_devices(timeout_s)
        return self._log.flush(max(0.0, deadline - time.monotonic())) and n_late == 0

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """End the run.  A second call does nothing; in a forked child the run goes on in its parent.

        Args:
            exit_code: 0 for success, None for what can be seen of how the process is doing.
            quiet: print nothing.
        """
        if not self._is_finished:
            ending.finish(self, exit_code, bool(quiet))

    join = finish

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        ending.finish_with(self, error)

    def status(self) -> dict[str, object]:
        """Return what is known of the run's log: its file, its size in bytes, rows lost to a full disk."""
        log = self._log
        return {
            "path": str(getattr(log, "path", "")),
            "size": getattr(log, "size", 0),
            "lost_rows": log.lost_rows,
        }

    def display(self, height: int = 420, hidden: bool = False) -> bool:
        """Show the run in a notebook's cell; return whether there was anything to show."""
        del hidden
        if self.url is None:
            return False
        display = sys.modules.get("IPython.display")
        if display is None:
            return False
        display.display(display.IFrame(self.url, "100%", height))
        return True

    def to_html(self, height: int = 420, hidden: bool = False) -> str:
        """Return a frame with the run's page, for notebooks."""
        del hidden
        return (
            f'<iframe src="{self.url or ""}" style="border:none;width:100%;height:{int(height)}px"></iframe>'
        )

    # How it is kept

    @property
    def _is_placing(self) -> bool:
        return self._kind == RecordType.ROW

    def _record(self, kind: RecordType, *items: object) -> None:
        """Write a record that is not a row."""
        self._append(encode((int(kind), time.time(), *items)))

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
                ("late", self.id), f"The run is finished: its {name} does not change any more."
            )
        else:
            self._record_attributes({name: value})

    def _say_it_is_late(self, what: str) -> None:
        terminal.warn_once(
            ("late", what, self.id), f"The run is finished: its {what} does not change any more."
        )

    def _check_live(self, doing: str) -> None:
        if self._is_finished:
            self._refuse(doing)

    def _refuse(self, what: object = b"") -> NoReturn:
        doing = what if isinstance(what, str) else "log"
        raise UsageError(
            f"{doing}() came after finish(): the run {self.name} ({self.id}) is over.\n"
            f'To go on with it: epochal.init(project="{self.project}", id="{self.id}", resume="allow")'
        )

    def _url(self, path: str) -> str | None:
        if self.disabled or self.offline:
            return None
        if self._destination is not None:
            return f"{self._destination.base_url}/{path}"
        server = address_of_server(home(os.environ) / "server")
        return None if server is None else f"{server}/{path}"

    # Other processes

    def _become_foreign(self) -> None:
        """In a forked child: let go of the parent's file and locks.  The first record opens a new log."""
        self._become_unplaced()
        self._said = Said()
        self._is_foreign = True
        self._console_files = []
        self._log.abandon()
        self._session.forget()
        self._append = self._append_first

    def _append_first(self, payload: bytes) -> None:
        """Open this process's own run log and write its first record."""
        with self._lock:
            if self._append == self._append_first:
                try:
                    self._log = self._session.open_log("secondary", self._checkpoint)
                except OSError as error:
                    terminal.error_once("child log", f"A child process cannot write to the run: {error}")
                    self._append = _drop
                    return
                self._append = self._log.append
        self._append(payload)

    def __reduce__(self) -> tuple[Any, ...]:
        from epochal.sdk.attach import attach_to, state_of

        return attach_to, (state_of(self),)

    def __copy__(self) -> Run:
        return self

    def __deepcopy__(self, memo: object) -> Run:
        return self

    def __repr__(self) -> str:
        state = "finished" if self._is_finished else "live"
        return f"<epochal.Run {self.path} ({state})>"

    # Private names of the stock client that frameworks use

    @property
    def _attach_id(self) -> str:
        return self.id

    @property
    def _init_pid(self) -> int:
        return os.getpid()

    def _label(self, *args: object, **kwargs: object) -> None:
        """Nothing: code is not labelled."""

    def _set_config_wandb(self, key: str, value: object) -> None:
        """Nothing: the stock client's telemetry."""


def split_tags(value: Iterable[str] | str | None) -> tuple[list[str], list[str]]:
    """Return the tags in `value`, without repetitions, and those that cannot be one; a text is one tag."""
    given = [value] if isinstance(value, str) else [str(tag) for tag in value or ()]
    unique = list(dict.fromkeys(given))
    good = [tag for tag in unique if 0 < len(tag) <= MAX_TAG_CHARACTERS]
    return good, [tag for tag in unique if tag not in good]


def say_unknown(function: str, arguments: dict[str, object]) -> None:
    """Say once of each argument that nobody knows that it does nothing."""
    for name in arguments:
        terminal.info_once(
            ("argument", function, name),
            f"{function}() does not know the argument {name}; it changes nothing.",
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


def _drop(payload: bytes) -> None:
    """Take a record and do nothing with it."""


__all__ = ["Identity", "Run", "Session", "process", "say_unknown", "split_tags"]
