"""`import epochal` is light: it goes into every training process, worker and test run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# What a script does with the package before it trains: the most modules that may come with it.  Measured on
# CPython 3.11: 10 and 100, the standard library's included.  Raise one only with a reason.
USES = {
    "import epochal": 25,
    "import epochal; epochal.init, epochal.log, epochal.finish, epochal.Settings": 130,
}

# The standard library's slow ones: each costs more than a tenth of what the whole import may take.
HEAVY = {
    "asyncio",
    "subprocess",
    "urllib.request",
    "http.client",
    "ssl",
    "email",
    "multiprocessing",
    "logging",
    "concurrent.futures",
    "unittest",
    "xml",
}

# msgspec looks for it by itself, and does without.
COMES_WITH_MSGSPEC = {"typing_extensions"}

SCRIPT = """
import json, sys, threading
before = set(sys.modules)
{use}
print(json.dumps([sorted(set(sys.modules) - before), threading.active_count()]))
"""


def load(use: str) -> tuple[set[str], int]:
    """Return the modules that `use` brings into a fresh Python, and the threads it has then.

    What a .pth file of the environment loads at start is there before, and not ours.
    """
    command = [sys.executable, "-c", SCRIPT.format(use=use)]
    new, n_threads = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return set(new), n_threads


@pytest.mark.parametrize("use", USES)
def test_epochal_brings_no_third_party_module_but_msgspec(use: str) -> None:
    tops = {name.partition(".")[0] for name in load(use)[0]}

    assert tops - sys.stdlib_module_names - {"epochal", "msgspec"} - COMES_WITH_MSGSPEC == set()


def test_the_import_alone_brings_no_third_party_module_at_all() -> None:
    tops = {name.partition(".")[0] for name in load("import epochal")[0]}

    assert tops - sys.stdlib_module_names == {"epochal"}


@pytest.mark.parametrize("use", USES)
def test_epochal_brings_none_of_the_heavy_standard_modules(use: str) -> None:
    assert load(use)[0] & HEAVY == set()


@pytest.mark.parametrize(("use", "most"), USES.items())
def test_epochal_brings_few_modules(use: str, most: int) -> None:
    new, _ = load(use)

    assert len(new) <= most, f"{len(new)} modules came: {sorted(new)}"


@pytest.mark.parametrize("use", USES)
def test_importing_epochal_starts_no_thread(use: str) -> None:
    assert load(use)[1] == 1


def test_the_sidecar_begins_without_what_most_runs_never_need() -> None:
    """It starts with every run, so that its start is a part of what a run costs."""
    unneeded = {"traceback", "urllib3", "zstandard", "epochal.sdk.later", "epochal.wire.build"}

    assert load("import epochal.sidecar.main")[0] & (unneeded | HEAVY - {"subprocess"}) == set()
