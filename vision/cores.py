"""How many cores may this process use, and what are they quick at?"""

import math
import os
from pathlib import Path

MOST_CORES = 32  # beyond that, one process decodes no faster: Python's own share of an image grows


def usable_cores() -> int:
    """At least 1: the process's affinity, or its container's quota if that is less."""
    cores = len(os.sched_getaffinity(0))
    quota = cgroup_cores(Path("/sys/fs/cgroup/cpu.max"))
    return max(1, min(cores, MOST_CORES if quota is None else math.ceil(quota), MOST_CORES))


def cgroup_cores(cpu_max: Path) -> float | None:
    """The cores that a cgroup-v2 `cpu.max` file ("QUOTA PERIOD" in microseconds) grants; None: no limit."""
    try:
        quota, period = cpu_max.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


# Names in /proc/cpuinfo of units that multiply bfloat16. Two cores of an AMD EPYC with avx512_bf16 passed 112 images a
# second forward through a ResNet18, and 59 in float32; with AMX the difference is larger.
_BFLOAT16_UNITS = frozenset({"amx_bf16", "avx512_bf16"})


def quick_in_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has units for products of bfloat16: without, that is slower than float32."""
    try:
        return not _BFLOAT16_UNITS.isdisjoint(cpuinfo.read_text().split())
    except OSError:
        return False
