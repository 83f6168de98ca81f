from __future__ import annotations

from pathlib import Path

from epochal.sidecar.cgroup import ControlGroup


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def group(tmp_path: Path, membership: str) -> ControlGroup:
    write(tmp_path / "proc/7/cgroup", membership)
    write(tmp_path / "proc/vmstat", "pgfault 9\noom_kill 40")
    return ControlGroup(7, tmp_path / "proc", tmp_path / "sys")


def test_version_2_limits_hold_for_the_groups_below(tmp_path: Path) -> None:
    write(tmp_path / "sys/job/cpu.max", "250000 100000")
    write(tmp_path / "sys/job/memory.max", "1073741824")
    write(tmp_path / "sys/job/step/cpu.max", "max 100000")
    write(tmp_path / "sys/job/step/memory.max", "max")
    write(tmp_path / "sys/job/step/memory.current", "5000")
    write(tmp_path / "sys/job/step/memory.stat", "anon 3000\ninactive_file 1500")
    write(tmp_path / "sys/job/step/memory.events", "low 0\noom 3\noom_kill 2")

    found = group(tmp_path, "0::/job/step")

    assert found.cpu_limit() == 2.5
    assert found.memory_limit() == 1073741824
    assert found.memory_used() == 3500
    assert found.oom_kills() == 2


def test_version_1_controllers_have_folders_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "sys/memory/job/memory.limit_in_bytes", "2000000")
    write(tmp_path / "sys/memory/job/memory.usage_in_bytes", "700")
    write(tmp_path / "sys/memory/job/memory.stat", "total_inactive_file 200")
    write(tmp_path / "sys/memory/job/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1")
    write(tmp_path / "sys/memory/memory.limit_in_bytes", "9223372036854771712")
    write(tmp_path / "sys/cpu/cpu.cfs_quota_us", "-1")
    write(tmp_path / "sys/cpu/cpu.cfs_period_us", "100000")

    found = group(tmp_path, "4:memory:/job\n1:cpu,cpuacct:/\n0::/")

    assert found.cpu_limit() is None
    assert found.memory_limit() == 2000000
    assert found.memory_used() == 500
    assert found.oom_kills() == 1


def test_in_a_container_the_root_stands_for_the_path_that_only_the_host_sees(tmp_path: Path) -> None:
    write(tmp_path / "sys/memory.max", "4096")

    assert group(tmp_path, "0::/host/only/path").memory_limit() == 4096


def test_without_control_groups_the_machine_counts_the_kills_for_memory(tmp_path: Path) -> None:
    found = group(tmp_path, "0::/")

    assert found.oom_kills() == 40
    assert found.memory_limit() is None
