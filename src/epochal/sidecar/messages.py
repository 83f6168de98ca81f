"""What the training process tells its sidecar: lines of JSON over a socket."""

from __future__ import annotations

import msgspec

SMALLEST_INTERVAL_S = 0.1


class RunSettings(msgspec.Struct, frozen=True):
    """How one run is watched; fields that are not known are skipped."""

    sampling_interval: float = 15.0  # seconds between system samples; 0.1 at least
    disable_stats: bool = False  # no system samples
    disable_meta: bool = False  # no metadata at all
    disable_git: bool = False
    save_requirements: bool = True  # the list of installed packages
    disk_paths: tuple[str, ...] = ("/",)  # whose file systems are sampled
    gpu_device_ids: list[int] | None = None  # indices by NVML; None: those that the trainer sees
    ends_run: bool = True  # the end of this process is the run's end
    # What the trainer prints into: stream, path, offset in bytes, device, inode.
    console_files: tuple[tuple[str, str, int, int, int], ...] = ()
    base_url: str = ""  # of the server that the run is sent to; empty: none
    api_key: str = ""
    upload_bytes_per_s: float = 0.0  # at most; 0: no cap


class Line(msgspec.Struct, frozen=True):
    """One line: either `open`, with the facts of the trainer, or `close`."""

    open: str | None = None  # folder of a run
    close: str | None = None  # folder of a run whose trainer has written its last record
    settings: RunSettings = RunSettings()
    facts: dict[str, object] = {}  # epochal.sdk.environment.facts()
    exiting: bool = False  # with `close`: the process itself is ending, its exit status will follow


class LineBuffer:
    """Cuts what arrives into lines."""

    def __init__(self) -> None:
        self._rest = b""
        self._decoder = msgspec.json.Decoder(Line)

    def feed(self, data: bytes) -> list[Line]:
        """Return the lines that `data` completes; one that cannot be read is skipped."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        found = []
        for line in lines:
            try:
                found.append(self._decoder.decode(line))
            except msgspec.MsgspecError:
                continue  # A newer or a broken sender: the other lines are as good as before.
        return found
