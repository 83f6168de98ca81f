"""Takes the pictures of the README from the running product: real trainings, a real server, a real browser.

    python scripts/screenshots.py         docs/images/workspace-light.png, workspace-dark.png, run-….png

Trains the demo's models and some more in a temporary home, and photographs what a user would see while the
last one is still being trained.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import demo
import run_tests
import webapp

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
EPOCHS = 40
MORE = [
    demo.Training("narrow", ("--learning-rate", "0.003", "--hidden", "8")),
    demo.Training("wide", ("--learning-rate", "0.001", "--hidden", "256")),
    demo.Training("reckless", ("--learning-rate", "0.1", "--hidden", "64")),
]
LIVE = ("--name", "patient", "--learning-rate", "0.001", "--hidden", "128", "--epochs", "1000")
LIVE_FOR_S = 15.0


def take(link: str) -> None:
    """Photograph the pages of the server behind the sign-in link.

    Raises:
        DemoError: there is no Chromium, or the browser failed.
    """
    chromium = run_tests.find_chromium()
    if chromium is None:
        raise demo.DemoError("pictures need Chromium; Debian's package is: apt-get install chromium")
    node = webapp.find_node() or webapp.install_node()
    webapp.install_packages(ROOT / "web", node)
    IMAGES.mkdir(parents=True, exist_ok=True)
    exit_code = webapp.run_script(node, [str(ROOT / "scripts/screenshots.mjs"), link, chromium, str(IMAGES)])
    if exit_code != 0:
        raise demo.DemoError(f"the browser failed (exit code {exit_code})")


@contextlib.contextmanager
def live_training(home: Path, env: dict[str, str]) -> Iterator[None]:
    """Train one more model, for as long as the block lasts."""
    command = [sys.executable, str(demo.EXAMPLE), *LIVE]
    with subprocess.Popen(
        command, env=env, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as it:
        try:
            yield
        finally:
            it.terminate()


def main() -> int:
    """Train, serve and take the pictures."""
    home = Path(tempfile.mkdtemp(prefix="epochal-pictures-"))
    env = demo.environment(home)
    try:
        with demo.server(home, env, "--port", "0") as link:
            demo.train(home, env, EPOCHS)
            demo.check(link)
            demo.train(home, env, EPOCHS, MORE)
            with live_training(home, env):
                time.sleep(LIVE_FOR_S)
                take(demo.sign_in_link(env) or link)
    except (demo.DemoError, webapp.WebBuildError) as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
