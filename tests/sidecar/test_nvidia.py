from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from epochal.sidecar.system import nvidia
from epochal.sidecar.system.nvidia import Gpu, NvidiaGpus, select

GPUS = [Gpu(i, f"GPU-{word}", "H100", 80, None, None) for i, word in enumerate(("aa11", "bb22", "bc33"))]


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("2,0", [2, 0]),
        ("GPU-bb22,GPU-aa", [1, 0]),
        ("GPU-b", []),  # two match
        ("1,9,0", [1]),  # what comes after a number that is none is not seen
        (" 1 , 2 ", [1, 2]),
        ("1,1", [1]),
    ],
)
def test_the_gpus_of_a_run_are_those_that_cuda_shows_it(visible: str | None, indices: list[int]) -> None:
    chosen = select(GPUS, visible)

    assert [gpu.index for gpu in chosen] == indices
    if visible is not None:
        assert [gpu.visible_index for gpu in chosen] == list(range(len(indices)))


def test_an_instance_stands_under_the_index_of_its_gpu() -> None:
    instance = Gpu(2, "MIG-1", "H100 MIG 1g.10gb", 10, None, None)

    chosen = select(GPUS, "MIG-1,MIG-2", lambda uuid: instance if uuid == "MIG-1" else None)

    assert [(gpu.index, gpu.visible_index, gpu.uuid) for gpu in chosen] == [(2, 0, "MIG-1")]


class NvmlError(Exception):
    pass


def library() -> SimpleNamespace:
    """A library of two GPUs that knows memory and power of them and nothing else."""

    def unknown(*_: object) -> object:
        raise NvmlError("not supported")

    known: dict[str, Any] = {
        "NVMLError": NvmlError,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle}",
        "nvmlDeviceGetName": lambda handle: b"H100",
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=1000, used=250),
        "nvmlDeviceGetPowerUsage": lambda handle: 350_000,
        "nvmlDeviceGetEnforcedPowerLimit": lambda handle: 700_000,
        "nvmlDeviceGetComputeRunningProcesses": lambda handle: [SimpleNamespace(pid=70 + handle)],
        "nvmlDeviceGetUtilizationRates": unknown,
        "nvmlDeviceGetTotalEccErrors": unknown,
    }
    return SimpleNamespace(**known)


def test_what_a_gpu_does_not_tell_is_left_out_and_the_rest_is_there() -> None:
    gpus = NvidiaGpus(library(), "1", None)

    values = {
        "memoryAllocatedBytes": 250.0,
        "memoryAllocated": 25.0,
        "powerWatts": 350.0,
        "enforcedPowerLimitWatts": 700.0,
        "powerPercent": 50.0,
    }
    assert gpus.sample(pids=[1]) == {f"gpu.1.{key}": value for key, value in values.items()}


def test_the_gpu_that_the_run_computes_on_is_also_shown_as_the_process_s() -> None:
    found = NvidiaGpus(library(), None, None).sample(pids=[71])

    assert found["gpu.process.1.powerWatts"] == found["gpu.1.powerWatts"]
    assert not [key for key in found if key.startswith("gpu.process.0")]


def test_ids_from_the_settings_win_over_what_cuda_shows() -> None:
    assert [fact["index"] for fact in NvidiaGpus(library(), "0", [1]).facts()] == [1]


def test_without_a_driver_there_are_no_gpus_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "_DRIVER_FILES", ("/nowhere/at/all",))

    assert nvidia.find(None, None) is None
