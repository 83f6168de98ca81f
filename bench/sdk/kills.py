"""A thousand SIGKILLs of logging processes, beside a live server; then: is every row in the store, once?

    python bench/sdk/kills.py [--kills 1000] [--seed 1]

The judge is each killed process itself, which confirms every row after `log()` returned; the rows are asked
from the server's exact history.  About half a second a kill.
"""

from __future__ import annotations

import argparse
import http.cookiejar
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tests.drills.kill import Killed, kill_drill, rows_in_run_log  # noqa: E402 - it is where the drills are

PATIENCE_S = 120.0  # for the store to have what the run log has; a busy machine is not a loss


class Server:
    """An `epochal ui` of its own, and the rows it has."""

    def __init__(self, home: Path) -> None:
        command = [str(Path(sys.executable).parent / "epochal"), "ui", "--no-browser", "--port", "0"]
        env = {**os.environ, "EPOCHAL_HOME": str(home)}
        self._process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        self._base = self._sign_in()

    def _sign_in(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = re.search(r"(http://[^/]+)/login\?token=\S+", line)
            if found:
                self._opener.open(f"{found.group(0)}&next=/healthz").close()
                return found.group(1)
        raise RuntimeError("the server ended before it printed its address")

    def rows(self, killed: Killed) -> list[int]:
        """Return the rows of a killed process, once as many are there as it had confirmed."""
        run_id = killed.folder.name.rpartition("-")[2]
        deadline = time.monotonic() + PATIENCE_S
        while True:
            rows = self._history(run_id)
            if len(rows) >= killed.confirmed:
                return rows
            if time.monotonic() > deadline:
                print(
                    f"{killed}: {len(rows)} rows in the store, {len(rows_in_run_log(killed))} in the run log",
                    file=sys.stderr,
                )
                return rows
            time.sleep(0.1)

    def _history(self, run_id: str) -> list[int]:
        query = urllib.parse.urlencode(
            {"entity": "local", "project": "kill-drill", "run": run_id, "keys": "i", "format": "jsonl"}
        )
        try:
            with self._opener.open(f"{self._base}/api/history?{query}") as reply:
                found = [json.loads(line) for line in reply]
        except urllib.error.HTTPError as error:
            if error.code == 404:  # not seen by the watcher yet
                return []
            raise
        # The value tells that the step holds what was logged for it.
        return [row["_step"] if row["i"] == row["_step"] else -1 for row in found]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000, help="processes to kill (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments (default 1)")
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="bench-kill-"))
    server = Server(home)
    try:
        verdict = kill_drill(arguments.kills, arguments.seed, home, rows=server.rows)
    finally:
        server.stop()
    if verdict.is_right:
        shutil.rmtree(home)
    else:
        print(f"what was found is kept in {home}", file=sys.stderr)
    print("| kills | rows confirmed | lost | twice | wrong |\n|---|---|---|---|---|")
    print(
        f"| {verdict.n_killed:,} | {verdict.n_confirmed:,} | {verdict.n_lost} "
        f"| {verdict.n_twice} | {verdict.n_wrong} |"
    )
    sys.exit(not verdict.is_right)


if __name__ == "__main__":
    main()
