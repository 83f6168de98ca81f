"""A full disk refuses clearly, loses nothing, doubles nothing, and is over when there is room again.

On a file system of a few megabytes where one may be mounted, and by a limit on the size of files elsewhere.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Works in the folder that it is given until the disk is full, then makes room and goes on.
SCRIPT = """
import json, resource, sys
from pathlib import Path
import numpy as np
from epochal.errors import DiskFullError
from epochal.ids import RunId, WriterId
from epochal.store.metrics.embedded import EmbeddedMetricStore
from epochal.store.metrics.embedded.check import check_file
from epochal.wire.block import Block, Column

folder, way, full_in = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
ballast = folder / "ballast"
if way == "file system":
    ballast.write_bytes(bytes(1 << 20))
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, resource.RLIM_INFINITY))
N = 2000

def block(i):
    values = np.random.default_rng(i).standard_normal(N)
    times = 1e9 + np.arange(i * N, (i + 1) * N)
    return Block(run_id=RunId("r"), project="p", entity=None, writer=WriterId("w"), kind="primary",
                 first_offset=i, end_offset=i + 1, n_rows=N, steps=(i * N, 1), times=times.tobytes(),
                 columns=[Column("a", "f", None, values.tobytes()), Column("b", "f", None, values.tobytes())])

store = EmbeddedMetricStore(folder / "1.db", background=False)
said = {"n_refused": 0, "n_compactions_refused": 0}
i = 0
while said["n_refused"] < 3 and said["n_compactions_refused"] < 3:
    try:
        store.append([block(i)])
        i += 1
    except DiskFullError:
        said["n_refused"] += 1
    if full_in == "compaction" and i % 8 == 0:
        try:
            store.compact()
        except DiskFullError:
            said["n_compactions_refused"] += 1
said["n_acknowledged"] = i
said["end_when_full"] = store.end_offset(RunId("r"), WriterId("w"))
said["rows_when_full"] = sum(1 for _ in store.scan_rows(RunId("r"), ["a"]))
if way == "file system":
    ballast.unlink()
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for j in range(i, i + 3):
    store.append([block(j)])
try:
    store.compact()
except DiskFullError:
    said["still_full"] = True
rows = [(row.step, row.values["a"]) for row in store.scan_rows(RunId("r"), ["a"])]
expected = [(s, float(v)) for j in range(i + 3) for s, v in
            enumerate(np.random.default_rng(j).standard_normal(N), j * N)]
said["is_complete"] = rows == expected
store.close()
said["problems"] = [problem.what for problem in check_file(folder / "1.db")]
print(json.dumps(said))
"""

# Runs what follows in a name space of its own, in which the folder is a small file system.
MOUNTED = [
    *("unshare", "--map-root-user", "--mount"),
    *("sh", "-c", 'mount -t tmpfs -o size=6m none "$0" && exec "$@"'),
]


def may_mount(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    line = [*MOUNTED, str(folder), "true"]
    return subprocess.run(line, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("full_in", ["append", "compaction"])
@pytest.mark.parametrize("way", ["file system", "file size"])
def test_a_full_disk_loses_nothing_and_is_over_when_there_is_room(
    tmp_path: Path, way: str, full_in: str
) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), way, full_in]
    if way == "file system":
        if not may_mount(tmp_path):
            pytest.skip("no file system can be mounted here")
        command = [*MOUNTED, str(tmp_path), *command]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["n_refused"] + said["n_compactions_refused"] >= 3
    assert said["end_when_full"] == said["n_acknowledged"]
    assert said["rows_when_full"] == 2000 * said["n_acknowledged"]
    assert said["is_complete"]
    assert said["problems"] == []
