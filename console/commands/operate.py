"""The commands that keep the system running: worker, scheduler, flower, up, health, db."""

import logging
import os
import signal
import socket
import threading
from pathlib import Path

import click

from console.exits import ExitCode
from console.options import DEVICE
from console.terminal import say
from db import grants, heartbeats
from db.display import log_to_stderr
from db.engine import connect, reading
from db.errors import SettingInvalid
from db.schema import HEAD, open_database, upgrade
from db.settings import Settings, settings

_LOG_LEVEL = click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)


def _with_broker() -> Settings:
    chosen = settings()
    if not chosen.broker_url:
        raise SettingInvalid(
            "No broker is set. Set INSPECTQ_BROKER_URL=redis://…; without one, `inspectq scan` does the work by itself."
        )
    return chosen


@click.command()
@DEVICE
@click.option("--name", help="Unique among the workers, in front of @host.  [default: device and process id]")
@_LOG_LEVEL
def worker(device: str | None, name: str | None, log_level: str) -> None:
    """Inspect batches from the queue until stopped; SIGTERM gives the batch in hand back at once."""
    chosen = _with_broker()
    open_database(chosen.effective_database_url).dispose()
    device = device or chosen.device
    os.environ["INSPECTQ_DEVICE"] = device  # the pool's child reads its settings from there

    from worker.app import app, worker_name

    full_name = f"{name}@{socket.gethostname()}" if name else worker_name(device)
    app.worker_main(["worker", "--hostname", full_name, "--loglevel", log_level.upper(), "--without-mingle"])


@click.command()
@_LOG_LEVEL
def scheduler(log_level: str) -> None:
    """Plan, dispatch, recover and finish jobs until stopped."""
    chosen = _with_broker()
    engine = open_database(chosen.effective_database_url)
    log_to_stderr(log_level.upper())

    from scheduler.loop import Scheduler
    from scheduler.planning import PlanningBounds
    from scheduler.receivers import receivers
    from worker.app import messages_waiting, publish

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    name = f"scheduler-{os.getpid()}@{socket.gethostname()}"
    logging.getLogger("inspectq").info("%s begins", name)
    Scheduler(
        engine,
        publish=publish,
        held=messages_waiting,
        window=chosen.window,
        max_attempts=chosen.max_attempts,
        storage_patience=chosen.storage_patience,
        bounds=PlanningBounds(roots=chosen.root_folders, max_files=chosen.max_files),
        receivers=receivers(chosen),
    ).run(name, stop)


@click.command()
def flower() -> None:
    """Serve Flower, behind the login in INSPECTQ_FLOWER_AUTH."""
    chosen = _with_broker()
    user, _, password = chosen.flower_auth.partition(":")
    if not user or not password or "," in chosen.flower_auth:
        raise SettingInvalid(
            "Flower shows workers and tasks. Set INSPECTQ_FLOWER_AUTH=user:password first, without a comma in it."
        )
    # By the environment: a password on the command line is shown to every user of the machine by `ps`.
    os.environ["FLOWER_BASIC_AUTH"] = chosen.flower_auth
    options = [
        f"--address={chosen.flower_address}",
        f"--port={chosen.flower_port}",
        "--purge_offline_workers=300",
        "--max_tasks=10000",
        "--read_only=True",  # workers obey no command, so its buttons would only pretend
        "--enable_events=False",  # they send theirs unasked
    ]
    if chosen.flower_state:
        options += ["--persistent=True", f"--db={chosen.flower_state}", "--state_save_interval=10000"]

    from worker.app import app

    log_to_stderr("INFO")  # before Flower does: tornado's own formatter colours, and keeps what a request smuggles in
    app.start(["flower", *options])


@click.command()
def web() -> None:
    """Serve the console until Ctrl-C. Without a broker it also inspects."""
    from console.web.serving import serve

    chosen = settings()
    log_to_stderr("WARNING")
    serve(open_database(chosen.effective_database_url), chosen, say)


@click.command()
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Worker processes.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where their data and logs lie.  [default: inspectq-cluster]"
)
def up(workers: int, folder: Path | None) -> None:
    """Run the services of docker-compose.yml as local processes, until Ctrl-C."""
    from console.cluster import FOLDER, LocalCluster, run_cluster

    run_cluster(LocalCluster(folder or FOLDER, workers=workers, say=say), lambda text: say(*text.split("\n")))


@click.command()
@click.argument("role", type=click.Choice(["scheduler", "worker"]))
def health(role: str) -> None:
    """Exit 0 if a scheduler or worker of this host has been seen in the last minute, 1 if not."""
    with reading(open_database(settings().effective_database_url)) as session:
        names = heartbeats.alive(session, role=role, on_host=socket.gethostname())
        refused = heartbeats.refused_messages(session, names)
    say(f"alive: {', '.join(names)}" if names else f"No {role} of this host has been seen in the last minute.")
    if refused:
        say(f"refused {refused} forged or garbled message{'' if refused == 1 else 's'}: see the log for what they were")
    raise SystemExit(ExitCode.DONE if names else ExitCode.ENDED_BADLY)


@click.group()
def db() -> None:
    """The database."""


@db.command("grants")
@click.option("--service-login", metavar="NAME", help="Also make this login, with INSPECTQ_SERVICE_PASSWORD.")
@click.option("--console-login", metavar="NAME", help="And this one for `web`, with INSPECTQ_CONSOLE_PASSWORD.")
def db_grants(service_login: str | None, console_login: str | None) -> None:
    """Give services, console and auditors their rights in PostgreSQL; run it as the tables' owner after upgrades."""
    chosen = settings()
    grants.refuse_sqlite(connect(chosen.effective_database_url))
    engine = open_database(chosen.effective_database_url)
    grants.grant(engine)
    if service_login:
        grants.make_login(engine, service_login, chosen.service_password)
        say(f"{service_login} may log in as a service.")
    if console_login:
        grants.make_login(engine, console_login, chosen.console_password, grants.CONSOLE)
        say(f"{console_login} may log in as the console, and let people in.")
    say(
        f"The roles {grants.SERVICE}, {grants.CONSOLE} and {grants.AUDITOR} have their rights. Next, as an "
        "administrator, in psql:",
        f"  CREATE ROLE alice LOGIN PASSWORD '…' IN ROLE {grants.AUDITOR};  -- reads everything, writes nothing",
        f"  CREATE ROLE line1 LOGIN PASSWORD '…' IN ROLE {grants.SERVICE};  -- for workers and schedulers",
    )


@db.command("upgrade")
def db_upgrade() -> None:
    """Make the tables, or bring them up to date."""
    engine = connect(settings().effective_database_url)
    upgrade(engine)
    say(f"The tables of {engine.url.render_as_string(hide_password=True)} are at revision {HEAD}.")
