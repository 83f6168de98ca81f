"""Which run `init` begins or goes on with: what `resume` says about an id that is there, or is not.

A run is there if a session of it is in the runs folder of this machine, or if the server that the settings
name has it.  The server is asked only where `resume` was given, and never for long: one that does not answer
stops nobody, so what cannot be known is then taken as the harmless case.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from epochal.errors import UsageError
from epochal.ids import check_run_id, generate_id
from epochal.sdk import previous
from epochal.sdk.asking import Answer, ask
from epochal.sdk.previous import Previous
from epochal.sdk.settings import Settings
from epochal.sdk.terminal import terminal

if TYPE_CHECKING:
    from epochal.sdk.destination import Destination


class Beginning(NamedTuple):
    """How a run begins."""

    run_id: str
    earlier: Previous | None = None  # what its earlier sessions left, if this one goes on with it
    # It may go on with sessions that nothing is known of here, so its rows leave their steps to the server.
    is_step_unknown: bool = False


def choose(
    settings: Settings, folder: Path, project: str, entity: str | None, destination: Destination | None
) -> Beginning:
    """Return which run begins, and what its earlier sessions left if it goes on with it.

    Args:
        settings: of the run.
        folder: of this machine's runs.
        project: of the run.
        entity: of the run, None for the server's own choice.
        destination: the server that the run is sent to, if any.

    Raises:
        UsageError: `resume` is `must` and the run is not there, or `never` and it is.
    """
    run_id, resume = settings.run_id, settings.resume
    if resume == "auto" and not run_id:
        run_id = previous.remembered(folder, project)
    if not run_id:
        if resume == "must":
            raise UsageError('resume="must" needs the id of the run: init(id="…", resume="must")')
        return Beginning(generate_id())
    check_run_id(run_id)
    if settings.mode == "disabled":
        return Beginning(run_id)
    is_here = previous.exists(folder, run_id, project, entity)
    if resume is None:
        # In shared mode several writers of one run are meant.
        if is_here and settings.mode != "shared":
            _say_both(run_id, project, folder)
        return Beginning(run_id)
    answer = Answer()
    if destination is not None:
        answer = ask(destination, entity, project, run_id, settings.resume_timeout)
    if resume == "never":
        _refuse_a_run_that_is_there(run_id, project, folder, destination, answer, is_here=is_here)
        return Beginning(run_id)
    if is_here or answer.found is not None:
        if answer.trouble:
            _say_no_answer(
                run_id, destination, answer, "It goes on after the last step that is on this machine."
            )
        return Beginning(run_id, previous.read(folder, run_id, project, entity, answer.found))
    if answer.trouble:
        _say_no_answer(
            run_id, destination, answer, "If it is there, this goes on with it: rows get its next free steps."
        )
        return Beginning(run_id, is_step_unknown=True)
    if resume == "must":
        _refuse_a_run_that_is_not_there(run_id, project, folder, destination, settings)
    return Beginning(run_id)


def _refuse_a_run_that_is_there(
    run_id: str,
    project: str,
    folder: Path,
    destination: Destination | None,
    answer: Answer,
    *,
    is_here: bool,
) -> None:
    if is_here or answer.found is not None:
        where = f"in {folder}" if is_here or destination is None else f"on {destination.base_url}"
        raise UsageError(
            f'resume="never": the run {run_id} of the project {project} is {where} already.\n'
            'Choose another id, or go on with it: resume="allow".'
        )
    if answer.trouble:
        _say_no_answer(run_id, destination, answer, "It begins as a new run; if it is there, both are one.")


def _refuse_a_run_that_is_not_there(
    run_id: str, project: str, folder: Path, destination: Destination | None, settings: Settings
) -> None:
    nor = "" if destination is None else f", nor on {destination.base_url}"
    hint = ""
    if destination is None and settings.base_url and settings.mode == "offline":
        hint = "Offline, no server is asked. "
    raise UsageError(
        f'resume="must": there is no run {run_id} of the project {project} in {folder}{nor}.\n'
        f'{hint}Check id and project; resume="allow" begins the run if it is not there.'
    )


def _say_both(run_id: str, project: str, folder: Path) -> None:
    terminal.warn(
        f"The run {run_id} of the project {project} is in {folder} already. Both become one run;\n"
        "where their steps or config meet, the newer values hold. To go on after its last step:\n"
        'resume="allow"; for a run of its own: another id.'
    )


def _say_no_answer(run_id: str, destination: Destination | None, answer: Answer, what_now: str) -> None:
    server = "The server" if destination is None else destination.base_url
    terminal.warn(f"{server} does not say whether it has the run {run_id}: {answer.trouble}.\n{what_now}")
