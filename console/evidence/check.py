"""Does this bundle fit together, and are the images still those that were judged?

    python3 check.py [FOLDER OF THE IMAGES]

Asks nothing but the files beside it and Python's own library (3.11 or later). Exit code 1 where something does not fit.
"""

import collections
import csv
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Every check; the number of those that found something."""
    wrong = [*altered("SHA256SUMS", HERE), *ill_judged(), *broken_events()]
    done = ["the files of the bundle", "the verdicts", "the ledger", "the audit events"]
    if len(sys.argv) > 1:
        wrong += altered("images.sha256", Path(sys.argv[1]))
        done.append("the images")
    for line in wrong:
        print(f"WRONG: {line}")
    print(f"{len(wrong)} things do not fit." if wrong else f"{', '.join(done)}: everything fits.")
    return 1 if wrong else 0


def altered(manifest: str, folder: Path) -> Iterator[str]:
    """Files below `folder` that are not there, or have another sha256 than the manifest says."""
    with (HERE / manifest).open("rb") as lines:
        for line in lines:
            digest, name = entry(line)
            try:
                with (folder / os.fsdecode(name)).open("rb") as file:
                    found = sha256(file)
            except OSError as error:
                yield f"{name!r} cannot be read: {error.strerror}"
                continue
            if found != digest:
                yield f"{name!r} was altered: its sha256 is {found}"


def entry(line: bytes) -> tuple[str, bytes]:
    """(digest, name) of a line of sha256sum's."""
    escaped = line.startswith(b"\\")
    digest, _, name = line.rstrip(b"\n").lstrip(b"\\").partition(b"  ")
    if escaped:
        letters = {b"n": b"\n", b"r": b"\r", b"\\": b"\\"}
        name = re.sub(rb"\\([nr\\])", lambda found: letters[found[1]], name)
    return digest.decode(), name


def sha256(file: BinaryIO) -> str:
    """In hex, without holding the file in memory."""
    digest = hashlib.sha256()
    for part in iter(lambda: file.read(1 << 20), b""):
        digest.update(part)
    return digest.hexdigest()


def ill_judged() -> Iterator[str]:
    """Verdicts that do not follow from their scores and the limits; images without a verdict."""
    limits, job = load("operating-point.json"), load("job.json")
    counted: Any = collections.Counter()
    with (HERE / "verdicts.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            counted[row["disposition"].lower()] += 1
            if not row["score"]:
                expected = "UNREADABLE"
            elif float(row["score"]) < limits["pass_below"]:
                expected = "PASS"
            else:
                expected = "FAIL" if float(row["score"]) >= limits["fail_from"] else "REVIEW"
            if row["disposition"] != expected:
                yield f"{row['path']!r} is {row['disposition']}; its score and the limits say {expected}"
    ledger = job["ledger"]
    for word in ("pass", "fail", "review", "unreadable"):
        if counted[word] != ledger[word]:
            yield f"{counted[word]} verdicts are {word}, the ledger says {ledger[word]}"
    if sum(counted.values()) + ledger["cancelled"] != ledger["submitted"]:
        yield f"{ledger['submitted']} images were submitted, and the ledger does not account for all of them"


def broken_events() -> Iterator[str]:
    """Events whose digest is not that of their content and of the digest before them."""
    with (HERE / "audit-events.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            content = [event[name] for name in ("previous", "time", "actor", "action", "subject", "details")]
            text = json.dumps(content, sort_keys=True, separators=(",", ":"))
            if hashlib.sha256(text.encode()).hexdigest() != event["digest"]:
                yield f"event {event['event']} was altered"


def load(name: str) -> Any:
    """A JSON file of the bundle."""
    with (HERE / name).open(encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    sys.exit(main())
