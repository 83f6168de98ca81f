"""Every setting, declared once: its default, how text is read into it, and one line of help.

The page docs/reference/settings.md is generated from this list.  Names are those of the stock client, so
that its scripts run; where an old and a new spelling exist, both act.  A name that is not here is accepted
with one notice: a script must not stop for a setting that we do not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar, overload

from epochal.errors import UsageError
from epochal.sdk.terminal import terminal

T = TypeVar("T")

MIN_SAMPLING_INTERVAL_S = 0.1
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off", ""})


class Setting(Generic[T]):
    """One setting: a descriptor that reads its value, checked, from the `Settings` it belongs to."""

    def __init__(
        self, default: T, parse: Callable[[object], T], help_text: str, *, acts: bool = True
    ) -> None:
        self.default = default
        self.parse = parse
        self.help_text = help_text
        self.acts = acts  # False: accepted for compatibility, and said so once
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, settings: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, settings: Settings, owner: type) -> T: ...
    def __get__(self, settings: Settings | None, owner: type) -> Setting[T] | T:
        if settings is None:
            return self
        return settings._values.get(self.name, self.default)  # type: ignore[return-value]

    def __set__(self, settings: Settings, value: object) -> None:
        settings._values[self.name] = self.checked(value)

    def checked(self, value: object) -> T:
        """Return `value` as this setting holds it.

        Raises:
            UsageError: it cannot be read as one.
        """
        if value is None:
            return self.default
        try:
            return self.parse(value)
        except (ValueError, TypeError) as error:
            raise UsageError(f"the setting {self.name} cannot be {value!r}: {error}") from error


def text(value: object) -> str | None:
    """Read a text; other values become their text."""
    return value if isinstance(value, str) else str(value)


def flag(value: object) -> bool:
    """Read true or false, also from words and numbers."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise ValueError("it is neither true nor false")
    return bool(value)


def seconds(value: object) -> float:
    """Read a number of seconds, not negative."""
    number = float(value)  # type: ignore[arg-type]
    if not number >= 0:
        raise ValueError("a time is not negative")
    return number


def count(value: object) -> int:
    """Read a number of things, not negative."""
    number = int(value)  # type: ignore[call-overload]
    if number < 0:
        raise ValueError("a count is not negative")
    return int(number)


def words(value: object) -> tuple[str, ...]:
    """Read a list of texts; one text is split at its commas."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    if isinstance(value, Iterable):
        return tuple(str(word) for word in value)
    raise ValueError("it is not a list of texts")


def anything(value: object) -> object:
    """Take what is given."""
    return value


def choice(*allowed: str, **spellings: str) -> Callable[[object], str]:
    """Return a reader of one of the words `allowed`, also under old `spellings`."""

    def read(value: object) -> str:
        word = str(value).strip().lower()
        word = spellings.get(word, word)
        if word not in allowed:
            raise ValueError(f"it is one of {', '.join(allowed)}")
        return word

    return read


def _rate(value: object) -> float:
    number = float(value)  # type: ignore[arg-type]
    if not 0 <= number < float("inf"):
        raise ValueError("a rate is not negative")
    return number


def _sampling_interval(value: object) -> float:
    return max(MIN_SAMPLING_INTERVAL_S, seconds(value))


def _resume(value: object) -> str | None:
    if isinstance(value, bool):
        return "auto" if value else None
    word = str(value).strip().lower()
    if word in ("", "false", "none"):
        return None
    return choice("must", "allow", "never", "auto", true="auto")(word)


def _reinit(value: object) -> str:
    if isinstance(value, bool):
        return "finish_previous" if value else "return_previous"
    return choice(
        "default",
        "return_previous",
        "finish_previous",
        "create_new",
        true="finish_previous",
        false="return_previous",
    )(value)


_mode = choice("online", "offline", "disabled", "shared", dryrun="offline", run="online")
_console = choice("auto", "off", "redirect", "wrap", "wrap_raw", "wrap_emu")

# Old spellings that act.  A leading underscore stands for the twin that begins with x_.
ALIASES = {
    "_stats_sample_rate_seconds": "x_stats_sampling_interval",
    "x_stats_sample_rate_seconds": "x_stats_sampling_interval",
    "_internal_queue_size": "x_internal_queue_size",
    "_service_wait": "x_service_wait",
    "wandb_dir": "root_dir",
    "name": "run_name",
    "notes": "run_notes",
    "tags": "run_tags",
    "group": "run_group",
    "run_job_type": "run_job_type",
    "job_type": "run_job_type",
    "dir": "root_dir",
    "id": "run_id",
}


class Settings:
    """What a run is told to do differently.  `Settings(name=value, …)`, or a plain dict in its place.

    Unknown names are accepted with one notice and kept; a value that cannot be read raises `UsageError`.
    """

    # What is run
    project = Setting[str | None](None, text, "Project that the run belongs to; `uncategorized` if none.")
    entity = Setting[str | None](None, text, "User or team that the project belongs to.")
    run_id = Setting[str | None](None, text, "Permanent id of the run; 8 random characters if none.")
    run_name = Setting[str | None](None, text, "Label of the run; two words and a number if none.")
    run_notes = Setting[str | None](None, text, "Notes in Markdown.")
    run_tags = Setting[tuple[str, ...]](
        (), words, "Tags, 1 to 64 characters each; in a variable with commas."
    )
    run_group = Setting[str | None](None, text, "Group that the run is shown under.")
    run_job_type = Setting[str | None](None, text, "Role of the run in its group, such as `train` or `eval`.")
    mode = Setting[str]("online", _mode, "`online`, `offline`, `disabled` or `shared`.")
    resume = Setting[str | None](
        None, _resume, "`must`, `allow`, `never` or `auto`: what an existing id means."
    )
    resume_from = Setting[str | None](None, text, "`<run id>?_step=<n>`: rewind.", acts=False)
    fork_from = Setting[str | None](None, text, "`<run id>?_step=<n>`: fork.", acts=False)
    reinit = Setting[str](
        "default",
        _reinit,
        "What `init` does while a run is live: `return_previous`, `finish_previous` or `create_new`.",
    )
    allow_val_change = Setting[bool | None](None, flag, "Config values may change; on in notebooks.")
    force = Setting[bool](False, flag, "Fail if not logged in.", acts=False)
    anonymous = Setting[str | None](None, text, "Anonymous accounts.", acts=False)

    # Where it is kept
    root_dir = Setting[str | None](None, text, "Folder that gets the folder `epochal` with the run in it.")
    base_url = Setting[str | None](
        None, text, "Address of the server that runs are sent to; `epochal login` sets it."
    )
    api_key = Setting[str | None](None, text, "Key for that server, where `epochal login` kept none.")
    x_upload_bytes_per_second = Setting[float](
        0.0, _rate, "Bytes per second that sending may take at most; 0 for no cap."
    )
    config_paths = Setting[tuple[str, ...]]((), words, "YAML files that config is read from first.")
    ignore_globs = Setting[tuple[str, ...]]((), words, "Files that are not uploaded.", acts=False)

    # What is recorded beside the rows
    console = Setting[str](
        "auto",
        _console,
        "`off` records no console output. `redirect` also records what C code and other programs print, "
        "where standard output is a regular file. Every other word records what Python prints.",
    )
    disable_git = Setting[bool](False, flag, "Do not record the git commit and remote.")
    disable_code = Setting[bool](False, flag, "Do not save code.", acts=False)
    save_code = Setting[bool | None](None, flag, "Save the main script with the run.", acts=False)
    program = Setting[str | None](None, text, "Path of the main script, where it cannot be found out.")
    host = Setting[str | None](None, text, "Name of this machine, in place of its own.")
    notebook_name = Setting[str | None](None, text, "Path of the notebook.")
    sync_tensorboard = Setting[bool](False, flag, "Log what TensorBoard writers write.", acts=False)
    monitor_gym = Setting[bool](False, flag, "Log the videos of gym.", acts=False)
    x_disable_stats = Setting[bool](False, flag, "No system metrics.")
    x_stats_sampling_interval = Setting[float](
        15.0, _sampling_interval, "Seconds between samples of system metrics; 0.1 at least."
    )
    x_stats_pid = Setting[int | None](None, count, "Process whose use of the machine is measured.")
    x_stats_disk_paths = Setting[tuple[str, ...]](("/",), words, "File systems whose use is measured.")
    x_stats_gpu_device_ids = Setting[object](None, anything, "GPUs that are measured.")
    x_disable_meta = Setting[bool](False, flag, "Record no metadata of the machine and the program.")
    x_disable_machine_info = Setting[bool](False, flag, "Record no facts of the machine.")
    x_save_requirements = Setting[bool](True, flag, "Record the installed packages.")

    # Several writers
    x_label = Setting[str | None](None, text, "Name of this writer in shared mode.")
    x_primary = Setting[bool](True, flag, "Whether this writer is the main one in shared mode.")
    x_update_finish_state = Setting[bool](True, flag, "Whether this writer's end is the run's end.")

    # Limits
    x_internal_queue_size = Setting[int](
        10_000,
        count,
        "Rows that may wait in memory while the disk refuses or is slow, counted as 6,711 bytes each.",
    )
    finish_timeout = Setting[float](
        10.0,
        seconds,
        "Seconds without progress after which `finish` stops waiting for a device, a slow disk or a server.",
    )
    finish_total_timeout = Setting[float](
        14.0,
        seconds,
        "Seconds after which `finish` stops waiting for a server even though that is taking rows.",
    )
    resume_timeout = Setting[float](
        10.0,
        seconds,
        "Seconds that `init` waits, with `resume`, for the server's word on the run.",
    )
    init_timeout = Setting[float](90.0, seconds, "Accepted; see `resume_timeout`.", acts=False)
    summary_timeout = Setting[float](60.0, seconds, "Accepted; the summary is read from a file.", acts=False)

    # What is printed
    quiet = Setting[bool](False, flag, "Print warnings and errors only.")
    silent = Setting[bool](False, flag, "Print nothing.")
    show_info = Setting[bool](True, flag, "Print what is not a warning.")
    show_warnings = Setting[bool](True, flag, "Print warnings.")
    show_errors = Setting[bool](True, flag, "Print errors.")
    max_end_of_run_history_metrics = Setting[int](10, count, "Metrics drawn when a run ends.")
    max_end_of_run_summary_metrics = Setting[int](10, count, "Summary values printed when a run ends.")
    strict = Setting[bool](False, flag, "Accepted; nothing is dropped, so nothing is refused.", acts=False)

    # Of the stock client's helper and its transport: nothing here corresponds to them.
    start_method = Setting[str | None](None, text, "Accepted; there is no method to choose.", acts=False)
    login_timeout = Setting[float | None](None, seconds, "Accepted; nothing waits for a login.", acts=False)
    heartbeat_seconds = Setting[float](10.0, seconds, "Accepted; the sidecar beats every 10 s.", acts=False)
    disable_job_creation = Setting[bool](True, flag, "Accepted; no jobs are made.", acts=False)
    label_disable = Setting[bool](True, flag, "Accepted; code is not labelled.", acts=False)
    x_service_wait = Setting[float](30.0, seconds, "Accepted; no service is waited for.", acts=False)
    x_executable = Setting[str | None](None, text, "Accepted; the sidecar runs on this Python.", acts=False)
    x_file_stream_transmit_interval = Setting[float](
        15.0, seconds, "Accepted; rows are on the disk at once.", acts=False
    )

    def __init__(self, **values: object) -> None:
        self._values: dict[str, object] = {}
        self._unknown: dict[str, object] = {}
        self.update(values)

    def update(self, values: Mapping[str, object]) -> None:
        """Take over `values` by name; None leaves a setting as it is.

        Raises:
            UsageError: a value cannot be read.
        """
        for name, value in values.items():
            if value is not None:
                self._set(name, value)

    def given(self) -> dict[str, object]:
        """Return what was set, by name, without defaults."""
        return {**self._values, **self._unknown}

    def as_dict(self) -> dict[str, object]:
        """Return every setting by name, defaults included, and the unknown ones given."""
        known = {name: self._values.get(name, setting.default) for name, setting in SETTINGS.items()}
        return {**known, **self._unknown}

    to_dict = as_dict

    def copy(self) -> Settings:
        """Return an independent copy."""
        twin = Settings()
        twin._values = dict(self._values)
        twin._unknown = dict(self._unknown)
        return twin

    def _set(self, name: str, value: object) -> None:
        known = setting_name(name)
        if known is None:
            terminal.info_once(
                ("unknown setting", name), f"The setting {name} is not known to Epochal; it changes nothing."
            )
            self._unknown[name] = value
            return
        setting = SETTINGS[known]
        self._values[known] = setting.checked(value)
        if not setting.acts:
            terminal.info_once(
                ("idle setting", known),
                f"The setting {name} is accepted and changes nothing: {setting.help_text}",
            )

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or name in ("_values", "_unknown"):
            raise AttributeError(name)
        known = setting_name(name)
        if known is not None:
            return getattr(self, known)
        if name in self._unknown:
            return self._unknown[name]
        raise AttributeError(f"no setting is called {name}")

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("_values", "_unknown"):
            object.__setattr__(self, name, value)
        else:
            self._set(name, value)

    def __repr__(self) -> str:
        shown = {k: "…" if k == "api_key" else v for k, v in self.given().items()}
        return f"Settings({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


SETTINGS: dict[str, Setting[object]] = {
    name: value for name, value in vars(Settings).items() if isinstance(value, Setting)
}
"""Every setting by its name, in the order of the documentation."""


def setting_name(name: str) -> str | None:
    """Return the setting that `name`, in any of its spellings, stands for; None if there is none."""
    if name in SETTINGS:
        return name
    if name in ALIASES:
        return ALIASES[name]
    twin = "x" + name if name.startswith("_") else ""
    return twin if twin in SETTINGS else None
