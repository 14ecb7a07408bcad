"""The pages about images: the gallery of a job, one image, and its pictures. An image is asked for by its verdict."""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel

from console.report.thumbnails import explanation
from console.web.context import Context, Number, Shared
from console.web.people import Inspecting
from console.web.pictures import NoPicture
from db import gallery, jobs, results, reviews
from db.engine import Session, reading, writing
from db.gallery import Sort, Wanted
from db.models import Checkpoint, Disposition, InspectionJob, InspectionResult, ReviewDecision
from db.reviews import NewReview, final_disposition

router = APIRouter()
PAGE_IMAGES = 60
_SAME_FILE = 20  # verdicts on it that are shown
# Named by the bytes of a file, so what it shows never changes; but not for others who share the browser's cache.
KEPT = {"Cache-Control": "private, max-age=86400, immutable"}


class Filter(BaseModel):
    """What a person chose, as it stands in the address."""

    verdict: str = ""
    decision: str = ""
    score_from: str = ""
    score_below: str = ""
    folder: str = ""
    text: str = ""
    sort: str = "score"

    def wanted(self) -> Wanted:
        """What is meant. What does not mean anything chooses nothing: an address that was cut off shows images."""
        return Wanted(
            disposition=Disposition(self.verdict) if self.verdict in set(Disposition) else None,
            decision=ReviewDecision(self.decision) if self.decision in set(ReviewDecision) else None,
            score_from=_number(self.score_from),
            score_below=_number(self.score_below),
            folder=self.folder.strip().strip("/"),
            text=self.text.strip(),
            sort=Sort(self.sort) if self.sort in set(Sort) else Sort.SCORE,
        )

    def words(self) -> str:
        """As a part of an address."""
        return urlencode({name: value for name, value in self if value not in ("", "score")})


def _number(text: str) -> float | None:
    try:
        return min(max(float(text), 0.0), 1.0) if text else None
    except ValueError:
        return None


@router.get("/jobs/{job}/images", response_class=HTMLResponse)
def show_gallery(
    context: Shared, request: Request, job: Number, chosen: Annotated[Filter, Query()], after: str | None = None
) -> HTMLResponse:
    """The gallery; for htmx only the images, to be put in place of those that are there, or behind them."""
    with reading(context.engine) as session:
        found = jobs.get(session, job)
        page = gallery.page(session, found, chosen.wanted(), images=PAGE_IMAGES, after=after)
        values: dict[str, Any] = {"job": found, "page": page, "chosen": chosen}
        if after is not None:
            return context.page("shots.html.j2", **values)
        values["images"] = gallery.count(session, found, chosen.wanted())
        part = request.headers.get("hx-request") == "true"
        return context.page("gallery_part.html.j2" if part else "gallery.html.j2", **values)


@router.get("/images/{result}", response_class=HTMLResponse)
def show_image(context: Shared, result: Number) -> HTMLResponse:
    with reading(context.engine) as session:
        row, job = _found(session, result)
        decided = reviews.of_image(session, job.id, row.path)
        review = reviews.counting_of(decided, row.sha256)
        return context.page(
            "image.html.j2",
            job=job,
            row=row,
            final=final_disposition(row, review),
            review=review,
            decided=decided,
            undone={one.undoes for one in decided},
            same=results.of_file(session, row.sha256, limit=_SAME_FILE) if row.sha256 else [],
            explanation=explanation(row.reason_code),
        )


@router.post("/images/{result}/decide")
def decide(
    context: Shared,
    looking: Inspecting,
    result: Number,
    decision: Annotated[ReviewDecision, Form()],
    seen: Annotated[str, Form(max_length=20)] = "",
    reason_code: Annotated[str, Form(max_length=50)] = "",
) -> Response:
    """With score and verdict in view; the queue is where people decide without (console/web/review.py)."""
    with writing(context.engine) as session:
        row, job = _found(session, result)
        new = NewReview(
            job=job.id,
            path=row.path,
            decision=decision,
            reviewer=looking.name,
            account=looking.account,
            seen=int(seen) if seen.isdecimal() else None,
            reason_code=reason_code.strip() or None,
        )
        reviews.decide(session, new)
    return RedirectResponse(f"/images/{result}", status_code=303)


@router.get("/images/{result}/small.jpg")
def small_picture(context: Shared, result: Number) -> Response:
    return _picture(context, result, full=False)


@router.get("/images/{result}/full.jpg")
def full_picture(context: Shared, result: Number) -> Response:
    return _picture(context, result, full=True)


@router.get("/images/{result}/heat.png")
def heat(context: Shared, result: Number) -> Response:
    """Where the very model of the verdict saw a defect, to be laid over the picture or its tile."""
    with reading(context.engine) as session:
        row, job = _found(session, result)
        model = session.get_one(Checkpoint, row.checkpoint_id)
    try:
        png = context.heat_maps.png(job, row, model)
    except NoPicture as problem:
        return JSONResponse({"detail": str(problem)}, status_code=404)
    return Response(png, media_type="image/png", headers=KEPT)


def _picture(context: Context, result: int, *, full: bool) -> Response:
    with reading(context.engine) as session:
        row, job = _found(session, result)
    return picture_of(context, lambda: (context.pictures.full if full else context.pictures.small)(job, row), full=full)


def picture_of(context: Context, draw: Callable[[], bytes], *, full: bool) -> Response:
    """What `draw` gives, or in its place the sentence that says why there is none: an error would show nothing."""
    try:
        jpeg = draw()
    except NoPicture as problem:
        drawn = context.text("no_picture.svg.j2", sentence=str(problem), small=not full)
        return Response(drawn, media_type="image/svg+xml", headers={"Cache-Control": "no-store"})
    return Response(jpeg, media_type="image/jpeg", headers=KEPT)


def _found(session: Session, result: int) -> tuple[InspectionResult, InspectionJob]:
    row = results.get(session, result)
    return row, jobs.get(session, row.job_id)
