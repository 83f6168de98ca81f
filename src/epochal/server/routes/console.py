"""GET /api/console: what a run printed."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from epochal.errors import UsageError
from epochal.ids import RunId
from epochal.server.lookup import find_run
from epochal.server.parameters import ConsoleParameters, read_parameters
from epochal.server.services import Services, services_of
from epochal.store.metrics.contract import ConsoleLine, MetricStore

MAX_LINES = 10_000
MAX_SEARCHED_LINES = 100_000  # by one request
_LINES_A_TURN = 5000


class ConsoleAnswer(msgspec.Struct, frozen=True):
    """Body of the answer."""

    lines: list[ConsoleLine]
    next: int  # to go on behind these lines: `after` = next - 1
    total: int  # lines of the run


async def console(request: Request) -> Response:
    """Return lines of a run's console log, in order."""
    services, asked = services_of(request), read_parameters(request, ConsoleParameters)
    if not 1 <= asked.limit <= MAX_LINES:
        raise UsageError(f"`limit` is {asked.limit}; one request returns 1 to {MAX_LINES} lines")
    answer = await services.workers.run(request, _read, services, asked)
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _read(services: Services, asked: ConsoleParameters) -> ConsoleAnswer:
    project, run = find_run(services, asked.entity, asked.project, asked.run)
    with services.stores.use(project.store_file) as store:
        if asked.search or asked.label is not None:
            return _search(store, run.run_id, asked)
        lines, total = store.console(run.run_id, after=asked.after, before=asked.before, limit=asked.limit)
    following = lines[-1].sequence + 1 if lines else (asked.after + 1 if asked.after is not None else total)
    return ConsoleAnswer(lines, following, total)


def _search(store: MetricStore, run: RunId, asked: ConsoleParameters) -> ConsoleAnswer:
    """Return the first lines with the text and of the writer, of those that one request may look at."""
    text = (asked.search or "").casefold()
    found: list[ConsoleLine] = []
    following, total = max(0, -1 if asked.after is None else asked.after + 1), 0
    for _ in range(0, MAX_SEARCHED_LINES, _LINES_A_TURN):
        lines, total = store.console(run, after=following - 1, before=asked.before, limit=_LINES_A_TURN)
        for line in lines:
            following = line.sequence + 1
            if asked.label not in (None, line.label):
                continue
            if text in line.text.casefold():
                found.append(line)
                if len(found) == asked.limit:
                    return ConsoleAnswer(found, following, total)
        if len(lines) < _LINES_A_TURN:
            break
    return ConsoleAnswer(found, following, total)
