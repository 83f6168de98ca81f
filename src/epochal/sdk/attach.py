"""A run in a process that did not begin it: unpickled in a worker, or attached to by its id."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from epochal.base.home import home
from epochal.errors import RunLogError, UsageError
from epochal.runlog.folder import SUFFIX, runs_folders, sessions_of
from epochal.runlog.format import Header
from epochal.runlog.reader import RunLogReader
from epochal.sdk.process import process
from epochal.sdk.run import Run
from epochal.sdk.session import Identity, Session, UnrecordedSession, buffer_bytes, runs_folder
from epochal.sdk.settings import Settings

State = dict[str, Any]


def state_of(run: Run) -> State:
    """Return what another process needs to attach to `run`, as plain data."""
    return {
        "identity": msgspec.to_builtins(run._session.identity),
        "folder": str(run._session.folder) if run._session.is_recorded else None,
        "settings": run._settings.given(),
        "attributes": run._attributes,
        "config": run.config.as_dict(),
    }


def attach_to(state: State) -> Run:
    """Return the run that `state_of` described: the same object in its own process, else another writer."""
    identity = msgspec.convert(state["identity"], Identity)
    folder = None if state["folder"] is None else Path(state["folder"])
    for run in process.live():
        if run.id == identity.run_id and folder in (None, run._session.folder):
            return run
    settings = Settings()
    settings._values.update({k: v for k, v in state["settings"].items() if k in settings.as_dict()})
    session = (
        UnrecordedSession(identity) if folder is None else Session(identity, folder, buffer_bytes(settings))
    )
    run = Run(session, settings, dict(state["attributes"]), is_primary=False)
    run.config._items.update(state["config"])
    process.begin(run)
    if process.current is None:
        process.set_current(run)
    return run


def attach(run_id: str | None = None, **also: object) -> Run:
    """Return the live or newest run with the id, for a process that did not begin it.

    Args:
        run_id: as `run.id`; also accepted as `attach_id`.

    Raises:
        UsageError: no run with this id is on this machine.
    """
    wanted = run_id or also.get("attach_id")
    for run in process.live():
        if run.id == wanted:
            return run
    places = [runs_folder(process.settings), *runs_folders(home(os.environ))]
    sessions = [folder for place in dict.fromkeys(places) for folder in sessions_of(place, str(wanted))]
    for folder in sorted(sessions, key=lambda f: f.name, reverse=True):
        header = _header_in(folder)
        if header is not None:
            return attach_to(_state_from(header, folder))
    raise UsageError(f"no run with the id {wanted!r} was found on this machine to attach to")


def _header_in(folder: Path) -> Header | None:
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            with RunLogReader(path) as reader:
                if reader.header.kind == "primary":
                    return reader.header
        except (OSError, RunLogError):
            continue
    return None


def _state_from(header: Header, folder: Path) -> State:
    names = ("run_id", "project", "entity", "mode", "start_time", "start_step", "resumed", "label")
    identity = {name: getattr(header, name) for name in names}
    return {"identity": identity, "folder": str(folder), "settings": {}, "attributes": {}, "config": {}}
