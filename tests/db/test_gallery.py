"""Do the pages of a gallery hold every image once, in order, and only those that were wanted?"""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from db import gallery, jobs, operating_points, rejudging
from db.engine import Engine, reading, writing
from db.errors import Refused
from db.gallery import Sort, Wanted
from db.models import Disposition, ReviewDecision
from tests.db.test_rejudging import propose
from tests.db.test_reviews import decide, judged_job

# PASS below 0.2, FAIL from 0.8. Two have the same score; "B/…" is another folder than "b/…".
SCORES: dict[str, float | None] = {
    "a/1.png": 0.05,
    "a/2.png": 0.5,
    "a/sub/3.png": 0.5,
    "ab/4.png": 0.81,
    "B/5.png": 0.19,
    "b/6.png": 0.99,
    "b/broken.png": None,
    "b/100%.png": 0.6,
    "b/lost.png": None,
}


def pages(engine: Engine, job: int, wanted: Wanted, images: int) -> list[list[str]]:
    with reading(engine) as session:
        found, after = [], None
        while True:
            page = gallery.page(session, jobs.get(session, job), wanted, images=images, after=after)
            found.append([one.verdict.path for one in page.images])
            if (after := page.after) is None:
                return found


ORDERS: dict[Sort, Callable[[str], Any]] = {
    Sort.SCORE: lambda path: (SCORES[path] is None, -(SCORES[path] or 0), 0 if SCORES[path] else path),
    Sort.LOW_SCORE: lambda path: (SCORES[path] is None, SCORES[path] or 0, 0 if SCORES[path] else path),
    Sort.PATH: lambda path: path,
}


def test_the_pages_hold_every_image_once_and_in_order(engine: Engine) -> None:
    job = judged_job(engine, SCORES)
    for sort, key in ORDERS.items():
        for images in (1, 2, 3, 9, 20):
            found = pages(engine, job, Wanted(sort=sort), images)
            assert [len(page) for page in found[:-1]] == [images] * (len(found) - 1)
            together = [path for page in found for path in page]
            assert together == (sorted(SCORES, key=key) if sort is not Sort.PATH else sorted_by(engine, SCORES))


def sorted_by(engine: Engine, paths: Any) -> list[str]:
    """As the database sorts text."""
    with reading(engine) as session:
        words = " UNION ALL ".join(f"SELECT '{path}' AS path" for path in paths)
        return list(session.scalars(text(f"{words} ORDER BY path")))


def test_the_closest_to_a_limit_comes_first(engine: Engine) -> None:
    job = judged_job(engine, SCORES)
    (found,) = pages(engine, job, Wanted(sort=Sort.DOUBT), 9)
    assert found[:2] in (["B/5.png", "ab/4.png"], ["ab/4.png", "B/5.png"])  # 0.01 both
    assert found[2:4] == ["a/1.png", "b/6.png"]
    assert found[-2:] == ["b/broken.png", "b/lost.png"]


WANTED = [
    (Wanted(disposition=Disposition.REVIEW), "a/2.png a/sub/3.png b/100%.png"),
    (Wanted(disposition=Disposition.UNREADABLE), "b/broken.png b/lost.png"),
    (Wanted(folder="a"), "a/1.png a/2.png a/sub/3.png"),
    (Wanted(folder="b"), "b/6.png b/broken.png b/100%.png b/lost.png"),
    (Wanted(text="BRO"), "b/broken.png"),
    (Wanted(text="%"), "b/100%.png"),
    (Wanted(text="_"), ""),
    (Wanted(score_from=0.5, score_below=0.6), "a/2.png a/sub/3.png"),
    (Wanted(score_from=0.5, folder="a", text="3"), "a/sub/3.png"),
    (Wanted(decision=ReviewDecision.FAIL), "a/1.png"),
    (Wanted(decision=ReviewDecision.PASS), ""),
]


def test_only_what_was_wanted_is_there_and_counted(engine: Engine) -> None:
    job = judged_job(engine, SCORES)
    first = decide(engine, job, "a/1.png", "PASS")
    decide(engine, job, "a/1.png", "FAIL", seen=first)
    for wanted, paths in WANTED:
        assert {path for page in pages(engine, job, wanted, 2) for path in page} == set(paths.split()), wanted
        with reading(engine) as session:
            assert gallery.count(session, jobs.get(session, job), wanted) == len(paths.split())


def test_an_image_that_was_judged_anew_is_there_once_with_what_counts(engine: Engine) -> None:
    job = judged_job(engine, SCORES)
    decide(engine, job, "a/2.png", "FAIL")
    point = propose(engine, 0.9, 0.9)
    with writing(engine) as session:
        rejudging.rejudge(session, jobs.get(session, job), operating_points.get(session, point), actor="tester")
    with reading(engine) as session:
        page = gallery.page(session, jobs.get(session, job), Wanted(), images=20)
        told = {one.verdict.path: (one.verdict.disposition.value, one.final.value) for one in page.images}
    assert len(page.images) == len(SCORES)
    assert told["a/2.png"] == ("PASS", "FAIL")
    assert told["a/sub/3.png"] == ("PASS", "PASS")


def test_what_no_page_gave_as_its_end_is_refused(engine: Engine) -> None:
    job = judged_job(engine, SCORES)
    cursors = ["x", "", "W10=", "WzAsICJhIiwgMV0=", "WzksIDAuNSwgMV0=", "WzAsIDAuNSwgLTFd", "WzAsIDAuNSwgMWU5OV0=", "é"]
    for cursor in cursors:
        with reading(engine) as session, pytest.raises(Refused, match="Begin with the first one"):
            gallery.page(session, jobs.get(session, job), Wanted(), images=2, after=cursor)


def test_scores_are_counted_in_cells(engine: Engine) -> None:
    job = judged_job(engine, {"a": 0.0, "b": 0.0999, "c": 0.1, "d": 0.55, "e": 1.0, "f": None})
    with reading(engine) as session:
        cells = gallery.scores_in_cells(session, jobs.get(session, job), cells=10)
    assert cells == [2, 1, 0, 0, 0, 1, 0, 0, 0, 1]
