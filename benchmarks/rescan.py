"""How much faster is a folder scanned for the second time, when nothing in it has changed?

    python -m benchmarks.rescan [--images N] [--runtime NAME] [--weights FILE]

Two scans of one folder with one home, each in a fresh process; the second takes over the verdicts of the first.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.homes import Failed, Told, prepared_home, scan_words, told
from benchmarks.machine import described
from benchmarks.photographs import draw


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory(prefix="inspectq-bench-") as name:
        folder = Path(name)
        images = draw(folder / "images", "small", options.images)
        home = prepared_home(folder, options.weights)
        rows: list[tuple[str, float, Told]] = []
        for scan in ("first", "second"):
            done = home.run(*scan_words(images, runtime=options.runtime, reuse=True))
            rows.append((scan, done.seconds, told(home.engine, int(done.output.split()[0]))))
    report(rows, options.images)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--runtime", default="onnx")
    parser.add_argument("--weights", default="none", help="of the benchmark's model, as `inspectq train` takes them")
    return parser.parse_args()


def report(rows: list[tuple[str, float, Told]], images: int) -> None:
    """Both scans, and their ratio."""
    print("| scan | whole process, s | job, s | images/s | verdicts taken over |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for scan, seconds, job in rows:
        print(f"| {scan} | {seconds:.1f} | {job.seconds:.1f} | {images / job.seconds:,.0f} | {job.reused:,} |")
    (_, first, before), (_, second, after) = rows
    print(f"\nThe second scan is {before.seconds / after.seconds:.1f} times faster ", end="")
    print(f"({first / second:.1f} times with the start of the process). {described()}")
    if after.reused != images or after.scores != before.scores:
        raise Failed(f"{after.reused} of {images} verdicts were taken over, or their scores differ")


if __name__ == "__main__":
    main()
