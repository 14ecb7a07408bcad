"""How much memory does a scan take when two images of 200 megapixels lie among thousands of small ones?

    python -m benchmarks.memory [--images N] [--megapixels N] [--runtime NAME]

One PNG and one JPEG, a third and two thirds through the folder. Prints the peak of the whole process tree, as sampled,
and that of the scanning process, as the kernel counts it.
"""

import argparse
import math
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from PIL import Image

from benchmarks.homes import ROOT, Failed, Home, inspectq, prepared_home, scan_words, told
from benchmarks.machine import described
from benchmarks.photographs import draw

SAMPLE_SECONDS = 0.02
MIB = 2**20
LARGE = ("{third:06}-large.png", "{two_thirds:06}-large.jpg")  # sorted in between the small ones


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A scan whose memory was watched. MiB."""

    job: int
    seconds: float
    peak: float  # of the tree, sampled
    usual: float  # median of the samples
    own: float  # peak of the scanning process, as the kernel counts it


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory(prefix="inspectq-bench-") as name:
        folder = Path(name)
        images = draw(folder / "images", "small", options.images)
        home = prepared_home(folder)
        sizes = add_large(images, options.images, options.megapixels)
        seen = watch(home, images, options.runtime)
        job = told(home.engine, seen.job)
    print(f"{job.images:,} images in {seen.seconds:.0f} s, {len(job.scores):,} of them scored ({job.engine}).")
    print(f"The large ones: {', '.join(sizes)}.")
    print(f"Peak of the process tree {seen.peak:.0f} MiB, median {seen.usual:.0f} MiB; ", end="")
    print(f"of the scanning process itself {seen.own:.0f} MiB. {described()}")
    if job.images != options.images + len(LARGE) or len(job.scores) != job.images:
        raise Failed(f"{len(job.scores)} of {options.images + len(LARGE)} images have a score")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--megapixels", type=int, default=200)
    parser.add_argument("--runtime", default="onnx")
    return parser.parse_args()


def add_large(folder: Path, images: int, megapixels: int) -> list[str]:
    """Write the large images; say what they are."""
    height = math.isqrt(megapixels * 10**6 * 3 // 4)
    with Image.open(next(folder.iterdir())) as small:
        picture = small.resize((height * 4 // 3, height), Image.Resampling.BILINEAR)
    said = []
    for pattern in LARGE:
        file = folder / pattern.format(third=images // 3, two_thirds=images * 2 // 3)
        picture.save(file, compress_level=1, quality=92)  # each format takes its own
        said.append(
            f"{picture.width} x {picture.height} {file.suffix[1:].upper()}, {file.stat().st_size / MIB:.0f} MiB"
        )
    return said


def watch(home: Home, images: Path, runtime: str) -> Watched:
    """Scan in a process of its own. Raises Failed."""
    began = time.perf_counter()
    samples, largest = [], 0.0
    with subprocess.Popen(  # noqa: S603 - our own command, no shell
        inspectq(*scan_words(images, runtime=runtime)),
        env=home.environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            samples.append(_tree(root))
            largest = max(largest, _high_water(process.pid))
            time.sleep(SAMPLE_SECONDS)
        output = process.stdout.read() if process.stdout is not None else ""
    if process.returncode != 0:
        raise Failed(f"the scan ended with status {process.returncode}")
    return Watched(
        job=int(output.split()[0]),
        seconds=time.perf_counter() - began,
        peak=max(samples) / MIB,
        usual=statistics.median(samples) / MIB,
        own=largest,
    )


def _high_water(pid: int) -> float:
    """MiB; 0 where the process has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(found[0]) / 1024 if found else 0


def _tree(root: psutil.Process) -> int:
    total = 0
    for process in (root, *_children(root)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _children(root: psutil.Process) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = root.children(recursive=True)
        return found
    except psutil.NoSuchProcess:
        return []


if __name__ == "__main__":
    main()
