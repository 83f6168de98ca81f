"""The product in one command: a server, three trainings, and the address where their curves move.

    python scripts/demo.py           data in .demo/, goes on until Ctrl-C
    python scripts/demo.py --check   in a folder of its own, in short; looks at the result and stops

Everything goes through what a user has: the `epochal` command, an ordinary training script, HTTP.
"""

from __future__ import annotations

import argparse
import contextlib
import http.cookiejar
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
EPOCHAL = str(Path(sys.executable).parent / "epochal")
EXAMPLE = ROOT / "examples" / "train_digits.py"
PROJECT = "digits"
START_TIMEOUT_S = 30.0
INGEST_TIMEOUT_S = 30.0


class DemoError(Exception):
    """The demo cannot go on; the text says what to do."""


class Training(NamedTuple):
    """One training and the settings it is about."""

    name: str
    arguments: tuple[str, ...]


TRAININGS = [
    Training("careful", ("--learning-rate", "0.0005", "--hidden", "32")),
    Training("steady", ("--learning-rate", "0.003", "--hidden", "64")),
    Training("hasty", ("--learning-rate", "0.03", "--hidden", "64")),
]


def environment(home: Path) -> dict[str, str]:
    """Return the environment for server and trainings: this home, and none of the user's own settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EPOCHAL_", "WANDB_"))}
    # Three trainings share the machine's cores; matrices of 64 columns gain nothing from threads anyway.
    return {**kept, "EPOCHAL_HOME": str(home), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def sign_in_link(env: dict[str, str]) -> str | None:
    """Return a new sign-in link of the running server, or None if none runs."""
    done = subprocess.run([EPOCHAL, "link"], env=env, capture_output=True, text=True, check=False)
    found = re.search(r"https?://\S+", done.stdout)
    return found.group() if done.returncode == 0 and found else None


@contextlib.contextmanager
def server(home: Path, env: dict[str, str], *options: str) -> Iterator[str]:
    """Run `epochal ui` and give a sign-in link; a server that runs on this home already is used.

    Raises:
        DemoError: it did not start.
    """
    if link := sign_in_link(env):
        print(f"A server runs on {home} already; it will be used, and left running.")
        yield link
        return
    home.mkdir(parents=True, exist_ok=True)
    log = home / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [EPOCHAL, "ui", "--no-browser", *options], env=env, stdout=out, stderr=out, cwd=home
        )
    try:
        yield _wait_for_link(process, env, log)
    finally:
        _end(process)


def _wait_for_link(process: subprocess.Popen[bytes], env: dict[str, str], log: Path) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        if link := sign_in_link(env):
            return link
        time.sleep(0.2)
    raise DemoError(f"the server did not start; it said:\n{log.read_text()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def train(
    home: Path, env: dict[str, str], epochs: int | None, trainings: Sequence[Training] = TRAININGS
) -> None:
    """Run the trainings side by side and say how each ended.

    Raises:
        DemoError: one failed; its output is in the text.
    """
    more = () if epochs is None else ("--epochs", str(epochs))
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for training in trainings:
            command = [sys.executable, str(EXAMPLE), "--name", training.name, *training.arguments, *more]
            with (home / f"{training.name}.log").open("wb") as out:
                running[training.name] = subprocess.Popen(command, env=env, stdout=out, stderr=out, cwd=home)
        while running:
            for name in [name for name, process in running.items() if process.poll() is not None]:
                _say_how_it_ended(name, running.pop(name).returncode, home / f"{name}.log")
            time.sleep(0.2)
    finally:
        for process in running.values():
            _end(process)


def _say_how_it_ended(name: str, exit_code: int, log: Path) -> None:
    if exit_code != 0:
        raise DemoError(f"the training '{name}' failed (exit code {exit_code}); it said:\n{log.read_text()}")
    print(f"  {name}: finished", flush=True)


class Client:
    """What the web app does, over HTTP: signs in by the link and asks."""

    def __init__(self, link: str) -> None:
        self._origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(link))
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies)
        self.page = self._ask(link, accept="text/html").decode()

    def graphql(self, query: str, **variables: object) -> Any:  # noqa: ANN401 - JSON of any shape
        """Return the data of a GraphQL query."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        answer = json.loads(self._ask(f"{self._origin}/graphql", body))
        if answer.get("errors"):
            raise DemoError(f"the server refused a query: {answer['errors']}")
        return answer["data"]

    def history(self, run: str, keys: Sequence[str]) -> list[dict[str, float]]:
        """Return the rows of a run that have any of the keys."""
        asked = {"entity": "local", "project": PROJECT, "run": run, "keys": ",".join(keys)}
        rows = self._ask(f"{self._origin}/api/history?{urllib.parse.urlencode(asked)}")
        return [json.loads(line) for line in rows.splitlines()]

    def chart(self, runs: Sequence[str], key: str) -> bytes:
        """Return what a line chart of the key is drawn from: an Arrow stream."""
        query = {"runs": list(runs), "keys": [key], "x": "step", "range": None, "buckets": 500}
        asked = {"entity": "local", "project": PROJECT, "queries": [query]}
        return self._ask(f"{self._origin}/api/series", json.dumps(asked).encode())

    def _ask(self, url: str, body: bytes | None = None, accept: str = "*/*") -> bytes:
        headers = {"Accept": accept, "Origin": self._origin, "Content-Type": "application/json"}
        request = urllib.request.Request(url, body, headers)
        try:
            with self._opener.open(request, timeout=30) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise DemoError(f"{url.partition('?')[0]}: {error.code} {error.read()[:500]!r}") from error


RUNS = """
query Runs($project: String!) {
  project(name: $project, entityName: "local") {
    runs { edges { node { name displayName state historyLineCount summaryMetrics } } }
  }
}
"""


def check(link: str) -> None:
    """Look at the result as the web app does.

    Raises:
        DemoError: something is missing.
    """
    client = Client(link)
    if '<div id="root"' not in client.page:
        raise DemoError(f"the address does not show the web app but:\n{client.page[:500]}")
    runs = _finished_runs(client)
    for run in runs:
        losses = [row["train/loss"] for row in client.history(run["name"], ["train/loss"])]
        if len(losses) < 100 or not all(map(math.isfinite, losses)) or losses[-1] >= losses[0]:
            raise DemoError(f"{run['displayName']}: no falling curve in {len(losses)} rows of train/loss")
        accuracy = json.loads(run["summaryMetrics"])["val/accuracy.max"]
        print(f"  {run['displayName']}: {len(losses)} steps, best accuracy {accuracy:.3f}")
    if len(client.chart([run["name"] for run in runs], "train/loss")) < 10_000:
        raise DemoError("the chart of train/loss is empty")


def _finished_runs(client: Client) -> list[dict[str, Any]]:
    deadline = time.monotonic() + INGEST_TIMEOUT_S
    while True:
        project = client.graphql(RUNS, project=PROJECT)["project"]
        runs = [edge["node"] for edge in project["runs"]["edges"]] if project else []
        if len(runs) == len(TRAININGS) and all(run["state"] == "finished" for run in runs):
            return runs
        if time.monotonic() > deadline:
            raise DemoError(f"expected {len(TRAININGS)} finished runs and found: {runs}")
        time.sleep(0.2)


def run_demo(home: Path) -> None:
    """Serve and train until Ctrl-C."""
    env = environment(home)
    with server(home, env) as link:
        print(f"\nThree runs are being trained.  Watch them here:\n\n    {link}\n", flush=True)
        train(home, env, epochs=None)
        print("\nThe runs stay at the address above.  Ctrl-C ends the server; `make demo` adds three more.")
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


def run_check() -> None:
    """Do it all once in a temporary folder and look at the result."""
    home = Path(tempfile.mkdtemp(prefix="epochal-demo-"))
    env = environment(home)
    try:
        with server(home, env, "--port", "0") as link:
            train(home, env, epochs=5)
            check(link)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print("The demo works: three finished runs with curves.")


def main() -> int:
    """Run the demo or its check; 1 with a text where it could not go on."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="do it in short, look at the result and stop")
    # What ends this ends the server and the trainings too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    is_check = parser.parse_args().check or os.environ.get("EPOCHAL_DEMO_ONCE") == "1"
    try:
        run_check() if is_check else run_demo(ROOT / ".demo")
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
