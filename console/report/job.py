"""What happened to the images of one job, and how far can its verdicts be trusted?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from console.drift import defect_rate_words, drift_words, is_alarm
from console.report import charts, page
from console.report.curves import Counts, Floats, bin_edges, count_scores
from console.report.judgement import judgement
from console.report.thumbnails import Exhibit, exhibit, explanation
from console.report.wording import duration
from db import drift, evaluations, jobs, results, review_queue, reviews
from db.engine import Engine, Session, reading
from db.jobs import Ledger
from db.models import OPEN_JOBS, Disposition, Evaluation, InspectionJob, JobDrift
from db.results import FolderCounts, RuntimeCount

MOST_FAIL = 60  # pictures: about 12 kB each, so that the file can still be sent by mail
MOST_REVIEW = 24
MOST_UNREADABLE = 60
MOST_FOLDERS = 20
MOST_WORKERS = 12

OnImage = Callable[[], None]
ResultRow = dict[str, Any]  # the keys of db.results.COLUMNS


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What the database says about a job, read in one transaction and of bounded size."""

    job: InspectionJob
    ledger: Ledger
    edges: Floats
    counts: Counts
    fail: list[ResultRow]
    review: list[ResultRow]
    unreadable: list[ResultRow]
    folders: list[FolderCounts]
    all_folders: int
    runtimes: list[RuntimeCount]
    decided: int  # images that people decided about
    final: dict[Disposition, int]  # what came of verdicts and decisions
    evaluation: Evaluation | None  # the model's latest
    drift: JobDrift | None


def write_job_report(engine: Engine, job_id: int, out: Path, *, on_image: OnImage | None = None) -> None:
    """Write the report of a job to `out`, one self-contained HTML file.

    `on_image` is called after each picture. Raises NotFound, and Refused where `out` cannot be written.
    """
    page.write(job_page(engine, job_id, made_at=datetime.now(UTC), on_image=on_image), out)


def job_page(engine: Engine, job_id: int, *, made_at: datetime, on_image: OnImage | None = None) -> str:
    """The report as text. The same rows and files give the same text at the same `made_at`."""
    with reading(engine) as session:
        facts = _read(session, job_id)
    root, ledger = facts.job.root, facts.ledger
    return page.render(
        "job.html.j2",
        made_at,
        {
            "job": facts.job,
            "ledger": ledger,
            "bars": _bars(ledger),
            "open_images": ledger.submitted - _settled(ledger),
            "is_open": facts.job.state in OPEN_JOBS,
            "timing": _timing(facts.job, ledger),
            "histograms": _histograms(facts),
            "likeness": drift_words(facts.job, facts.drift),
            "is_alarm": is_alarm(facts.drift),
            "drift": facts.drift,
            "defect_rate": defect_rate_words(facts.drift),
            "overlays": _overlays(facts.drift),
            "fail": _gallery(root, facts.fail, ledger.failed, on_image),
            "review": _gallery(root, facts.review, ledger.review, on_image),
            "unreadable": [{**row, "explanation": explanation(row["reason_code"])} for row in facts.unreadable],
            "unreadable_left_out": max(0, ledger.unreadable - len(facts.unreadable)),
            "folders": facts.folders,
            "folders_left_out": max(0, facts.all_folders - len(facts.folders)),
            "decided": facts.decided,
            "final": facts.final,
            "runtimes": facts.runtimes[:MOST_WORKERS],
            "workers_left_out": max(0, len(facts.runtimes) - MOST_WORKERS),
            "evaluation": facts.evaluation,
            "judgement": judgement(facts.evaluation) if facts.evaluation else None,
        },
    )


def _read(session: Session, job_id: int) -> _Facts:
    job = jobs.get(session, job_id)
    point = job.operating_point
    edges = bin_edges(point.pass_below, point.fail_from)
    runtimes = results.runtimes(session, job_id)
    ran = {(runtime.engine, runtime.precision): None for runtime in runtimes}  # the one of most images first
    judged = [
        evaluations.newest(session, job.checkpoint_id, engine=engine, precision=precision) for engine, precision in ran
    ]
    return _Facts(
        job=job,
        ledger=jobs.ledger(session, job_id),
        edges=edges,
        counts=count_scores(results.scores(session, job_id), edges),
        fail=results.ranked(session, job_id, Disposition.FAIL, limit=MOST_FAIL),
        review=results.ranked(session, job_id, Disposition.REVIEW, limit=MOST_REVIEW),
        unreadable=results.ranked(session, job_id, Disposition.UNREADABLE, limit=MOST_UNREADABLE),
        folders=results.by_folder(session, job_id, limit=MOST_FOLDERS),
        all_folders=results.folders(session, job_id),
        runtimes=runtimes,
        decided=review_queue.progress(session, job_id).decided,
        final=reviews.final_counts(session, job_id),
        evaluation=next(filter(None, judged), None) or evaluations.newest(session, job.checkpoint_id),
        drift=drift.of_job(session, job),
    )


def _gallery(root: str, rows: Sequence[ResultRow], total: int, on_image: OnImage | None) -> dict[str, Any]:
    exhibits: list[Exhibit] = []
    for row in rows:
        place = (row["tile_x"], row["tile_y"], row["tile_width"], row["tile_height"])
        mark = None if place[0] is None else place
        exhibits.append(exhibit(root, row["path"], row["sha256"], row["score"], mark))
        if on_image is not None:
            on_image()
    return {"exhibits": exhibits, "total": total, "left_out": max(0, total - len(exhibits))}


def _settled(ledger: Ledger) -> int:
    return ledger.passed + ledger.failed + ledger.review + ledger.unreadable + ledger.cancelled


def _bars(ledger: Ledger) -> list[tuple[str, str, int]]:
    """(the name of its colour, its word, images) of each disposition, in the order of the ledger."""
    return [
        ("pass", "pass", ledger.passed),
        ("fail", "fail", ledger.failed),
        ("review", "review", ledger.review),
        ("unreadable", "unreadable", ledger.unreadable),
        ("cancelled", "cancelled", ledger.cancelled),
    ]


def _timing(job: InspectionJob, ledger: Ledger) -> dict[str, str]:
    """How long, and how fast; nothing while the job runs, or where a retry put idle time between its ends."""
    if job.finished_at is None or job.revision > 1:
        return {}
    span = job.finished_at - job.submitted_at
    said = {"duration": duration(span)}
    inspected = _settled(ledger) - ledger.cancelled
    if inspected and span.total_seconds() > 0:
        rate = inspected / span.total_seconds()
        said["throughput"] = f"{rate:,.0f} images/s" if rate >= 10 else f"{rate:.2g} images/s"
    return said


def _histograms(facts: _Facts) -> dict[str, Any]:
    point = facts.job.operating_point
    limits = (point.pass_below, point.fail_from)
    if not facts.counts.sum():
        return {}
    return {
        "wide": charts.verdict_histogram(facts.edges, facts.counts, limits, charts.WIDE, key="wide"),
        "narrow": charts.verdict_histogram(facts.edges, facts.counts, limits, charts.NARROW, key="narrow"),
    }


def _overlays(row: JobDrift | None) -> dict[str, Any]:
    """The job's scores beside the mixture of the evaluation's that fits them best; nothing where one is missing."""
    if row is None or row.histograms is None or row.prevalence is None or not row.images:
        return {}
    edges, job, defective, good = (np.array(row.histograms[name]) for name in ("edges", "job", "defective", "good"))
    expected = row.prevalence * _shares(defective) + (1 - row.prevalence) * _shares(good)
    return {
        name: charts.overlaid_histograms(edges, _shares(job), expected, size, key=f"drift-{name}")
        for name, size in (("wide", charts.WIDE), ("narrow", charts.NARROW))
    }


def _shares(counts: Counts) -> Floats:
    shares: Floats = counts / max(int(counts.sum()), 1)
    return shares
