"""How many images a second can be planned, queued, claimed and saved, if inspecting them took no time?

    python -m benchmarks.control_plane [--full] [--reuse] [--workers N] [--images N ...]

A real scheduler, Redis and PostgreSQL (with fsync), and a real worker whose network and decoder answer at once
(benchmarks/instant). Files are empty and never opened. Seconds are the database's: from submitting a job to its end.
"""

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.homes import MODEL, Failed
from benchmarks.machine import described
from benchmarks.services import Services
from db import jobs
from db.engine import reading
from db.models import OPEN_JOBS, JobState
from vision.cores import usable_cores

SIZES, FULL = (10_000, 100_000), (10_000, 100_000, 1_000_000)
WARM_UP = 2_000  # images: worker's child started, code loaded, connections open
FILES_PER_FOLDER = 1_000
LOOK_SECONDS = 0.05
LOOKS_PER_STATE = 5
SITE = Path(__file__).parent / "instant"


@dataclass(frozen=True, kw_only=True)
class Passed:
    """A job that went through."""

    images: int
    seconds: float
    queue: int  # most messages seen in Redis
    rss_before: float  # of the scheduler, MiB
    rss_after: float
    rss_most: float


def main() -> None:
    options = parse()
    sizes = options.images or (FULL if options.full else SIZES)
    with tempfile.TemporaryDirectory(prefix="inspectq-bench-") as name:
        folder = Path(name)
        with Services(folder / "cluster", folder / "home", workers=options.workers, site=SITE) as services:
            services.home.train(folder / "training", images=6, size=32, export=False)
            run(services, files(folder / "warm-up", WARM_UP), options.reuse)
            passed: list[Passed] = []
            for size in sizes:
                images = files(folder / f"{size}", size)
                # A small job is soon over, and how it meets the scheduler's half second is chance.
                for _ in range(options.repeat if size == min(sizes) else 1):
                    passed.append(run(services, images, options.reuse))
                    print(f"  {size}: {passed[-1].seconds:.2f} s", flush=True)
    report(passed, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="a million images, too")
    parser.add_argument("--images", type=int, nargs="+", help="jobs of other sizes")
    parser.add_argument("--repeat", type=int, default=3, help="runs of the smallest job")
    parser.add_argument("--reuse", action="store_true", help="look for verdicts on identical files; there are none")
    parser.add_argument("--workers", type=int, default=usable_cores(), help="[default: one per core]")
    return parser.parse_args()


def files(folder: Path, count: int) -> Path:
    """So many empty files with an image's name."""
    for number in range(count):
        place = folder / f"{number // FILES_PER_FOLDER:06}"
        if number % FILES_PER_FOLDER == 0:
            place.mkdir(parents=True)
        (place / f"{number:08}.jpg").touch()
    os.sync()  # or the database would wait for the disk to be done with them
    return folder


def run(services: Services, folder: Path, reuse: bool) -> Passed:
    """A job through the cluster. Raises Failed where it does not end as it should."""
    scheduler = psutil.Process(services.scheduler.pid)

    def rss() -> float:
        return float(scheduler.memory_info().rss) / 2**20

    before = most = rss()
    queue = looks = 0
    words = ("scan", folder, "--model", MODEL, "--reuse" if reuse else "--no-reuse")
    job = int(services.home.run(*words).output)
    engine = services.home.engine
    while True:
        queue, most = max(queue, services.waiting()), max(most, rss())
        looks += 1
        if looks % LOOKS_PER_STATE == 0:  # the state is a query, and should not count itself
            with reading(engine) as session:
                row = jobs.get(session, job)
            if row.state not in OPEN_JOBS:
                break
        time.sleep(LOOK_SECONDS)
    if row.state is not JobState.DONE or row.finished_at is None:
        raise Failed(f"job {job} is {row.state.value}: {row.state_reason}")
    return Passed(
        images=row.submitted,
        seconds=(row.finished_at - row.submitted_at).total_seconds(),
        queue=queue,
        rss_before=before,
        rss_after=rss(),
        rss_most=most,
    )


def report(passed: list[Passed], options: argparse.Namespace) -> None:
    """A line per size."""
    base: float | None = None
    print("\n| images | images/s | µs per image | of the smallest job's | scheduler MiB before, after, most | queue |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for size in dict.fromkeys(one.images for one in passed):
        runs = [one for one in passed if one.images == size]
        cost = statistics.median(one.seconds for one in runs) / size
        base = base or cost
        memory = f"{runs[0].rss_before:.0f}, {runs[-1].rss_after:.0f}, {max(one.rss_most for one in runs):.0f}"
        print(
            f"| {size:,} | {1 / cost:,.0f} | {1e6 * cost:.0f} | {cost / base:.2f} | {memory} "
            f"| {max(one.queue for one in runs)} |"
        )
    looked = "with" if options.reuse else "without"
    print(f"\n{options.workers} worker(s), {looked} looking for identical files. {described()}")


if __name__ == "__main__":
    main()
