"""Run logs on file systems that are slow, full or read-only: training goes on, and rows are where the design
says: in the file, late, or counted as lost and said so.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from epochal.runlog.format import RecordType
from epochal.runlog.reader import read_all

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="not run: mounts")]

LATENCY_S = 0.2
N_ROWS = 3000
SCRIPT = """
import json, sys, time
import epochal as wandb
n_rows, pad = int(sys.argv[1]), "x" * int(sys.argv[2])
run = wandb.init(project="drill", settings=wandb.Settings(x_disable_stats=True, finish_timeout=10.0))
took = []
for i in range(n_rows):
    began = time.perf_counter()
    run.log({"i": i, "pad": pad})
    took.append(time.perf_counter() - began)
    time.sleep(0.0005)
    if i == n_rows // 2:
        print("half", flush=True)
        sys.stdin.readline()
print(json.dumps({"folder": run.sync_dir, "slow": sum(t > 0.1 for t in took),
                  "p99": sorted(took)[len(took) * 99 // 100]}), flush=True)
run.finish()
sys.exit(3)
"""


@pytest.fixture
def slow_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on which every operation takes 200 ms."""
    if importlib.util.find_spec("mfusepy") is None:
        pytest.skip("not run: mfusepy is not installed")
    if not Path("/dev/fuse").exists() or ctypes.util.find_library("fuse3") is None:
        pytest.skip("not run: no /dev/fuse or no libfuse3 (Debian: fuse3)")
    behind, mount = tmp_path / "behind", tmp_path / "slow"
    behind.mkdir()
    mount.mkdir()
    program = Path(__file__).with_name("slow_mount.py")
    with subprocess.Popen(
        [sys.executable, str(program), str(behind), str(mount), str(LATENCY_S)], stderr=subprocess.PIPE
    ) as server:
        deadline = time.monotonic() + 20.0
        while not os.path.ismount(mount) and server.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if not os.path.ismount(mount):
            server.kill()
            assert server.stderr is not None
            pytest.skip(f"not run: FUSE cannot mount here: {server.stderr.read().decode()[-200:]}")
        yield mount
        subprocess.run(["umount", "--lazy", str(mount)], check=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(20)
        server.kill()


@contextlib.contextmanager
def _tmpfs(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"not run: nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_file_system_with_200_ms_for_every_operation_slows_no_training(
    slow_folder: Path, tmp_path: Path
) -> None:
    training = _Training(tmp_path, slow_folder / "home", N_ROWS, 0)
    training.half()
    said = training.end()

    assert training.code == 3
    # Two writes at the most are waited for until it is known that the file system is slow.
    assert said["slow"] <= 5
    assert said["p99"] < LATENCY_S / 4
    assert _rows(tmp_path / "behind") == list(range(N_ROWS))


def test_a_full_disk_costs_no_row_if_there_is_room_again_before_the_end(tmp_path: Path) -> None:
    with _tmpfs(tmp_path / "small", "size=1M") as small:
        ballast = small / "ballast"
        ballast.write_bytes(bytes(700 << 10))
        training = _Training(tmp_path, small / "home", 2000, 300)
        training.half(lambda: ballast.unlink())
        training.end()

        assert training.code == 3
        assert "cannot be written" in training.errors or "could not be written" in training.errors
        assert _rows(small) == list(range(2000))


def test_a_disk_that_stays_full_costs_rows_and_says_so_and_the_script_goes_on(tmp_path: Path) -> None:
    with _tmpfs(tmp_path / "small", "size=256k") as small:
        training = _Training(tmp_path, small / "home", 2000, 300)
        training.half()
        training.end()

        assert training.code == 3
        rows = _rows(small)
        assert 0 < len(rows) < 2000
        assert rows == list(range(len(rows))), "what is there is there without a hole"
        assert "lost" in training.errors


def test_on_a_read_only_file_system_the_run_is_kept_elsewhere(tmp_path: Path) -> None:
    with _tmpfs(tmp_path / "ro", "ro,size=1M") as read_only:
        training = _Training(tmp_path, read_only / "home", 100, 0)
        training.half()
        said = training.end()

        assert training.code == 3
        assert "cannot be written to" in training.errors
        assert _rows(Path(said["folder"])) == list(range(100))


class _Training:
    """A script that logs into `home`, and waits in the middle."""

    def __init__(self, folder: Path, home: Path, n_rows: int, n_pad: int) -> None:
        (folder / "train.py").write_text(SCRIPT)
        (folder / "tmp").mkdir()
        self.process = subprocess.Popen(
            [sys.executable, str(folder / "train.py"), str(n_rows), str(n_pad)],
            env={**os.environ, "EPOCHAL_HOME": str(home), "TMPDIR": str(folder / "tmp")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        self.code, self.errors = 0, ""

    def half(self, act: Any = None) -> None:
        """Wait for the middle, do `act`, and let it go on."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "half\n"
        if act is not None:
            act()

    def end(self) -> dict[str, Any]:
        """Let it go on to its end, and return what it says of itself."""
        output, self.errors = self.process.communicate("\n", timeout=60)
        self.code = self.process.returncode
        return dict(json.loads(output))


def _rows(folder: Path) -> list[int]:
    """Return the values of `i` in all run logs below `folder`, in their order."""
    found: list[int] = []
    for path in folder.rglob("*.runlog"):
        if not path.name.startswith("sidecar-"):
            frames, report = read_all(path)
            assert not report.losses
            found += [f.record[3]["i"] for f in frames if f.record[0] == RecordType.ROW]  # type: ignore[index]
    return found
