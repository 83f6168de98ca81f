"""Two hundred SIGKILLs of a server while 20 writers send to it: is every acknowledged row there, once?

    python bench/store/server_kills.py [--kills 200] [--seed 1]

The judges are the writers, which know what was acknowledged; between two lives `epochal store check` looks
at the files.  About four seconds a kill.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tests.drills.server_kill import server_kill_drill  # noqa: E402 - it is where the drills are


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="how often (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments (default 1)")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-server-kill-"))
    verdict = server_kill_drill(folder, n_kills=arguments.kills, seed=arguments.seed, check_every=10)
    if verdict.is_right:
        shutil.rmtree(folder)
    else:
        print(f"what was found is kept in {folder}", file=sys.stderr)
    print("| kills | rows acknowledged | lost | twice | wrong | unclean checks | longest start |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {verdict.n_kills:,} | {verdict.n_rows:,} | {verdict.n_lost} | {verdict.n_twice} "
        f"| {verdict.n_wrong} | {verdict.n_unclean} | {verdict.longest_start_s:.2f} s |"
    )
    sys.exit(not verdict.is_right)


if __name__ == "__main__":
    main()
