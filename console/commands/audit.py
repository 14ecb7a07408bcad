"""The command of the auditor: does what is recorded still add up?"""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain as one_after_the_other
from itertools import islice

import click

from console.exits import ExitCode
from console.model_files import ModelFiles
from console.options import FORMAT
from console.tables import print_fields
from db import audit, definitions
from db.audit import Chain
from db.engine import Session, reading
from db.misfits import Misfit
from db.schema import open_database
from db.settings import settings
from db.verification import Verification

MOST_NAMED = 100  # of what does not fit; the rest is counted


@click.group("audit")
def audit_group() -> None:
    """Check what is recorded."""


@audit_group.command()
@click.option("--skip-model-files", is_flag=True, help="The model files are not on this machine.")
@FORMAT
def verify(skip_model_files: bool, as_format: str) -> None:
    """Compare all records with the chain of events. Exit 1 where something does not fit.

    The chain is walked, verdicts, evaluations, limits and approvals are digested again, every ended job is recounted,
    the model files are hashed, and views and triggers compared with those that inspectq makes.
    """
    with reading(open_database(settings().effective_database_url)) as session:
        chain = audit.verify(session)
        rows = Verification(session=session)
        files = ModelFiles(session=session, folder=settings().models_folder)
        found = one_after_the_other(
            _of_chain(chain),
            rows.misfits(),
            () if skip_model_files else files.misfits(),
            _of_definitions(session),
        )
        named = list(islice(found, MOST_NAMED))
        more = sum(1 for _ in found)
    fields = {
        "events": chain.events,
        "chain": chain.words,
        "chain_breaks": chain.breaks,
        "newest_digest": chain.newest,
        "verdicts_that_fit": rows.verdicts,
        "records_that_fit": rows.records,
        "model_files_that_fit": None if skip_model_files else files.fit,
        "rows_older_than_digests": rows.older,
        "jobs_that_do_not_add_up": rows.uneven,
        "misfits": len(named) + more,
        "does_not_fit": [misfit.says if as_format == "table" else asdict(misfit) for misfit in named],
    }
    print_fields(fields, as_format)
    raise SystemExit(ExitCode.ENDED_BADLY if named else ExitCode.DONE)


def _of_chain(chain: Chain) -> Iterator[Misfit]:
    if chain.broken_at is not None:
        says = (
            f"Event {chain.broken_at} does not follow from those before it: it was changed, or one before it was "
            "changed, removed or moved."
        )
        yield Misfit(what="event", event=chain.broken_at, says=says)


def _of_definitions(session: Session) -> Iterator[Misfit]:
    for says in definitions.differences(session.connection()):
        yield Misfit(what="definition", says=says)
