"""How long does the console wait for the database, of a job with many images?

    python -m benchmarks.gallery [--images 100000]

Verdicts are made up, a third of them in REVIEW, on SQLite. What pages and the review queue ask for is asked five times;
told is the median, in milliseconds.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from benchmarks.homes import MODEL, Home
from benchmarks.machine import described
from db import checkpoints, gallery, jobs, operating_points, review_queue, reviews, samples, tally
from db.engine import Engine, Session, writing
from db.gallery import Sort, Wanted
from db.models import Base, BatchState, Disposition, JobState, ReviewDecision
from db.reviews import NewReview

LIMITS = (0.33, 0.67)
BATCH, PAGE, TIMES = 64, 60, 5
SEED = 20261128
_TABLES = Base.metadata.tables


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory(prefix="inspectq-bench-") as name:
        home = Home(folder=Path(name))
        home.train(Path(name) / "training", images=6, size=32, export=False)
        engine = home.engine
        job = fill(engine, options.images)
        print(f"{described()}\n\n{options.images} images\n")
        print("| asked | ms |\n| --- | --- |")
        for asked, run in questions(job).items():
            print(f"| {asked} | {measured(engine, run):.1f} |", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    return parser.parse_args()


def fill(engine: Engine, images: int) -> int:
    """A done job with so many verdicts. Written by hand: how fast verdicts are saved is asked elsewhere."""
    draw = random.Random(SEED)  # noqa: S311 - scores, no secrets
    with writing(engine) as session:
        model = checkpoints.find(session, MODEL)
        point = operating_points.propose(session, model, pass_below=LIMITS[0], fail_from=LIMITS[1], actor="benchmark")
        operating_points.approve(session, point, by="benchmark", reason="measured", account="benchmark")
        made = jobs.submit(
            session,
            root="/images",
            checkpoint=model,
            operating_point=point,
            priority=0,
            batch_images=BATCH,
            submitted_by="benchmark",
        )
        job, now = made.id, made.submitted_at
        for first in range(0, images, BATCH):
            numbers = range(first, min(first + BATCH, images))
            paths = [f"line-{number % 7}/{number:07}.jpg" for number in numbers]
            batch = {
                "id": first // BATCH + 1,
                "job_id": job,
                "sequence": first // BATCH,
                "revision": 1,
                "state": BatchState.DONE,
                "images": len(paths),
                "paths": paths,
                "attempt": 1,
                "faults": 0,
                "finished_at": now,
            }
            session.execute(insert(_TABLES["batch"]), batch)
            verdicts = [
                {
                    "job_id": job,
                    "batch_id": batch["id"],
                    "path": path,
                    "revision": 1,
                    "sha256": f"{number:064x}",
                    "size": 1,
                    "width": 1,
                    "height": 1,
                    "score": (score := draw.random()),
                    "label": "ok",
                    "disposition": Disposition.of(score, *LIMITS),
                    "checkpoint_id": model.id,
                    "operating_point_id": point.id,
                    "engine": "torch",
                    "precision": "fp32",
                    "device": "cpu",
                    "worker": "benchmark",
                    "time": now,
                }
                for number, path in zip(numbers, paths, strict=True)
            ]
            session.execute(insert(_TABLES["inspection_result"]), verdicts)
        made.state, made.submitted, made.planned_at, made.finished_at = JobState.DONE, images, now, now
    return job


Question = Callable[[Session], Any]


def questions(job: int) -> dict[str, Question]:
    """By what a person does."""

    def page(**wanted: Any) -> Question:
        return lambda session: gallery.page(session, jobs.get(session, job), Wanted(**wanted), images=PAGE)

    def later(**wanted: Any) -> Question:
        """The 50th page, from the cursor of the one before it."""
        cursor: list[str | None] = []

        def ask(session: Session) -> Any:
            found = jobs.get(session, job)
            if not cursor:
                after = None
                for _ in range(49):
                    after = gallery.page(session, found, Wanted(**wanted), images=PAGE, after=after).after
                cursor.append(after)
                return None
            return gallery.page(session, found, Wanted(**wanted), images=PAGE, after=cursor[0])

        return ask

    asked: dict[str, Question] = {f"first page by {sort.value}": page(sort=sort) for sort in Sort}
    asked |= {f"50th page by {sort.value}": later(sort=sort) for sort in Sort}
    asked["first page of PASS, highest score first"] = page(disposition=Disposition.PASS)
    asked["first page of a folder, a seventh of all"] = page(folder="line-3")
    asked["first page of paths that hold 0001234"] = page(text="0001234")
    asked["how many are REVIEW"] = lambda session: gallery.count(
        session, jobs.get(session, job), Wanted(disposition=Disposition.REVIEW)
    )
    asked["scores in thousandths"] = lambda session: gallery.scores_in_cells(session, jobs.get(session, job))
    asked["the list's line of the job"] = lambda session: tally.of_jobs(session, [jobs.get(session, job)])
    asked["how far the review is"] = lambda session: review_queue.progress(session, job)
    asked["draw 100 of the passed ones"] = lambda session: samples.draw(
        session, jobs.get(session, job), images=100, drawn_by="benchmark"
    )
    asked["one decision, and the next four images"] = lambda session: _decide(session, job)
    return asked


def _decide(session: Session, job: int) -> None:
    image = review_queue.take(session, job, "benchmark", images=4)[0]
    said = NewReview(
        job=job,
        path=image.path,
        decision=ReviewDecision.PASS,
        reviewer="benchmark",
        account="benchmark",
        seen=image.review,
        blind=True,
    )
    reviews.decide(session, said)
    review_queue.take(session, job, "benchmark", images=4)


def measured(engine: Engine, run: Question) -> float:
    """Milliseconds, the median; once before that unmeasured."""
    took = []
    for _ in range(TIMES + 1):
        with writing(engine) as session:
            began = time.perf_counter()
            run(session)
            took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took[1:])


if __name__ == "__main__":
    main()
