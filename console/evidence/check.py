"""Does this bundle fit together, and are the images still those that were judged?

    python3 check.py [FOLDER OF THE IMAGES]

Asks nothing but the files beside it and Python's own library (3.11 or later). Exit code 1 where something does not fit.
"""

import csv
import hashlib
import itertools
import json
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

HERE = Path(__file__).resolve().parent
FILES = (
    *("README.txt", "audit-chain.json", "audit-events.jsonl", "check.py", "confusion-matrix.csv", "evaluation.json"),
    *("images.sha256", "job.json", "model.json", "operating-point.json", "records.jsonl", "report.html"),
    *("verdict-rows.jsonl", "verdicts.csv", "verdicts.json", "versions.json"),
)
APPROVAL = "operating_point_approval"
DISPOSITIONS = ("PASS", "FAIL", "REVIEW", "UNREADABLE")
# Columns that may hold nothing: a record then leaves them out, and a document that tells a value made it up.
NULLABLE: dict[str, tuple[str, ...]] = {
    "inspection_job": ("audit_rate",),
    "training_run": ("best_epoch", "calibration"),
    "dataset_snapshot": ("split_seed", "test_share", "near_twins_across_splits", "group_rule"),
    "operating_point": ("targets", "evaluation_id", "proposed_by"),
    "evaluation": (
        *("leaking", "leaks", "accuracy_lcl", "accuracy_ucl", "miss_rate", "miss_rate_lcl", "miss_rate_ucl"),
        *("false_alarm_rate", "false_alarm_rate_lcl", "false_alarm_rate_ucl"),
        *("escapes_ppm", "escapes_ppm_lcl", "escapes_ppm_ucl", "auroc", "auroc_lcl", "auroc_ucl"),
        *("average_precision", "average_precision_lcl", "average_precision_ucl", "ece"),
    ),
    "class_metric": ("precision_lcl", "precision_ucl", "recall_lcl", "recall_ucl", "f1_lcl", "f1_ucl"),
}
# What limits make of labelled images: the images' own class, and what they are judged.
COUNTS = {
    "defective": ("defective", "all"),
    "missed": ("defective", "PASS"),
    "defective_reviewed": ("defective", "REVIEW"),
    "good": ("good", "all"),
    "alarms": ("good", "FAIL"),
    "good_reviewed": ("good", "REVIEW"),
}
# What a verdict tells of the decision about its image that counts, and what the decision's own row calls it.
DECIDED = {
    "decision": "decision",
    "review_reason": "reason_code",
    "reviewed_by": "reviewer",
    "reviewed_at": "created_at",
    "review": "id",
}
# What the rows of the database call otherwise than the verdicts do.
RENAMED = {"job": "job_id", "batch": "batch_id", "result": "id", "operating_point": "operating_point_id"}


def main() -> int:
    """Every check; the number of those that found something."""
    events = Events()
    checks = {
        "the files of the bundle": (unlisted(), altered("SHA256SUMS", HERE)),
        "the audit events": (events.read(),),
        "the records": (records(events),),
        "the verdicts": (verdicts(events),),
    }
    if len(sys.argv) > 1:
        checks["the images"] = (altered("images.sha256", Path(sys.argv[1])),)
    wrong = 0
    for found in itertools.chain(*checks.values()):
        for line in to_its_end(found):
            print(f"WRONG: {line}")
            wrong += 1
    print(f"{wrong} things do not fit." if wrong else f"{', '.join(checks)}: everything fits.")
    return 1 if wrong else 0


def to_its_end(found: Iterator[str]) -> Iterator[str]:
    """What is found, and that what is read is not what it should be."""
    try:
        yield from found
    except (OSError, ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
        yield f"a file cannot be read to its end: {type(error).__name__}: {error}"


def unlisted() -> Iterator[str]:
    """Files of a bundle of which SHA256SUMS says nothing."""
    with (HERE / "SHA256SUMS").open("rb") as lines:
        listed = {entry(line)[1].decode() for line in lines}
    for name in FILES:
        if name not in listed:
            yield f"{name} is not in SHA256SUMS"


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


class Events:
    """What the audit events of the bundle report."""

    def __init__(self) -> None:
        self.job: int | None = None
        self.sealed: dict[tuple[str, int], str] = {}  # (table, id) -> digest of the record
        self.batches: dict[tuple[int, int], tuple[int, str]] = {}  # (batch, revision) -> (verdicts, their digest)
        self.revisions: dict[int, tuple[int, str]] = {}  # that were judged anew, likewise
        self.last: dict[str, int] = {}  # table -> the last id from before there were digests
        self.submitted = False
        self.limits: int | None = None  # the operating point by which the job is judged
        self.end: dict[str, Any] = {}  # what the job's newest end, or judging anew, counts
        self.approvals: dict[int, dict[str, Any]] = {}  # by operating point
        self.reviews: dict[int, dict[str, Any]] = {}  # the decisions of people, as their records have them

    def read(self) -> Iterator[str]:
        """What is wrong with them."""
        self.job = load("job.json")["job"]
        before: dict[str, Any] | None = None
        for event in lines_of("audit-events.jsonl"):
            content = [event[name] for name in ("previous", "time", "actor", "action", "subject", "details")]
            if digest_of(encoded(content, sort_keys=True)) != event["digest"]:
                yield f"event {event['event']} was altered"
            if before and event["event"] <= before["event"]:
                yield f"event {event['event']} stands behind event {before['event']}"
            if before and event["event"] == before["event"] + 1 and event["previous"] != before["digest"]:
                yield f"event {event['event']} does not follow from event {before['event']}"
            self._take(event["action"], event["subject"], event["details"])
            before = event
        if not self.submitted:
            yield f"no event reports that job {self.job} was submitted"

    def _take(self, action: str, subject: str, details: dict[str, Any]) -> None:
        for table, number, digest in details.get("sealed", ()):
            self.sealed[table, number] = digest
        if action == "seals.begin":
            self.last = {table: older["last"] for table, older in details.items()}
        elif action == "results.add":
            batch = int(subject.partition(":")[2])
            self.batches[batch, details["revision"]] = (details["images"], details["digest"])
        elif action == "threshold.approve":
            self.approvals[details["operating_point"]] = details
        elif subject == f"job:{self.job}":
            if action == "job.rejudge":
                self.revisions[details["revision"]] = (details["judged"], details["digest"])
            self.submitted |= action == "job.submit"
            self.limits = details.get("operating_point", self.limits)
            if action in ("job.done", "job.cancel", "job.retry", "job.failed", "job.rejudge"):
                self.end = details if action != "job.failed" else {}  # after that a worker may still save what it held

    def is_newer(self, table: str, number: int) -> bool:
        """Whether an event has to report it."""
        return table not in self.last or number > self.last[table]


Found = dict[tuple[str, int], dict[str, list[dict[str, Any]]]]  # (table, id) of a record -> table -> rows


def records(events: Events) -> Iterator[str]:
    """Records without the digest that their event keeps of them; documents that say something else than these."""
    found: Found = {}
    for (table, number), digest, tables in read_records():
        found[table, number] = tables
        if table == "review":
            events.reviews[number] = tables[table][0]
        if (table, number) in events.sealed:
            if events.sealed[table, number] != digest:
                yield f"{table} {number} is not as its event reported it"
        elif events.is_newer(table, number):
            yield f"no event reports {table} {number}"
    for table, number in sorted(events.sealed.keys() - found.keys()):
        if table in ("review", "sample_draw"):
            yield f"{table} {number} is missing"
    yield from contradictions(events, found)


def read_records() -> Iterator[tuple[tuple[str, int], str, dict[str, list[dict[str, Any]]]]]:
    """(table and id, digest, rows by table) of each record of the file."""
    key, name, rows, digest = None, "", 0, hashlib.sha256()
    tables: dict[str, list[dict[str, Any]]] = {}
    for line in itertools.chain(lines_of("records.jsonl"), [{"record": None}]):
        if "row" in line:
            digest.update((b"," if rows else b"") + encoded(line["row"]).encode())
            rows += 1
            kept = line["row"]
            if name == "evaluation_score":  # one for each image: no more of it is held than is counted
                kept = {"actual": kept["actual"], "score": kept.get("score")}
            tables[name].append(kept)
            continue
        if name:
            digest.update(b"]")
        name, rows = line.get("table", ""), 0
        if name:
            tables[name] = []
            digest.update(f"{name}[".encode())
            continue
        if key:
            yield (key[0], key[1]), digest.hexdigest(), tables
        key, tables, digest = line["record"], {}, hashlib.sha256()


def contradictions(events: Events, found: Found) -> Iterator[str]:
    """Documents for people that do not say what the records say."""
    job, model, limits, judged_on = map(load, ("job.json", "model.json", "operating-point.json", "evaluation.json"))
    row_of = {key: tables[key[0]][0] for key, tables in found.items() if tables.get(key[0])}

    def differing(name: str, document: dict[str, Any], table: str, number: int) -> Iterator[str]:
        yield from differences(name, document, table, row_of.get((table, number)))

    own = row_of.get(("inspection_job", job["job"]), {})
    checkpoint = row_of.get(("checkpoint", own.get("checkpoint_id", 0)), {})
    run = row_of.get(("training_run", checkpoint.get("training_run_id", 0)), {})
    yield from differing("job.json", job, "inspection_job", job["job"])
    yield from differing("model.json", model, "checkpoint", own.get("checkpoint_id", 0))
    yield from differing("model.json", model["training_run"], "training_run", checkpoint.get("training_run_id", 0))
    yield from differing("model.json", model["dataset"], "dataset_snapshot", run.get("dataset_snapshot_id", 0))
    point = limits["operating_point"]
    told = {**limits, "evaluation_id": limits["evaluation"] and int(limits["evaluation"].lstrip("e"))}
    yield from differing("operating-point.json", told, "operating_point", point)
    yield from miscounted(limits, found)
    if events.limits not in (None, point):
        yield f"operating-point.json is about {point}; by the events the job is judged by {events.limits}"
    signed, approvals = events.approvals.get(point), [row for (table, _), row in row_of.items() if table == APPROVAL]
    if limits["approved_by"] != (signed and signed["by"]) or limits["reason"] != (signed and signed["reason"]):
        yield f"operating-point.json says {limits['approved_by']!r} approved it, its event {signed and signed['by']!r}"
    if limits["approved"]:
        own_approval = [row for row in approvals if row["operating_point_id"] == point]
        yield from differences("operating-point.json", limits, APPROVAL, own_approval[0] if own_approval else None)
    matrix: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)
    with (HERE / "confusion-matrix.csv").open(encoding="utf-8", newline="") as file:
        for cell in csv.DictReader(file):
            matrix[cell["evaluation"]][plain(cell["actual"]), plain(cell["predicted"])] = int(cell["images"])
    for each in judged_on:
        name, key = each["evaluation"], ("evaluation", int(each["evaluation"].lstrip("e")))
        yield from differing(f"evaluation.json, {name}", each, *key)
        dataset = row_of.get(key, {}).get("dataset_snapshot_id", 0)
        yield from differing(f"evaluation.json, {name}, dataset", each["dataset"], "dataset_snapshot", dataset)
        for part, table in (("class_metrics", "class_metric"), ("confusion_matrix", "confusion_cell")):
            kept = sorted(
                found.get(key, {}).get(table, []), key=lambda row: int(row["position" if "position" in row else "id"])
            )
            for one, row in itertools.zip_longest(each[part], kept):
                yield from differences(f"evaluation.json, {name}, {part}", one or {}, table, row)
        cells = {(plain(c["actual"]), plain(c["predicted"])): c["images"] for c in each["confusion_matrix"]}
        if cells != matrix.pop(name, {}):
            yield f"confusion-matrix.csv says something else of {name} than evaluation.json"
    for name in matrix:
        yield f"confusion-matrix.csv is about {name}, of which evaluation.json says nothing"


def miscounted(limits: dict[str, Any], found: Found) -> Iterator[str]:
    """What the limits are said to give on an evaluation's images, where their scores give something else."""
    for gives in limits["gives"]:
        tables = found.get(("evaluation", int(gives["evaluation"].lstrip("e"))), {"evaluation": [{}]})
        dataset = found.get(("dataset_snapshot", tables["evaluation"][0].get("dataset_snapshot_id", 0)), {})
        positive = dataset.get("dataset_snapshot", [{}])[0].get("positive_class")
        counted = Counter[tuple[str, str]]()
        for row in tables.get("evaluation_score", []):
            if row["score"] is not None:
                actual = "defective" if row["actual"] == positive else "good"
                counted.update([(actual, "all"), (actual, judged(row["score"], limits))])
        for name, key in COUNTS.items():
            if gives[name] != counted[key]:
                yield f"operating-point.json says {name} {gives[name]} of {gives['evaluation']}, not {counted[key]}"


def differences(name: str, document: dict[str, Any], table: str, row: dict[str, Any] | None) -> Iterator[str]:
    """What the document says otherwise than the row of that table."""
    if not row:
        yield f"there is no record of what {name} says"
        return
    for key, value in {**dict.fromkeys(NULLABLE.get(table, ())), **row}.items():
        if key in document and document[key] != value:
            yield f"{name} says {key} {document[key]!r}, the record {value!r}"


def verdicts(events: Events) -> Iterator[str]:
    """Verdicts that do not follow from their scores and the limits, or that no event reports; images without one."""
    newest: dict[str, tuple[int, bytes]] = {}
    yield from rows(events, newest)
    limits, job, counted = load("operating-point.json"), load("job.json"), Counter[str]()
    decided = counting(events.reviews)
    with (
        (HERE / "verdicts.csv").open(encoding="utf-8", newline="") as file,
        (HERE / "images.sha256").open("rb") as sums,
    ):
        for row, cells in itertools.zip_longest(lines_of("verdicts.json"), csv.DictReader(file)):
            if row is None or cells is None:
                yield "verdicts.csv and verdicts.json have not as many lines"
                break
            counted[row["disposition"].lower()] += 1
            if {key: plain(said(value)) for key, value in row.items()} != {k: plain(v) for k, v in cells.items()}:
                yield f"{row['path']!r}: verdicts.csv and verdicts.json say something else"
            if row["disposition"] != (expected := judged(row["score"], limits)):
                yield f"{row['path']!r} is {row['disposition']}; its score and the limits say {expected}"
            if row["score"] is not None and row["operating_point"] != limits["operating_point"]:
                yield f"{row['path']!r} was judged by operating point {row['operating_point']}"
            if newest.pop(row["path"], (0, b""))[1] != fingerprint({RENAMED.get(k, k): v for k, v in row.items()}):
                yield f"{row['path']!r} has another verdict in verdict-rows.jsonl"
            review = decided.get((row["path"], row["sha256"]), {})
            says: dict[str, Any] = {"final_disposition": final(row["disposition"], review)}
            says |= {column: review.get(name) for column, name in DECIDED.items()}
            for column, value in says.items():
                if row[column] != value:
                    yield f"{row['path']!r}: {column} is {row[column]!r}, by the decisions in records.jsonl {value!r}"
            if row["sha256"] is not None and entry(next(sums, b"")) != (row["sha256"], to_bytes(row["path"])):
                yield f"{row['path']!r} has another sha256 in images.sha256"
        if next(sums, None) is not None:
            yield "images.sha256 has more lines than there are images that could be read"
    for path in itertools.islice(newest, 10):
        yield f"{path!r} has a verdict in verdict-rows.jsonl and none in verdicts.json"
    yield from ledger(job, counted, events.end)


def rows(events: Events, newest: dict[str, tuple[int, bytes]]) -> Iterator[str]:
    """Verdicts that are not as their event reported them; fills `newest` with the last one of each path."""
    found: dict[tuple[str, int, int], list[Any]] = {}  # of each digest: how many, the digest, is an event needed
    for row in lines_of("verdict-rows.jsonl"):
        anew = row["revision"] in events.revisions and "rejudged_from" in row
        key = ("revision", 0, row["revision"]) if anew else ("batch", row["batch_id"], row["revision"])
        one = found.setdefault(key, [0, hashlib.sha256(b"inspection_result["), False])
        one[1].update((b"," if one[0] else b"") + encoded(row).encode())
        one[0] += 1
        one[2] |= events.is_newer("inspection_result", row["id"])
        if row["revision"] > newest.get(row["path"], (0, b""))[0]:
            newest[row["path"]] = (row["revision"], fingerprint(row))
    reported = {("revision", 0, revision): sealed for revision, sealed in events.revisions.items()}
    reported |= {("batch", batch, revision): sealed for (batch, revision), sealed in events.batches.items()}
    for (kind, batch, revision), (number, digest, needed) in found.items():
        digest.update(b"]")
        which = f"batch {batch}" if kind == "batch" else f"revision {revision}"
        sealed = reported.pop((kind, batch, revision), None)
        if sealed is None and needed:
            yield f"no event reports the verdicts of {which}"
        elif sealed is not None and sealed != (number, digest.hexdigest()):
            yield f"the verdicts of {which} are not as their event reported them"
    for kind, batch, revision in (key for key, (number, _) in reported.items() if number):
        yield f"the verdicts of {f'batch {batch}' if kind == 'batch' else f'revision {revision}'} are missing"


def ledger(job: dict[str, Any], counted: Counter[str], end: dict[str, Any]) -> Iterator[str]:
    """Images that are not accounted for. Of a failed job some may have no verdict yet."""
    words = {**counted, "cancelled": job["ledger"]["cancelled"], "submitted": job["ledger"]["submitted"]}
    for word in (disposition.lower() for disposition in DISPOSITIONS):
        if counted[word] != job["ledger"][word]:
            yield f"{counted[word]} verdicts are {word}, the ledger says {job['ledger'][word]}"
    for word, number in end.items():
        if word in job["ledger"] and words.get(word, 0) != number:
            yield f"{words.get(word, 0)} images are {word}, the event of the job's end says {number}"
    left = job["open_images"] if job["state"] == "failed" else 0
    if sum(counted.values()) + words["cancelled"] + left != words["submitted"]:
        yield f"{words['submitted']} images were submitted, and the ledger does not account for all of them"


def counting(reviews: dict[int, dict[str, Any]]) -> dict[tuple[str, str | None], dict[str, Any]]:
    """(path, sha256) -> the last decision about that image that nobody took back."""
    undone = {row.get("undoes") for row in reviews.values()}
    stand = {number: row for number, row in reviews.items() if "undoes" not in row and number not in undone}
    return {(stand[number]["path"], stand[number].get("sha256")): stand[number] for number in sorted(stand)}


def final(disposition: str, review: dict[str, Any]) -> str:
    """What comes of a verdict and a decision."""
    decision: str = review.get("decision", disposition)
    return "REVIEW" if decision == "UNSURE" else decision


def judged(score: float | None, limits: dict[str, Any]) -> str:
    """What a score and the limits say."""
    if score is None:
        return "UNREADABLE"
    if score < limits["pass_below"]:
        return "PASS"
    return "FAIL" if score >= limits["fail_from"] else "REVIEW"


def fingerprint(row: dict[str, Any]) -> bytes:
    """Of what a verdict says, without NULLs, what stands for its model, and what people decided."""
    others = ("checkpoint_id", "checkpoint_digest", "model", "final_disposition", *DECIDED)
    kept = {name: value for name, value in row.items() if value is not None and name not in others}
    return hashlib.sha256(encoded(kept, sort_keys=True).encode()).digest()


def to_bytes(path: str) -> bytes:
    """The name of a file, of which a byte that is no text is written as backslash, x, and two digits."""
    return re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), path.encode())


def plain(text: str) -> str:
    """Without apostrophes: the spreadsheets' files have more of them."""
    return text.replace("'", "")


def said(value: Any) -> str:
    """A value as a cell of a spreadsheet."""
    return "" if value is None else str(value)


def encoded(value: Any, *, sort_keys: bool = False) -> str:
    """JSON as digests cover it."""
    return json.dumps(value, separators=(",", ":"), sort_keys=sort_keys)


def digest_of(text: str) -> str:
    """Its sha256, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def lines_of(name: str) -> Iterator[Any]:
    """The values of a file that has one on each line, also where they are the elements of one array."""
    with (HERE / name).open(encoding="utf-8") as lines:
        for line in lines:
            if (value := line.strip().rstrip(",")) not in ("", "[", "]"):
                yield json.loads(value)


def load(name: str) -> Any:
    """A JSON file of the bundle."""
    with (HERE / name).open(encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    sys.exit(main())
