"""Is the system well? A page for people, a word for whoever starts and stops the server, figures for Prometheus."""

import logging
from collections.abc import Iterator
from importlib.metadata import version

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from console.profile import MEANING
from console.web.context import Open, Shared
from db import health, stage_times, tally
from db.engine import Engine, Session, reading
from db.errors import ServiceAway

log = logging.getLogger(__name__)
router = APIRouter()
ROLES = ("scheduler", "worker")


@router.get("/health", response_class=HTMLResponse)
def show(context: Shared) -> HTMLResponse:
    with reading(context.engine) as session:
        return context.page(
            "health.html.j2",
            section="health",
            services=health.services(session),
            waiting=health.waiting(session),
            troubles=health.troubles(session),
            jobs=health.jobs_by_state(session),
            seconds=stage_times.by_stage(session),
            meaning=MEANING,
            embedded=context.embedded is not None,
            flower=f"http://{context.settings.flower_address}:{context.settings.flower_port}/",
        )


@router.get("/healthz")
def is_alive() -> PlainTextResponse:
    """This process answers."""
    return PlainTextResponse("ok")


@router.get("/readyz")
def is_ready(context: Open) -> PlainTextResponse:
    """So does the database."""
    try:
        with reading(context.engine) as session:
            health.waiting(session)
    except ServiceAway as away:
        log.warning("not ready: %s", away)
        return PlainTextResponse("the database does not answer", status_code=503)
    return PlainTextResponse("ok")


@router.get("/metrics")
def metrics(context: Shared) -> Response:
    """As the database has them now: whichever process of a cluster is asked, the figures are the same."""
    registry = CollectorRegistry()
    registry.register(_Figures(context.engine))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Figures(Collector):
    """Read from the database when they are asked for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("inspectq", "The console that answers.", {"version": version("inspectq")})
        with reading(self._engine) as session:
            yield from _figures(session)

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask the database."""
        return iter(())


def _figures(session: Session) -> Iterator[Metric]:
    waits = health.waiting(session)
    images = tally.of_ended(session)
    seen = health.services(session)
    yield _gauge(
        "inspectq_images",
        "Images of jobs that have ended, by disposition.",
        "disposition",
        {word: number for word, number in images.to_dict().items() if word != "submitted"},
    )
    jobs = {state.value: number for state, number in health.jobs_by_state(session).items()}
    yield _gauge("inspectq_jobs", "Jobs, by state.", "state", jobs)
    batches = {"planned": waits.planned, "dispatched": waits.dispatched, "running": waits.running}
    yield _gauge("inspectq_open_batches", "Batches that are not done; dispatched: on the queue.", "state", batches)
    yield GaugeMetricFamily("inspectq_open_images", "Images in them.", waits.images)
    oldest = waits.oldest_since.timestamp() if waits.oldest_since else 0
    yield GaugeMetricFamily(
        "inspectq_oldest_open_job_timestamp_seconds",
        "When the oldest job with an open batch was submitted; 0: none.",
        oldest,
    )
    yield from _attempts(health.attempts(session))
    spent = CounterMetricFamily(
        "inspectq_stage_seconds", "Where the time of images went: seconds of all threads, by stage.", labels=["stage"]
    )
    for stage, seconds in sorted(stage_times.by_stage(session).items()):
        spent.add_metric([stage], seconds)
    yield spent
    alive = {role: sum(one.alive for one in seen if one.role == role) for role in ROLES}
    yield _gauge("inspectq_services_alive", "Schedulers and workers seen in the last minute.", "role", alive)
    refused = sum(one.refused_messages for one in seen)
    yield GaugeMetricFamily("inspectq_refused_messages", "Forged or garbled messages that workers refused.", refused)


def _attempts(made: health.Attempts) -> Iterator[Metric]:
    """A counter may never fall, and the faults of a failed job are forgotten when it goes on."""
    yield GaugeMetricFamily(
        "inspectq_batch_faults",
        "Attempts that failed a batch: leases that ran out, processes that died, devices.",
        made.faults,
    )
    yield CounterMetricFamily(
        "inspectq_batch_retries", "Attempts beyond the first, waits for storage among them.", made.retries
    )
    yield CounterMetricFamily(
        "inspectq_lease_expiries", "Leases of batches that their workers stopped renewing.", made.expiries
    )


def _gauge(name: str, about: str, label: str, values: dict[str, int]) -> Metric:
    made = GaugeMetricFamily(name, about, labels=[label])
    for value, number in values.items():
        made.add_metric([value], number)
    return made
