"""`import epochal` is light: it goes into every training process, worker and test run."""

from __future__ import annotations

import json
import subprocess
import sys

# The measured number on CPython 3.11 is written beside each limit; raise one only with a reason.
MOST_MODULES = 220  # all modules, those Python loads by itself included

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
}

SCRIPT = """
import json, sys
before = set(sys.modules)
import epochal
print(json.dumps([sorted(before), sorted(sys.modules)]))
"""


def modules_after_import() -> tuple[set[str], set[str]]:
    """Return the names of the modules that a fresh Python has before and after `import epochal`."""
    out = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    before, after = json.loads(out)
    return set(before), set(after)


def test_importing_epochal_imports_no_third_party_module_but_msgspec() -> None:
    # What a .pth file of the environment loads at start is there before and not ours.
    before, after = modules_after_import()
    new = {name.partition(".")[0] for name in after - before}

    assert new - sys.stdlib_module_names - {"epochal", "msgspec"} == set()


def test_importing_epochal_loads_none_of_the_heavy_standard_modules() -> None:
    before, after = modules_after_import()

    assert (after - before) & HEAVY == set()


def test_importing_epochal_loads_few_modules() -> None:
    before, after = modules_after_import()

    assert len(after - before) + 60 <= MOST_MODULES, f"{len(after - before)} modules came with it"


def test_importing_epochal_starts_no_thread_and_no_process() -> None:
    script = "import epochal, threading; print(threading.active_count())"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert out.strip() == "1"
