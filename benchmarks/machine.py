"""On what was it measured, and where are the figures written down?"""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vision.cores import usable_cores

LIBRARIES = ("torch", "torchvision", "onnxruntime", "pillow", "numpy", "sqlalchemy", "celery")


def processor() -> str:
    """The CPU's name, as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def memory_gib() -> float:
    """Of the whole machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def versions(libraries: tuple[str, ...] = LIBRARIES) -> dict[str, str]:
    """Of what is installed here."""
    found = {}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def described(more: dict[str, str] | None = None) -> str:
    """One paragraph: the machine, the day, the versions; `more` are those of another environment."""
    features = [name for name in ("avx2", "avx512f", "avx512_vnni", "amx_int8") if _has(name)]
    libraries = ", ".join(f"{name} {number}" for name, number in (versions() | (more or {})).items())
    return (
        f"{processor()} ({', '.join(features) or 'no AVX2'}), {usable_cores()} cores, {memory_gib():.0f} GiB, "
        f"{_system()}, Python {platform.python_version()}; {libraries}. {datetime.now(UTC):%Y-%m-%d}."
    )


def _has(feature: str) -> bool:
    return f" {feature} " in f" {Path('/proc/cpuinfo').read_text()} ".replace("\n", " ")


def _system() -> str:
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release().partition('-')[0]}"
    except OSError:
        return platform.platform()


def write_between(path: Path, name: str, text: str) -> None:
    """Replace what lies between the two comments that carry `name`, or add both at the end; the rest stays."""
    begin, end = f"<!-- {name}: begin, written by the benchmark -->", f"<!-- {name}: end -->"
    old = path.read_text(encoding="utf-8") if path.exists() else "# Benchmarks\n"
    block = f"{begin}\n{text.strip()}\n{end}"
    if begin in old and end in old:
        before, _, rest = old.partition(begin)
        new = before + block + rest.partition(end)[2]
    else:
        new = f"{old.rstrip()}\n\n{block}\n"
    path.write_text(new, encoding="utf-8")
