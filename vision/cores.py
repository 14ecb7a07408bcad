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


def quick_in_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has units for matrices of bfloat16 (Intel's AMX): without, that is slower than float32."""
    try:
        return "amx_bf16" in cpuinfo.read_text().split()
    except OSError:
        return False
