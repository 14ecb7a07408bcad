"""The command of the auditor: does what is recorded still add up?"""

import click

from console.exits import ExitCode
from console.options import FORMAT
from console.tables import print_fields
from db import audit, jobs
from db.engine import reading
from db.schema import open_database
from db.settings import settings


@click.group("audit")
def audit_group() -> None:
    """Check what is recorded."""


@audit_group.command()
@FORMAT
def verify(as_format: str) -> None:
    """Recount every ended job's ledger and walk the chain of events. Exit 1 where something does not fit."""
    with reading(open_database(settings().effective_database_url)) as session:
        chain, misfits = audit.verify(session), jobs.misfits(session)
    print_fields(
        {
            "events": chain.events,
            "chain": "whole" if chain.broken_at is None else f"broken at event {chain.broken_at}",
            "newest_digest": chain.newest,
            "jobs_that_do_not_add_up": misfits,
        },
        as_format,
    )
    raise SystemExit(ExitCode.DONE if chain.broken_at is None and not misfits else ExitCode.ENDED_BADLY)
