"""NVIDIA GPUs, by the driver's own library.

A GPU's index here is the driver's, which is that of `nvidia-smi`; `CUDA_VISIBLE_DEVICES` decides which of
them belong to the run, and in which order the program counts them.

Source: NVIDIA Management Library (NVML) API reference; CUDA C++ programming guide, environment variables.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec

MIB = 1024**2
_DRIVER_FILES = ("/dev/nvidiactl", "/proc/driver/nvidia/version", "/dev/dxg")  # the last one: WSL


class Gpu(msgspec.Struct, frozen=True):
    """One GPU, or one instance (MIG) of one."""

    index: int  # the driver's
    uuid: str
    name: str
    memory_bytes: int
    visible_index: int | None  # the program's; None where the variable does not say
    handle: Any  # of the library


class NvidiaGpus:
    """The GPUs of a run.

    Args:
        nvml: the module pynvml, or one that does as it does.
        visible: the trainer's `CUDA_VISIBLE_DEVICES`; None if it is not set.
        ids: driver's indices chosen in the settings, in place of what is visible.
    """

    def __init__(self, nvml: Any, visible: str | None, ids: Collection[int] | None) -> None:  # noqa: ANN401
        self._nvml = nvml
        nvml.nvmlInit()
        every = [
            self._describe(i, nvml.nvmlDeviceGetHandleByIndex(i)) for i in range(nvml.nvmlDeviceGetCount())
        ]
        if ids is not None:
            self.gpus = [gpu for gpu in every if gpu.index in ids]
        else:
            self.gpus = select(every, visible, self._instance)

    def facts(self) -> list[dict[str, object]]:
        """Return what a run's metadata says of them."""
        return [
            {
                "index": g.index,
                "visible_index": g.visible_index,
                "name": g.name,
                "uuid": g.uuid,
                "memory_bytes": g.memory_bytes,
            }
            for g in self.gpus
        ]

    def sample(self, pids: Collection[int]) -> dict[str, float]:
        """Return the keys of every GPU; those that processes of `pids` compute on also as `gpu.process.`."""
        found: dict[str, float] = {}
        for gpu in self.gpus:
            values = self._values(gpu)
            found.update({f"gpu.{gpu.index}.{key}": value for key, value in values.items()})
            if self._is_used_by(gpu, pids):
                found.update({f"gpu.process.{gpu.index}.{key}": value for key, value in values.items()})
        return found

    def _describe(self, index: int, handle: Any) -> Gpu:  # noqa: ANN401
        uuid, name = _text(self._nvml.nvmlDeviceGetUUID(handle)), _text(self._nvml.nvmlDeviceGetName(handle))
        memory_bytes = int(self._nvml.nvmlDeviceGetMemoryInfo(handle).total)
        return Gpu(index, uuid, name, memory_bytes, None, handle)

    def _instance(self, uuid: str) -> Gpu | None:
        """Return the GPU instance (MIG) with that id, under the index of the GPU it is a part of."""
        try:
            handle = self._nvml.nvmlDeviceGetHandleByUUID(uuid)
            parent = self._nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
            return self._describe(int(self._nvml.nvmlDeviceGetIndex(parent)), handle)
        except self._nvml.NVMLError:
            return None

    def _values(self, gpu: Gpu) -> dict[str, float]:
        nvml, handle = self._nvml, gpu.handle
        found: dict[str, float] = {}

        def add(key: str, read: Callable[[], float]) -> None:
            # Each by itself: every model and every driver knows some of them and not others.
            try:
                found[key] = float(read())
            except (nvml.NVMLError, AttributeError, ZeroDivisionError, TypeError):
                return

        add("gpu", lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        add("memory", lambda: nvml.nvmlDeviceGetUtilizationRates(handle).memory)
        add("memoryAllocatedBytes", lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used)
        add("memoryAllocated", lambda: 100.0 * found["memoryAllocatedBytes"] / gpu.memory_bytes)
        add("temp", lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
        add("powerWatts", lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000.0)
        add("enforcedPowerLimitWatts", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000.0)
        if "powerWatts" in found and found.get("enforcedPowerLimitWatts"):
            found["powerPercent"] = 100.0 * found["powerWatts"] / found["enforcedPowerLimitWatts"]
        add("smClock", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))
        add("memoryClock", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM))
        add("graphicsClock", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_GRAPHICS))
        for key, kind in (("correctedMemoryErrors", 0), ("uncorrectedMemoryErrors", 1)):
            add(key, lambda kind=kind: nvml.nvmlDeviceGetTotalEccErrors(handle, kind, 0))  # type: ignore[misc]
        add("fanSpeed", lambda: nvml.nvmlDeviceGetFanSpeed(handle))
        add("encoderUtilization", lambda: nvml.nvmlDeviceGetEncoderUtilization(handle)[0])
        return found

    def _is_used_by(self, gpu: Gpu, pids: Collection[int]) -> bool:
        try:
            users = self._nvml.nvmlDeviceGetComputeRunningProcesses(gpu.handle)
        except self._nvml.NVMLError:
            return False
        return any(user.pid in pids for user in users)


def find(visible: str | None, ids: Collection[int] | None) -> NvidiaGpus | None:
    """Return the run's GPUs, or None where there is no driver; the library is loaded only with one."""
    if not any(Path(file).exists() for file in _DRIVER_FILES):
        return None
    try:
        import pynvml  # type: ignore[import-untyped]
    except ImportError:
        return None
    try:
        return NvidiaGpus(pynvml, visible, ids)
    except pynvml.NVMLError:
        return None


def select(
    every: Sequence[Gpu], visible: str | None, instance: Callable[[str], Gpu | None] = lambda _: None
) -> list[Gpu]:
    """Return the GPUs that `CUDA_VISIBLE_DEVICES` names, each with the index that the program sees.

    As CUDA reads it: numbers or beginnings of ids; the first one that names nothing ends the list.  An
    instance is looked up by `instance`.
    """
    if visible is None:
        return list(every)
    chosen: list[Gpu] = []
    for word in (w.strip() for w in visible.split(",")):
        gpu = instance(word) if word.startswith("MIG-") else _named(every, word)
        if gpu is None or gpu.uuid in [g.uuid for g in chosen]:
            break
        chosen.append(msgspec.structs.replace(gpu, visible_index=len(chosen)))
    return chosen


def _named(every: Sequence[Gpu], word: str) -> Gpu | None:
    if word.isdigit():
        return next((g for g in every if g.index == int(word)), None)
    matches = [g for g in every if word.startswith("GPU-") and g.uuid.startswith(word)]
    return matches[0] if len(matches) == 1 else None


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
