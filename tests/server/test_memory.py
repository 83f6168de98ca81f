"""What a burst took is given back."""

from __future__ import annotations

import subprocess
import sys

BURST = """
import time
from epochal.server.memory import memory_given_back, resident_bytes
with memory_given_back():
    kept, gone = [], []
    for _ in range(10_000):  # 300 MB in pieces that lie between pieces that stay
        gone.append(bytearray(30_000))
        kept.append(bytearray(600))
    most = resident_bytes()
    del gone
    for _ in range(200):
        time.sleep(0.1)
        if resident_bytes() < most - 200_000_000:
            break
    print(most - resident_bytes())
"""


def test_memory_that_a_burst_took_goes_back_to_the_system() -> None:
    run = subprocess.run(
        [sys.executable, "-c", BURST], capture_output=True, text=True, timeout=60, check=True
    )

    assert int(run.stdout) > 200_000_000
