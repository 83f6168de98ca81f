"""However a training process lives and ends: its exit code is its own, every row is there once, nothing
hangs, and nothing is left of it ten seconds later.

Once each in the short form; `make drills` does it 200 times, a third each without a server, with one, and
with one that is down, and prints a table.  DRILL_REPETITIONS=N takes another number, DRILL_CASES=WORD only
the cases with that word in their name.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.drills.life import Case, Verdict, run_case
from tests.drills.life_cases import CASES
from tests.drills.server_kill import Server

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="not run: reads /proc")]

IS_FULL = os.environ.get("DRILLS") == "full"
N_REPETITIONS = int(os.environ.get("DRILL_REPETITIONS", "200" if IS_FULL else "1"))
KINDS = ("hang", "code", "lost", "twice", "zombie", "orphan", "server", "noise")
SERVERS = ("no server", "a server", "a server that is down")
# What is little but waiting can be done beside more of its kind.
N_AT_ONCE = {"no server": 3, "a server": 3, "a server that is down": 12}
# All of them wait for a server at their end in the same way, so a few tell as much in the short form.
SHORT_WITHOUT_SERVER = ("SIG", "fork", "atexit", "threads", "row")
# Torch takes ten seconds to import on a small machine; test_forks.py has more of them.
SHORT_LOADERS = ("DataLoader, persistent, init before",)

Result = tuple[Case, Verdict]


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.timeout(6 * 3600 if IS_FULL else 240)
def test_every_life_of_a_training_process_ends_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    with _server(kind, tmp_path) as (server, url):
        jobs = [(case, number) for number in range(_n_repetitions(kind)) for case in _cases(kind)]

        def run(job: tuple[Case, int]) -> Result:
            case, number = job
            folder = tmp_path / f"{CASES.index(case)}-{number}"
            return case, run_case(case, folder, server=server, url=url)

        with ThreadPoolExecutor(N_AT_ONCE[kind]) as pool:
            results = list(pool.map(run, jobs))

    if IS_FULL:
        with capsys.disabled():
            print(f"\n{_table(kind, results)}")
    assert not [f"{case.name}: {fault}" for case, verdict in results for fault in verdict.faults]


def test_the_drill_sees_what_is_wrong(tmp_path: Path) -> None:
    """Its judgement is worth something: a script that does everything wrong is found out."""
    script = """
import subprocess
init()
log(0)
os.write(said, b"= p0 5\\n")
wandb.log({"p1": 1})
if os.fork() == 0:
    os._exit(0)
time.sleep(0.2)
subprocess.Popen(["sleep", "60"], start_new_session=True)
sys.exit(3)
"""
    verdict = run_case(Case("all wrong", script), tmp_path / "job", server=None, url=None)

    assert verdict.kinds() == {"code", "lost", "twice", "zombie", "orphan"}, verdict.faults


class _server:  # noqa: N801  reads as a statement
    """A real server, none, or the address of one that is gone."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._server = None
        self._url = None
        if kind == "a server":
            (folder / "server").mkdir()
            self._server = Server(folder / "server")
            self._url = self._server.url
        elif kind == "a server that is down":
            # Bound and not listening, so that nobody else gets the number meanwhile.
            self._bound = socket.socket()
            self._bound.bind(("127.0.0.1", 0))
            self._url = f"http://127.0.0.1:{self._bound.getsockname()[1]}"

    def __enter__(self) -> tuple[Server | None, str | None]:
        return self._server, self._url

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        elif self._url is not None:
            self._bound.close()


def _n_repetitions(kind: str) -> int:
    n_more = N_REPETITIONS % len(SERVERS)
    return max(1, N_REPETITIONS // len(SERVERS) + (SERVERS.index(kind) < n_more))


def _cases(kind: str) -> Iterator[Case]:
    for case in CASES:
        is_loader = "DataLoader" in case.name
        if case.imports and importlib.util.find_spec(case.imports) is None:
            if IS_FULL:
                pytest.skip(f"not run: {case.imports} is not installed")
            continue
        if os.environ.get("DRILL_CASES", "") not in case.name:
            continue
        if not IS_FULL and is_loader and (case.name not in SHORT_LOADERS or kind != "a server"):
            continue
        is_few = kind == "a server that is down" and not IS_FULL
        if not is_few or any(word in case.name for word in SHORT_WITHOUT_SERVER):
            yield case


def _table(kind: str, results: list[Result]) -> str:
    """Return the counts of each kind of fault by case, and the longest times."""
    by_case: dict[str, list[Verdict]] = {}
    for case, verdict in results:
        by_case.setdefault(case.name, []).append(verdict)
    width = max(map(len, by_case))
    lines = [f"{kind:{width}} {'times':>6} " + " ".join(f"{k:>6}" for k in (*KINDS, "most s", "left s"))]
    for name, verdicts in by_case.items():
        counts = Counter(k for verdict in verdicts for k in verdict.kinds())
        longest = [max(map(get, verdicts)) for get in _TIMES]
        cells = [f"{counts[k]:6}" for k in KINDS] + [f"{seconds:6.1f}" for seconds in longest]
        lines.append(f"{name:{width}} {len(verdicts):6} " + " ".join(cells))
    return "\n".join(lines)


_TIMES: tuple[Callable[[Verdict], float], ...] = (lambda v: v.seconds, lambda v: v.leave_s)
