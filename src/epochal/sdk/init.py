"""`init`: begins a run.

Everything is made on this machine; what a server is to have, the sidecar sends.  Nothing is waited for, but
with `resume` for the server's word on the run, within a bound.  What cannot be done costs the recording, not
the training, except for arguments that make no sense, which raise.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.base.home import home
from epochal.errors import EpochalError, UsageError
from epochal.ids import DEFAULT_PROJECT, check_entity, check_project, generate_id
from epochal.sdk import ending, previous, resuming, session
from epochal.sdk.arguments import MAX_TAG_CHARACTERS, say_unknown, split_tags
from epochal.sdk.config import as_mapping, clean_key, from_yaml
from epochal.sdk.environment_variables import (
    NEVER_FROM_FOLDERS,
    settings_from_environment,
    settings_from_file,
)
from epochal.sdk.metric import Metric
from epochal.sdk.names import default_name
from epochal.sdk.previous import Previous
from epochal.sdk.process import process
from epochal.sdk.run import Run
from epochal.sdk.session import Identity, UnrecordedSession
from epochal.sdk.settings import Settings
from epochal.sdk.terminal import terminal

if TYPE_CHECKING:
    from epochal.sdk.destination import Destination

_ATTRIBUTES = {"name": "run_name", "notes": "run_notes", "group": "run_group", "job_type": "run_job_type"}


def init(
    entity: str | None = None,
    project: str | None = None,
    dir: str | os.PathLike[str] | None = None,
    id: str | None = None,
    name: str | None = None,
    notes: str | None = None,
    tags: Sequence[str] | str | None = None,
    config: object = None,
    config_exclude_keys: Sequence[str] | None = None,
    config_include_keys: Sequence[str] | None = None,
    allow_val_change: bool | None = None,
    group: str | None = None,
    job_type: str | None = None,
    mode: str | None = None,
    force: bool | None = None,
    reinit: bool | str | None = None,
    resume: bool | str | None = None,
    resume_from: str | None = None,
    fork_from: str | None = None,
    save_code: bool | None = None,
    tensorboard: bool | None = None,
    sync_tensorboard: bool | None = None,
    monitor_gym: bool | None = None,
    anonymous: str | None = None,
    settings: Settings | Mapping[str, object] | None = None,
    **unknown: object,
) -> Run:
    """Begin a run and return it; module-level names such as `epochal.log` then mean it.

    Args:
        entity: user or team.
        project: `uncategorized` if none is named here or in EPOCHAL_PROJECT or WANDB_PROJECT.
        dir: folder that gets a folder `epochal` with the run in it; $EPOCHAL_HOME/runs if None.
        id: permanent id; 8 random characters if None.
        name: label; two words and a number if None.
        notes: in Markdown.
        tags: 1 to 64 characters each; a text is one tag.
        config: a mapping, a namespace, absl flags, a dataclass, or the path of a YAML file.
        config_exclude_keys, config_include_keys: which keys of it to take.
        allow_val_change: config values may change; in notebooks they may anyway.
        group, job_type: what the run is shown under.
        mode: `online`, `offline`, `disabled` or `shared`.
        reinit: what to do while a run is live: `return_previous` (the default in scripts), `finish_previous`
            (in notebooks) or `create_new`; True means finish, False return.
        resume: `must`, `allow`, `never` or `auto` (True): what it means that the id exists.
        settings: further settings, as a `Settings` or a dict; the arguments above win.
        force, resume_from, fork_from, save_code, tensorboard, sync_tensorboard, monitor_gym, anonymous:
            accepted with one notice, as are arguments that nobody knows.

    Raises:
        UsageError: an argument makes no sense, or `resume` forbids what is asked for.
    """
    named = {
        "entity": entity,
        "project": project,
        "root_dir": None if dir is None else os.fspath(dir),
        "run_id": id,
        "run_name": name,
        "run_notes": notes,
        "run_tags": None if tags is None else [tags] if isinstance(tags, str) else tags,
        "allow_val_change": allow_val_change,
        "run_group": group,
        "run_job_type": job_type,
        "mode": mode,
        "force": force,
        "reinit": reinit,
        "resume": resume,
        "resume_from": resume_from,
        "fork_from": fork_from,
        "save_code": save_code,
        "sync_tensorboard": sync_tensorboard if sync_tensorboard is not None else tensorboard,
        "monitor_gym": monitor_gym,
        "anonymous": anonymous,
    }
    merged = merged_settings(settings, named)
    say_unknown("init", unknown)
    given = _config(merged, config, config_include_keys, config_exclude_keys)
    live = _previous_run(merged)
    if live is not None:
        live.config.update(given, allow_val_change=True)
        return live
    try:
        run = _begin(merged, given)
    except EpochalError:
        raise
    except Exception as error:  # noqa: BLE001  a fault of ours costs the recording, not the training
        terminal.internal("beginning a run; nothing is recorded", error)
        run = _unrecorded(merged, given)
    if merged.reinit != "create_new":
        process.set_current(run)
    return run


def merged_settings(
    settings: Settings | Mapping[str, object] | None, named: Mapping[str, object]
) -> Settings:
    """Return the settings in force: files, variables, `setup`, `settings` and `named`; the last one wins."""
    if not isinstance(settings, (Settings, Mapping, type(None))):
        raise UsageError(f"settings is a Settings or a dict, not {type(settings).__name__}")
    given = settings.given() if isinstance(settings, Settings) else dict(settings or {})
    environment = settings_from_environment(os.environ)
    _choose_volume(environment.given() | process.settings.given() | given)
    merged = settings_from_file(home(os.environ) / "settings")
    here = settings_from_file(Path("epochal", "settings"), without=NEVER_FROM_FOLDERS)
    for part in (here, environment, process.settings):
        merged._values.update(part._values)
        merged._unknown.update(part._unknown)
    merged.update(given)
    merged.update(named)
    _choose_volume(merged.as_dict())
    return merged


def _choose_volume(values: Mapping[str, object]) -> None:
    silent = Settings.silent.checked(values.get("silent"))
    quiet = Settings.quiet.checked(values.get("quiet")) or silent
    terminal.show_info = Settings.show_info.checked(values.get("show_info")) and not quiet
    terminal.show_warnings = Settings.show_warnings.checked(values.get("show_warnings")) and not silent
    terminal.show_errors = Settings.show_errors.checked(values.get("show_errors")) and not silent


def _config(
    settings: Settings,
    config: object,
    include: Sequence[str] | None,
    exclude: Sequence[str] | None,
) -> dict[str, object]:
    """Return the config from the files that are read unasked, the files that settings name, and `config`."""
    if include and exclude:
        raise UsageError("config_include_keys and config_exclude_keys exclude each other; give one of them")
    merged: dict[str, object] = {}
    defaults = Path("config-defaults.yaml")
    for path in (*([defaults] if defaults.is_file() else []), *map(Path, settings.config_paths)):
        merged.update(_config_file(path))
    own = {clean_key(key): value for key, value in as_mapping(config).items()}
    if include:
        own = {key: value for key, value in own.items() if key in include}
    merged.update({key: value for key, value in own.items() if key not in (exclude or ())})
    return merged


def _config_file(path: Path) -> dict[str, object]:
    """Return the config in a file that no argument names: one that cannot be read is said, and left out."""
    try:
        return from_yaml(path)
    except UsageError as error:
        terminal.warn_once(("config file", path), f"{error}; it is left out")
        return {}


def _previous_run(settings: Settings) -> Run | None:
    """Return the live run that this call means, after finishing it if that is what is asked for."""
    live = process.current
    # In a forked child the parent's run goes on, but an init() of the child's own means another one.
    if live is None or live._is_foreign or settings.reinit == "create_new":
        return None
    choice = settings.reinit
    if choice == "default":
        choice = "finish_previous" if in_notebook() else "return_previous"
    if choice == "finish_previous":
        live.finish()
        return None
    terminal.info_once(
        ("return previous", live.id),
        f"init() returns the run {live.name}, which is live; "
        "reinit='finish_previous' or 'create_new' begins another.",
    )
    return live


def _begin(settings: Settings, config: dict[str, object]) -> Run:
    folder = session.runs_folder(settings)
    project = check_project(settings.project) if settings.project else DEFAULT_PROJECT
    entity = check_entity(settings.entity) if settings.entity else None
    destination = _destination(settings)
    beginning = resuming.choose(settings, folder, project, entity, destination)
    run_id, earlier = beginning.run_id, beginning.earlier
    attributes = _attributes(settings, earlier, project)
    identity = Identity(
        run_id=run_id,
        project=project,
        entity=entity,
        mode=settings.mode,
        start_time=time.time(),
        start_step=0 if earlier is None else earlier.next_step,
        resumed=earlier is not None,
        label=settings.x_label,
        is_step_unknown=beginning.is_step_unknown,
    )
    if settings.allow_val_change is None:
        settings.update({"allow_val_change": in_notebook()})
    run = _make(identity, settings, attributes, folder)
    if run._session.is_recorded:
        run._destination = destination
        if earlier is not None:
            run._session.go_on_from(earlier.summary)
    run._began_here = True
    _fill(run, attributes, config, earlier)
    process.begin(run)
    if run._session.is_recorded:
        ending.watch(run)
        _greet(run)
        if settings.resume == "auto":
            previous.remember(folder, project, run_id)
    return run


def _destination(settings: Settings) -> Destination | None:
    if not settings.base_url:
        return None
    from epochal.sdk.destination import destination_of  # slow to import, and not needed without a server

    return destination_of(settings, home(os.environ))


def _make(identity: Identity, settings: Settings, attributes: dict[str, Any], folder: Path) -> Run:
    is_primary = identity.mode != "shared" or settings.x_primary
    if identity.mode != "disabled":
        try:
            made = session.create(identity, settings, folder)
            return Run(made, settings, attributes, is_primary=is_primary)
        except OSError as error:
            terminal.error(
                f"The run cannot be kept anywhere ({error}): your script goes on, nothing is recorded."
            )
    return Run(UnrecordedSession(identity), settings, attributes, is_primary=is_primary)


def _unrecorded(settings: Settings, config: dict[str, object]) -> Run:
    identity = Identity(
        run_id=generate_id(), project=DEFAULT_PROJECT, entity=None, mode="disabled", start_time=time.time()
    )
    run = Run(UnrecordedSession(identity), settings, {})
    run.config.update(config, allow_val_change=True)
    process.begin(run)
    return run


def _fill(run: Run, attributes: dict[str, Any], config: dict[str, object], earlier: Previous | None) -> None:
    """Write the first records: what the run is called, and what went in."""
    if earlier is not None:
        run.config._items.update(earlier.config)
        for definition in earlier.definitions.values():
            run._synchronise(Metric(definition))
        run._step_sync.go_on_from(earlier.step_metrics)
    if not run._is_primary and not run._settings.run_name:
        attributes = {k: v for k, v in attributes.items() if k != "name"}  # The main writer's holds.
    if said := {k: v for k, v in attributes.items() if v is not None}:
        run._record_attributes(said)
    if config:
        # A resumed run may be given another config on purpose: the newest holds.
        run.config.update(config, allow_val_change=True)


def _attributes(settings: Settings, earlier: Previous | None, project: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {} if earlier is None else dict(earlier.attributes)
    attributes.pop("preempting", None)
    for name, setting in _ATTRIBUTES.items():
        value = getattr(settings, setting)
        if value is not None:
            attributes[name] = value
    tags, wrong = split_tags(settings.run_tags)
    if wrong:
        raise UsageError(
            f"a tag has 1 to {MAX_TAG_CHARACTERS} characters; {wrong[0][:80]!r} has {len(wrong[0])}"
        )
    if tags:
        attributes["tags"] = tags
    if not attributes.get("name"):
        attributes["name"] = default_name(project, home(os.environ))
    return attributes


def _greet(run: Run) -> None:
    if not terminal.show_info:
        return
    word = "Resuming run" if run.resumed else "Run"
    where = run.url or (
        "epochal ui" if not run.offline else f"epochal ui, or send it: epochal sync {run.sync_dir}"
    )
    terminal.info(
        f"{word} {run.name} ({run.id}) of the project {run.project}, kept in {run._session.folder}\n"
        f"See it live: {where}"
    )


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return False
    shell = ipython.get_ipython()
    return shell is not None and type(shell).__name__ != "TerminalInteractiveShell"
