"""GET /api/values: what a run logged for a key that is no number."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from epochal.errors import UsageError
from epochal.server.history_formats import as_json
from epochal.server.lookup import find_run
from epochal.server.parameters import ValuesParameters, read_parameters
from epochal.server.services import Services, services_of
from epochal.store.metrics.contract import ValueType

MAX_VALUES = 1000
MAX_STEPS = 100_000
MAX_BYTES = 4 << 20
_DEFAULT_VALUES = 100
_DEFAULT_STEPS = 10_000


class ValueShown(msgspec.Struct, frozen=True):
    """A value."""

    step: int
    time: float
    type: ValueType
    value: object


class ValuesAnswer(msgspec.Struct, frozen=True):
    """Body of the answer."""

    key: str
    values: list[ValueShown]
    next: int | None  # the `first_step` to go on with


class StepsAnswer(msgspec.Struct, frozen=True):
    """Body of the answer to `only=steps`."""

    key: str
    steps: list[int]
    times: list[float]
    next: int | None


async def values(request: Request) -> Response:
    """Return values of a key, or only their steps."""
    services, asked = services_of(request), read_parameters(request, ValuesParameters)
    most = MAX_VALUES if asked.only is None else MAX_STEPS
    if asked.limit is not None and not 1 <= asked.limit <= most:
        raise UsageError(f"`limit` is {asked.limit}; one request returns 1 to {most:,}")
    answer = await services.workers.run(request, _read, services, asked)
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _read(services: Services, asked: ValuesParameters) -> ValuesAnswer | StepsAnswer:
    project, run = find_run(services, asked.entity, asked.project, asked.run)
    first, last = asked.first_step, asked.last_step
    with services.stores.use(project.store_file) as store:
        if asked.only == "steps":
            limit = asked.limit or _DEFAULT_STEPS
            steps, times, following = store.value_steps(
                run.run_id, asked.key, stream=asked.stream, first_step=first, last_step=last, limit=limit
            )
            return StepsAnswer(asked.key, steps.tolist(), times.tolist(), following)
        found, following = store.values(
            run.run_id,
            asked.key,
            stream=asked.stream,
            first_step=first,
            last_step=last,
            limit=asked.limit or _DEFAULT_VALUES,
            max_bytes=MAX_BYTES,
        )
    shown = [ValueShown(v.step, v.time, v.type, as_json(v.value)) for v in found]
    return ValuesAnswer(asked.key, shown, following)
