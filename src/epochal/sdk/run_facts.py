"""The part of a run that answers: what it is called, where it is, what went in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from epochal.base.home import home
from epochal.errors import UsageError
from epochal.ids import DEFAULT_ENTITY
from epochal.sdk import sidecar_process
from epochal.sdk.arguments import MAX_TAG_CHARACTERS, split_tags
from epochal.sdk.config import Config, StaticConfig
from epochal.sdk.run_records import RunRecords
from epochal.sdk.server_address import address_of_server
from epochal.sdk.settings import Settings
from epochal.sdk.summary import Summary
from epochal.sdk.terminal import terminal

if TYPE_CHECKING:
    from epochal.sdk.destination import Destination


class RunFacts(RunRecords):
    """Names, addresses, config and summary of a run."""

    _settings: Settings
    _config: Config
    _summary: Summary
    _destination: Destination | None  # the server that the run is sent to

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

    def _url(self, path: str) -> str | None:
        if self.disabled or self.offline:
            return None
        if self._destination is not None:
            return f"{self._destination.base_url}/{path}"
        server = address_of_server(home(os.environ) / "server")
        return None if server is None else f"{server}/{path}"

    def _check_live(self, doing: str) -> None:
        if self._is_finished:
            self._refuse(doing)

    def _refuse(self, what: object = b"") -> NoReturn:
        doing = what if isinstance(what, str) else "log"
        raise UsageError(
            f"{doing}() came after finish(): the run {self.name} ({self.id}) is over.\n"
            f'To go on with it: epochal.init(project="{self.project}", id="{self.id}", resume="allow")'
        )
