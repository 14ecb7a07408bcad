"""Which changes of the code must turn the storm red?

Each takes away one thing that the promise rests on, in a copy of the source. What is replaced must
be there exactly once, so that a mutation cannot silently do nothing when the code moves on.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("db", "vision", "trainer", "worker", "scheduler", "console")


@dataclass(frozen=True, kw_only=True)
class Edit:
    """In `file`, `old` becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """What is taken away, and how."""

    what: str
    edits: tuple[Edit, ...]
    faults: tuple[str, ...]  # the kinds that show it
    strikes: int = 8  # how many of them are needed to meet the moment in which it matters
    pause: tuple[float, float] = (0.5, 3.0)  # seconds between two of them


MUTATIONS = {
    "leases": Mutation(
        what="expired leases are not taken back",
        edits=(
            Edit(
                file="scheduler/loop.py",
                old="if taken := batches.take_back_expired(session):",
                new="if taken := 0:",
            ),
        ),
        faults=("kill_worker",),
    ),
    "messages": Mutation(
        what="lost messages are not sent again",
        edits=(Edit(file="scheduler/loop.py", old="        self._resend_lost()\n", new=""),),
        faults=("redis_flush", "redis_kill"),
    ),
    "transaction": Mutation(
        what="`done` is committed apart from the results",
        edits=(
            Edit(
                file="db/batches.py",
                old="    added = results.add(session, held.job, held.batch, held.revision, rows, "
                "time=finished.at, ids=finished.ids)\n",
                new="    return True\n",
            ),
            Edit(
                file="worker/inspection.py",
                old="            kept = batches.finish(session, held, rows, "
                "versions=versions(rows[0].engine) if rows else None)\n"
                """            if kept:
                stage_times.add(session, self._workplace.host, more)
        if kept:
            self._added = spent
        return kept
""",
                new="""            done = batches.finish(session, held, rows)
        if done:
            with writing(self._engine) as session:
                ids = batches.results.free_ids("postgresql")
                asked = batches.select(batches.database_now(), ids).where(batches.Batch.id == held.batch)
                now, ids = session.execute(asked).one()
                added = batches.results.add(session, held.job, held.batch, held.revision, rows, time=now, ids=ids)
                said = {"job": held.job, "revision": held.revision, **vars(added)}
                subject = f"batch:{held.batch}"
                batches.audit.record(session, actor="", action=batches.audit.RESULTS_ADDED, subject=subject, **said)
        return done
""",
            ),
        ),
        faults=("pg_cut",),
        strikes=100,  # the moment between the two transactions is a few milliseconds long
        pause=(0.05, 0.3),
    ),
    "fence": Mutation(
        what="neither a fencing token nor a unique key",
        edits=(
            Edit(
                file="db/batches.py",
                old="""        .where(Batch.id.in_(held), Batch.token == token, Batch.state == BatchState.RUNNING)
        .values(lease_until=database_now(lease_seconds))
        .returning(Batch.id)
    )
    return set(renewed)
""",
                new="""        .where(Batch.id.in_(held))
        .values(note=Batch.note)
        .returning(Batch.id)
    )
    return set(renewed) | set(held)
""",
            ),
            Edit(
                file="db/batches.py",
                old="""        .where(Batch.id == bindparam("held"), Batch.token == bindparam("under"), \
Batch.state == BatchState.RUNNING)
        .values(
            state=BatchState.DONE,""",
                new="""        .where(Batch.id == bindparam("held"), bindparam("under", type_=String).is_not(None))
        .values(
            state=BatchState.DONE,""",
            ),
            Edit(
                file="db/migrations/versions/v0001_first_tables.py",
                old=(
                    '        sa.UniqueConstraint("job_id", "path", "revision", '
                    'name=op.f("uq_inspection_result_job_id_path_revision")),\n'
                ),
                new="",
            ),
        ),
        faults=("stop_worker",),
    ),
}


def mutated_source(source: Path, target: Path, mutation: Mutation) -> None:
    """A copy of the packages in `target` with the mutation applied."""
    for package in PACKAGES:
        shutil.copytree(source / package, target / package, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in mutation.edits:
        file = target / edit.file
        text = file.read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            raise ValueError(f"{edit.file} holds {text.count(edit.old)} times:\n{edit.old}")
        file.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
