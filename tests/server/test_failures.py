"""What a client is told of trouble that is not its own: a word to branch on, and what to do."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from epochal.errors import DamagedStoreError, DiskFullError
from epochal.server.failures import status_and_failure


@pytest.mark.parametrize(
    ("error", "status", "code", "hint"),
    [
        (DiskFullError(Path("/data/projects/1.db")), 507, "disk_full", "Free some space"),
        (OSError(errno.ENOSPC, "No space left on device"), 507, "disk_full", "Free some space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 507, "disk_full", "Free some space"),
        (DamagedStoreError("the chunk 7 is missing"), 500, "store_damaged", "epochal store check"),
        (OSError(errno.EIO, "Input/output error"), 500, "internal_error", "number"),
    ],
)
def test_a_failing_disk_has_a_code_and_a_hint(error: Exception, status: int, code: str, hint: str) -> None:
    found, failure = status_and_failure(error)

    assert (found, failure.code) == (status, code)
    assert failure.hint is not None
    assert hint in failure.hint
