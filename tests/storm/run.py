"""One storm: `python -m tests.storm.run --seed 7 --database postgresql`. Exit 0 where everything held.

Prints the seed, every fault with its time, and what did not hold. The same seed draws the same images,
poison and order of faults; when a fault meets which batch is up to the machine.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import torch
from sqlalchemy import func, select

from console.scanning import inspect_here
from db import jobs
from db.engine import Engine, reading
from db.errors import ServiceAway
from db.models import OPEN_JOBS, Batch, InspectionJob, InspectionResult, JobState
from db.schema import open_database
from db.settings import Settings
from scheduler.submission import Submission, submit
from tests.networks import add_random_model
from tests.storm.checks import Expected, verdicts, violations
from tests.storm.cluster import SETTINGS, StormCluster
from tests.storm.faults import KINDS, Storm
from tests.storm.mutations import MUTATIONS, mutated_source
from tests.storm.pictures import draw, spoil

REPOSITORY = Path(__file__).parents[2]
BATCH_IMAGES = 16
NETWORK_PIXELS = 16  # the cheapest input that ResNet18 makes something of
STUCK_SECONDS = 75  # without a batch done, after the last fault: more than every pause and lease together


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How hard the wind blows."""

    seed: int
    database: str = "postgresql"
    images: int = 20_000
    poison_each: int = 3
    workers: int = 3
    faults: int = 32
    pause: tuple[float, float] = (0.5, 3.0)  # seconds between two faults
    kinds: tuple[str, ...] = ()
    mutation: str | None = None


def mutant(name: str, *, seed: int) -> Plan:
    """A storm of those faults that show what the mutation takes away."""
    mutation = MUTATIONS[name]
    return Plan(
        seed=seed,
        images=6000,
        poison_each=0,
        faults=mutation.strikes,
        pause=mutation.pause,
        kinds=mutation.faults,
        mutation=name,
    )


@dataclass(kw_only=True)
class Outcome:
    """What a storm did and left behind."""

    plan: Plan
    violations: list[str]
    seconds: float
    images: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    recovery_seconds: dict[str, tuple[float, float]] = field(default_factory=dict)  # kind -> (median, longest)
    attempts_repeated: int = 0
    most_faults_of_a_batch: int = 0
    restarts: int = 0
    sent_again: int = 0


@dataclass(frozen=True, kw_only=True)
class _Strike:
    kind: str
    began: datetime
    lifted: datetime
    victims: list[int]


def storm(plan: Plan, folder: Path) -> Outcome:
    """Blow once, in an empty `folder`."""
    began = time.monotonic()
    chance = random.Random(plan.seed)  # noqa: S311 - repeatable, and no secret
    images = folder / "images"
    paths = draw(images, plan.images, plan.seed)
    draw(folder / "side", 1500, plan.seed + 1)
    calm = _calm(folder / "calm", images)
    expected = Expected(verdicts=calm, spoilt=spoil(images, paths, chance, each=plan.poison_each))
    source = REPOSITORY
    if plan.mutation:
        source = folder / "source"
        mutated_source(REPOSITORY, source, MUTATIONS[plan.mutation])
    cluster = StormCluster(folder, source, database=plan.database, workers=plan.workers)
    cluster.start()
    try:
        add_random_model(cluster.engine, cluster.home / "models", name="storm", pixels=NETWORK_PIXELS)
        job = submit(cluster.engine, Submission(folder=images, model="storm"), Settings(batch_images=BATCH_IMAGES))
        wind = Storm(cluster, images, folder / "side", chance)
        strikes = _blow(plan, wind, job)
        _await_end(cluster, job)
        _say("the job has ended, or stands still")
        cluster.pass_time(60, until=lambda: cluster.messages_left() == 0)
        wrong = violations(
            cluster.engine,
            job,
            wind.cancelled,
            expected,
            max_faults=int(SETTINGS["INSPECTQ_MAX_ATTEMPTS"]),
            messages_left=cluster.messages_left(),
        )
        if wrong:
            cluster.tell()
        outcome = Outcome(plan=plan, violations=wrong, seconds=time.monotonic() - began)
        _measure(outcome, cluster, job, strikes)
        return outcome
    finally:
        cluster.stop()


def _calm(home: Path, images: Path) -> dict[str, tuple[str, float | None, str | None]]:
    """The verdicts of one undisturbed process on the images as they were drawn."""
    torch.set_num_threads(1)  # as each worker has; two would also wait for one another where others compute
    chosen = Settings(home=home, device="cpu", batch_images=BATCH_IMAGES, decode_threads=1)
    engine = open_database(chosen.effective_database_url)
    add_random_model(engine, chosen.models_folder, name="storm", pixels=NETWORK_PIXELS)
    job = submit(engine, Submission(folder=images, model="storm"), Settings(batch_images=BATCH_IMAGES))
    inspect_here(engine, chosen, job)
    found = dict(verdicts(engine, job))
    engine.dispose()
    _say(f"the calm run gave {len(found)} verdicts")
    return found


def _blow(plan: Plan, wind: Storm, job: int) -> list[_Strike]:
    """Strike until the planned number of faults is reached, or the job has ended."""
    cluster, strikes = wind.cluster, []
    kinds = list(plan.kinds or KINDS[plan.database])
    if not plan.kinds:
        cluster.pass_time(60, until=lambda: _half_planned(cluster.engine, job), look_seconds=0.005)
        strikes.append(_strike(wind, "kill_scheduler"))
    cluster.pass_time(120, until=lambda: _results(cluster.engine, job) > 0)
    deck: list[str] = []
    while len(strikes) < plan.faults and _state(cluster.engine, job) in OPEN_JOBS:
        if not deck:
            deck = list(kinds)
            wind.chance.shuffle(deck)
        cluster.pass_time(wind.chance.uniform(*plan.pause))
        strikes.append(_strike(wind, deck.pop()))
    return strikes


def _strike(wind: Storm, kind: str) -> _Strike:
    began = datetime.now(UTC)
    _say(kind)
    wind.strike(kind)
    return _Strike(kind=kind, began=began, lifted=datetime.now(UTC), victims=wind.victims)


def _results(engine: Engine, job: int) -> int:
    """How many results the job has."""
    counted = select(func.count()).select_from(InspectionResult).where(InspectionResult.job_id == job)
    while True:
        try:
            with reading(engine) as session:
                return session.scalar(counted) or 0
        except ServiceAway:
            time.sleep(0.2)


def _half_planned(engine: Engine, job: int) -> bool:
    try:
        with reading(engine) as session:
            row = session.get_one(InspectionJob, job)
            return row.planned_batches > 0 or row.state is not JobState.PENDING
    except ServiceAway:
        return False


def _state(engine: Engine, job: int) -> JobState:
    while True:
        try:
            with reading(engine) as session:
                return jobs.get(session, job).state
        except ServiceAway:
            time.sleep(0.2)


def _await_end(cluster: StormCluster, job: int) -> None:
    """Until the job has ended, or no batch of it has been done for too long."""
    done, since = -1, time.monotonic()
    while _state(cluster.engine, job) in OPEN_JOBS:
        now = _results(cluster.engine, job)
        if now != done:
            done, since = now, time.monotonic()
        if time.monotonic() - since > STUCK_SECONDS:
            return
        cluster.pass_time(0.5)


def _measure(outcome: Outcome, cluster: StormCluster, job: int, strikes: list[_Strike]) -> None:
    with reading(cluster.engine) as session:
        rows = session.execute(
            select(Batch.id, Batch.finished_at, Batch.attempt, Batch.faults).where(Batch.job_id == job)
        ).all()
    outcome.images = _results(cluster.engine, job)
    finished = sorted(row.finished_at for row in rows if row.finished_at)
    of_batch = {row.id: row.finished_at for row in rows}
    seconds = defaultdict(list)
    for strike in strikes:
        victims = [of_batch[batch] for batch in strike.victims if of_batch.get(batch)]
        if victims:
            seconds[strike.kind].append(max((max(victims) - strike.began).total_seconds(), 0.0))
        elif after := [time for time in finished if time > strike.lifted]:
            seconds[strike.kind].append((after[0] - strike.lifted).total_seconds())
    outcome.faults = dict(sorted(Counter(strike.kind for strike in strikes).items()))
    outcome.recovery_seconds = {kind: (median(times), max(times)) for kind, times in sorted(seconds.items())}
    outcome.attempts_repeated = sum(row.attempt - 1 for row in rows)
    outcome.most_faults_of_a_batch = max((row.faults for row in rows), default=0)
    outcome.restarts = cluster.restarts
    outcome.sent_again = cluster.log_lines("batches are sent again")


def _say(what: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S.%f} {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Run one storm and print its outcome as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--database", choices=sorted(KINDS), default="postgresql")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--faults", type=int, default=32)
    parser.add_argument("--poison", type=int, default=3, help="images of each kind of poison")
    parser.add_argument("--mutation", choices=sorted(MUTATIONS))
    parser.add_argument("--keep", type=Path, help="an empty folder for the logs, instead of a temporary one")
    chosen = parser.parse_args()
    plan = Plan(
        seed=chosen.seed,
        database=chosen.database,
        images=chosen.images,
        faults=chosen.faults,
        poison_each=chosen.poison,
    )
    if chosen.mutation:
        plan = mutant(chosen.mutation, seed=chosen.seed)
    with tempfile.TemporaryDirectory(prefix="inspectq-storm-", ignore_cleanup_errors=True) as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # PostgreSQL's account has to enter it
        outcome = storm(plan, folder)
    print(json.dumps({**asdict(outcome), "stood": not outcome.violations}, indent=2))
    sys.exit(1 if outcome.violations else 0)


if __name__ == "__main__":
    main()
