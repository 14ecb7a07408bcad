"""Are the cores that a process may use counted as its container grants them?"""

from pathlib import Path

import pytest

from vision.cores import cgroup_cores, quick_in_bfloat16, usable_cores


@pytest.mark.parametrize(
    ("content", "cores"),
    [("max 100000\n", None), ("150000 100000\n", 1.5), ("", None), ("1 0", None), ("x y", None)],
)
def test_the_quota_of_a_container_is_understood(tmp_path: Path, content: str, cores: float | None) -> None:
    path = tmp_path / "cpu.max"
    path.write_text(content)
    assert cgroup_cores(path) == cores
    assert cgroup_cores(tmp_path / "missing") is None


def test_there_is_always_a_core() -> None:
    assert usable_cores() >= 1


@pytest.mark.parametrize(
    ("flags", "quick"), [("amx_bf16 avx512f", True), ("avx512_bf16 avx512f", True), ("avx512f avx512_vnni", False)]
)
def test_a_processor_says_whether_it_is_quick_in_bfloat16(tmp_path: Path, flags: str, quick: bool) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\n")
    assert quick_in_bfloat16(path) == quick
    assert not quick_in_bfloat16(tmp_path / "missing")
