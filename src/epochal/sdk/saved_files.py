"""`run.save`: files of the user that belong to a run."""

from __future__ import annotations

import contextlib
import glob as globbing
import os
import shutil
from pathlib import Path

from epochal.sdk.terminal import terminal

POLICIES = ("live", "now", "end")


def save(
    files: Path, wanted: Path, base_path: str | os.PathLike[str] | None, policy: str, expand: bool
) -> list[str]:
    """Put what `wanted` names below `files` and return the paths there, with slashes.

    What cannot be stored is said and left out.
    """
    if str(wanted).startswith(("s3:", "gs:")):
        terminal.warn_once(
            "save remote", "save() takes files of this machine; what is in a bucket is left out."
        )
        return []
    if policy not in POLICIES:
        terminal.warn_once("save policy", f"save() knows the policies {', '.join(POLICIES)}, not {policy!r}.")
    # Not Path.glob: the pattern may be absolute, or begin with `..`.
    matches = globbing.glob(str(wanted), recursive=True) if expand else [str(wanted)]  # noqa: PTH207
    base = Path(base_path).absolute() if base_path is not None else _base_of(wanted)
    saved: list[str] = []
    for path in map(Path, sorted(matches)):
        if not path.is_file():
            continue
        source = path.absolute()
        relative = source.relative_to(base) if source.is_relative_to(base) else Path(source.name)
        try:
            _put(source, files / relative, is_copied=policy == "now")
        except OSError as error:
            terminal.error(f"{path} could not be saved with the run: {error}")
            continue
        saved.append(relative.as_posix())
    if not saved:
        terminal.warn(f"save() found no file that matches {wanted}.")
    return saved


def _base_of(wanted: Path) -> Path:
    """Return the folder of the first part with a wildcard: what is below it keeps its folders."""
    if not wanted.is_absolute() and ".." not in wanted.parts:
        return Path.cwd()
    parts = wanted.absolute().parts
    plain = next((i for i, part in enumerate(parts) if any(c in part for c in "*?[")), len(parts) - 1)
    return Path(*parts[: min(plain, len(parts) - 1)])


def _put(source: Path, target: Path, *, is_copied: bool) -> None:
    if target.exists() and target.samefile(source) and not is_copied:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        target.unlink()
    if not is_copied:
        # A link shows what the file holds at the end, which is what these policies promise.
        with contextlib.suppress(OSError):
            target.symlink_to(source)
            return
    shutil.copyfile(source, target)
