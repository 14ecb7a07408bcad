"""Every storm, then every mutation: `make faults`. Exit 0 where each storm was stood and each mutation was not.

    python -m tests.storm.everything --postgresql 1 2 --sqlite 1
    python -m tests.storm.everything --from OUTCOME.json …      only the table, of storms run before

Prints the tables of docs/reliability.md on standard output, and what happens on standard error.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from tests.storm.mutations import MUTATIONS
from tests.storm.run import Plan, mutant, storm

Row = dict[str, Any]


def main() -> None:
    """Blow, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgresql", type=int, nargs="*", default=[], metavar="SEED")
    parser.add_argument("--sqlite", type=int, nargs="*", default=[], metavar="SEED")
    parser.add_argument("--from", dest="files", type=Path, nargs="*", default=[])
    chosen = parser.parse_args()
    if chosen.files:
        rows = [read(file) for file in chosen.files]
    else:
        plans = [Plan(seed=seed, database="postgresql") for seed in chosen.postgresql]
        plans += [Plan(seed=seed, database="sqlite") for seed in chosen.sqlite]
        plans += [mutant(name, seed=3) for name in MUTATIONS]
        rows = [blow(plan) for plan in plans]
    print("\n".join(tables(rows)))
    sys.exit(0 if all(row["stood"] == (row["plan"]["mutation"] is None) for row in rows) else 1)


def blow(plan: Plan) -> Row:
    """One storm in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="inspectq-storm-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # PostgreSQL's account has to enter it
        outcome = storm(plan, Path(folder))
    return {**asdict(outcome), "stood": not outcome.violations}


def read(file: Path) -> Row:
    """The outcome that `tests.storm.run` printed, behind its log or by itself."""
    text = file.read_text(encoding="utf-8")
    row: Row = json.loads(text[text.index("{\n") : text.rindex("}") + 1])
    return row


def tables(rows: list[Row]) -> list[str]:
    """Markdown: the storms, the seconds to recover, the mutations."""
    storms = [row for row in rows if row["plan"]["mutation"] is None]
    lines = [
        "| database | seed | images | faults | attempts repeated | most faults of a batch | services restarted "
        "| resends | seconds | what did not hold |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in storms:
        plan, wrong = row["plan"], "; ".join(row["violations"]) or "nothing"
        cells = [plan["database"], plan["seed"], row["images"], sum(row["faults"].values()), row["attempts_repeated"]]
        cells += [row["most_faults_of_a_batch"], row["restarts"], row["sent_again"], f"{row['seconds']:.0f}", wrong]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    lines += ["", "| fault | times | seconds to recover: median | longest |", "| --- | --- | --- | --- |"]
    times: Counter[str] = Counter()
    recovery = defaultdict(list)
    for row in storms:
        for kind, number in row["faults"].items():
            times[kind] += number
        for kind, pair in row["recovery_seconds"].items():
            recovery[kind].append(pair)
    for kind in sorted(times):
        if pairs := recovery.get(kind):
            middle, longest = median(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
            lines.append(f"| {kind} | {times[kind]} | {middle:.1f} | {longest:.1f} |")
        else:
            lines.append(f"| {kind} | {times[kind]} | | |")
    lines += ["", "| mutation | faults | what the storm found |", "| --- | --- | --- |"]
    for row in rows:
        if name := row["plan"]["mutation"]:
            faults = ", ".join(f"{number} {kind}" for kind, number in row["faults"].items())
            lines.append(f"| {MUTATIONS[name].what} | {faults} | {'; '.join(row['violations']) or 'NOTHING'} |")
    return lines


if __name__ == "__main__":
    main()
