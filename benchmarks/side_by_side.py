"""How fast is a folder inspected, by us and by others, on the same machine in the same hour?

    python -m benchmarks.side_by_side [--rounds N] [--images SMALL FULLHD LARGE] [--rivals PYTHON] [--weights FILE]

Everybody takes turns: in each round every contender inspects each folder once, in a fresh process, and the next round
begins with another one. Ratios are made within a round, so that a busy minute of the machine falls on both sides.
Writes docs/benchmarks.md, between its comments, and docs/benchmarks.png.
"""

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.contenders import PLAIN, Contender, Run, cluster, embedded, model_only, rival_versions, rivals
from benchmarks.homes import ROOT, Failed, prepared_home
from benchmarks.machine import described, write_between
from benchmarks.photographs import KINDS, draw
from benchmarks.plots import Bar, draw_panels
from console.processes import ClusterError
from vision.cores import usable_cores

RUNTIMES = ("onnx", "onnx-int8", "torch")
REFERENCE = "inspectq, torch"  # whose verdicts the others are compared with
IMAGES = (512, 256, 128)
TITLES = {"small": "300 × 300", "fullhd": "1920 × 1080", "large": "4000 × 3000"}
THRESHOLD = 0.5

T = TypeVar("T")
Runs = dict[tuple[str, str], list[Run | None]]  # by (kind, contender): one per round, None where it failed


def main() -> None:
    options = parse()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cores = usable_cores()
    with tempfile.TemporaryDirectory(prefix="inspectq-bench-") as temporary:
        folder = options.work or Path(temporary)
        counts = dict(zip(KINDS, options.images, strict=True))
        folders = {kind: draw(folder / f"{kind}-{count}", kind, count) for kind, count in counts.items()}
        home = prepared_home(folder, options.weights)
        contenders = [
            *(embedded(home, runtime) for runtime in RUNTIMES),
            cluster(home, folder / "cluster", "onnx", options.cluster_workers),
            *rivals(options.rivals, home.checkpoint(), folder, options.plain_workers or [cores], cores),
        ]
        contenders = [one for one in contenders if not options.only or one.name in options.only]
        runs: Runs = defaultdict(list)
        alone: dict[str, list[float]] = defaultdict(list)
        failures: dict[str, str] = {}
        versions = attempt("rivals' versions", lambda: rival_versions(options.rivals), failures) or {}
        for number in range(options.rounds):
            for kind, images in folders.items():
                for contender in _from(contenders, number):
                    runs[kind, contender.name].append(
                        attempt(f"{kind}, {contender.name}", lambda c=contender, i=images: c.inspect(i), failures)  # type: ignore[misc]
                    )
            for runtime in RUNTIMES:
                rate = attempt(f"{runtime} alone", lambda r=runtime: model_only(home, r, cores), failures)  # type: ignore[misc]
                alone[runtime] += [] if rate is None else [rate]
            # After each round, so that a run that is cut off leaves what it has measured.
            text = report(runs, alone, failures, contenders, counts)
            write_between(options.out, "side by side", f"{text}\n\n{described(versions)}")
            plot(runs, contenders, counts, options.out.with_suffix(".png"))
        print(f"{text}\n\n{options.out} is written.")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, nargs=3, default=IMAGES, metavar=("SMALL", "FULLHD", "LARGE"))
    parser.add_argument("--rivals", type=Path, default=ROOT / ".venv-rivals/bin/python", help="their Python")
    parser.add_argument("--weights", default="none", help="of the benchmark's model, as `inspectq train` takes them")
    parser.add_argument("--plain-workers", type=int, nargs="+", help="of the plain script  [default: one per core]")
    parser.add_argument("--cluster-workers", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="names of contenders")
    parser.add_argument("--work", type=Path, help="a folder to keep images and model in, for another run")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/benchmarks.md")
    return parser.parse_args()


def attempt(what: str, act: Callable[[], T], failures: dict[str, str]) -> T | None:
    """What `act` answers; a failure is kept, and the others go on."""
    try:
        answer = act()
    except (Failed, ClusterError) as error:
        failures[what] = str(error)
        print(f"  {what}: FAILED, {error}", file=sys.stderr, flush=True)
        return None
    said = f"{answer.seconds:.1f} s, {answer.rate:.1f} images/s" if isinstance(answer, Run) else str(answer)
    print(f"  {what}: {said}", file=sys.stderr, flush=True)
    return answer


def report(
    runs: Runs,
    alone: dict[str, list[float]],
    failures: dict[str, str],
    contenders: Sequence[Contender],
    counts: dict[str, int],
) -> str:
    """The tables in Markdown."""
    lines = []
    for kind, count in counts.items():
        lines += [f"### {TITLES[kind]}, {count} JPEGs", ""]
        lines += ["| | images/s | spread | once it runs | × best plain script | other verdicts | largest difference |"]
        lines += ["| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
        lines += [_row(runs, kind, one.name) for one in contenders]
        lines += [""]
    lines += ["### The runtimes alone", "", "| | images/s | spread | embedded scan, small images, once it runs |"]
    lines += ["| --- | ---: | ---: | ---: |"]
    for runtime, rates in alone.items():
        if rates:
            model = statistics.median(rates)
            scan = [one.steady for one in runs["small", f"inspectq, {runtime}"] if one is not None and one.steady]
            share = f"{statistics.median(scan):.1f} ({statistics.median(scan) / model:.0%})" if scan else ""
            lines.append(f"| {runtime} | {model:.1f} | {_spread(rates)} | {share} |")
    lines += ["", *(f"- {what} failed: {why}" for what, why in failures.items())]
    rounds = max(len(done) for done in runs.values())
    lines += ["", f"{rounds} round(s) in turns; medians, and in brackets or under *spread* the least and the most."]
    return "\n".join(lines).strip()


def _row(runs: Runs, kind: str, name: str) -> str:
    done = [one for one in runs[kind, name] if one is not None]
    if not done:
        return f"| {name} | failed | | | | | |"
    rates, steady = [one.rate for one in done], [one.steady for one in done if one.steady]
    ratios = [
        one.rate / best
        for one, best in zip(runs[kind, name], _best_plain(runs, kind), strict=True)
        if one is not None and best
    ]
    times = f"{statistics.median(ratios):.2f} ({_spread(ratios, 2)})" if ratios else ""
    once = f"{statistics.median(steady):.1f}" if steady else ""
    reference = next((one for one in runs[kind, REFERENCE] if one is not None), None)
    others, largest = _compared(done[-1], reference)
    return f"| {name} | {statistics.median(rates):.1f} | {_spread(rates)} | {once} | {times} | {others} | {largest} |"


def _best_plain(runs: Runs, kind: str) -> list[float | None]:
    """Of each round, the faster of the plain scripts."""
    plain = [done for (of, name), done in runs.items() if of == kind and name.startswith(PLAIN)]
    rounds = max(len(done) for (of, _), done in runs.items() if of == kind)
    return [
        max((one.rate for done in plain if (one := done[number]) is not None), default=None) for number in range(rounds)
    ]


def _compared(run: Run, reference: Run | None) -> tuple[str, str]:
    """How many verdicts differ from the reference's, and the largest difference of two scores."""
    if reference is None:
        return "", ""
    pairs = [(run.scores[path], score) for path, score in reference.scores.items() if path in run.scores]
    flipped = sum((one >= THRESHOLD) != (other >= THRESHOLD) for one, other in pairs)
    return f"{flipped} of {len(pairs)}", f"{max((abs(one - other) for one, other in pairs), default=0):.1e}"


def _spread(values: Sequence[float], digits: int = 1) -> str:
    return f"{min(values):.{digits}f}–{max(values):.{digits}f}"


def _from(contenders: Sequence[Contender], start: int) -> list[Contender]:
    start %= len(contenders)
    return [*contenders[start:], *contenders[:start]]


def plot(runs: Runs, contenders: Sequence[Contender], counts: dict[str, int], path: Path) -> None:
    panels = {}
    for kind, count in counts.items():
        bars = []
        for one in contenders:
            rates = [run.rate for run in runs[kind, one.name] if run is not None]
            if rates:
                bars.append(
                    Bar(name=one.name, ours=one.ours, value=statistics.median(rates), low=min(rates), high=max(rates))
                )
        panels[f"{TITLES[kind]}, {count} images"] = bars
    draw_panels(panels, path, "images per second, folder to database")


if __name__ == "__main__":
    main()
