"""The commands about who may use the console: users, tokens. They work on the database itself, as its operator."""

import sys

import click

from console.options import FORMAT, LARGEST_ID
from console.tables import print_rows
from console.terminal import say
from db import people, sign_ins
from db.engine import Engine, reading, writing
from db.models import Role
from db.schema import open_database
from db.settings import settings

NAME = click.argument("name")
ROLE = click.Choice([role.value for role in Role])


def _database() -> Engine:
    return open_database(settings().effective_database_url)


def _operator() -> str:
    from scheduler.submission import person

    return person()


@click.group()
def users() -> None:
    """Who may sign in to the console, and as what."""


_FROM_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@users.command("add")
@NAME
@click.option("--role", type=ROLE, required=True, help="What they may do: each may all that the one before may.")
@_FROM_STDIN
@click.option("--no-password", is_flag=True, help="For somebody whom a reverse proxy names, or who has tokens alone.")
def add_user(name: str, role: str, password_stdin: bool, no_password: bool) -> None:
    """Let NAME sign in. The name stands in what they decide."""
    if no_password and password_stdin:
        raise click.UsageError("--no-password and --password-stdin exclude each other.")
    engine = _database()
    made = None if no_password else _hashed(password_stdin)
    with writing(engine) as session:
        user = people.add(session, name, Role(role), by=_operator())
        if made is not None:
            people.set_password(session, user, made, by=_operator())
    say(f"{name} may sign in as {role}.")


@users.command("list")
@FORMAT
def list_users(as_format: str) -> None:
    """Everybody, those who are shut out among them."""
    with reading(_database()) as session:
        known = people.with_password(session)
        rows = [
            {
                "name": user.name,
                "role": user.role.value,
                "may_sign_in": user.is_active,
                "password": user.id in known,
                "added_by": user.created_by,
                "added_at": user.created_at.isoformat(),
            }
            for user in people.every(session)
        ]
    print_rows(rows, as_format, empty="Nobody yet. Add the first: inspectq users add NAME --role admin")


@users.command("role")
@NAME
@click.argument("role", type=ROLE)
def set_role(name: str, role: str) -> None:
    """Give NAME another role; it holds from their next click on."""
    with writing(_database()) as session:
        people.set_role(session, people.find(session, name), Role(role), by=_operator())
    say(f"{name} is {role} now.")


@users.command("password")
@NAME
@_FROM_STDIN
def set_password(name: str, password_stdin: bool) -> None:
    """Give NAME another password, and sign them out everywhere."""
    engine = _database()
    with reading(engine) as session:
        people.find(session, name)  # before anybody types a password in vain
    made = _hashed(password_stdin)
    with writing(engine) as session:
        people.set_password(session, people.find(session, name), made, by=_operator())
    say(f"{name} has another password, and is signed out everywhere.")


@users.command("shut-out")
@NAME
def shut_out(name: str) -> None:
    """End all that NAME has: sessions and tokens. What they decided stays."""
    with writing(_database()) as session:
        people.set_active(session, people.find(session, name), False, by=_operator())
    say(f"{name} is shut out. Let them in again: inspectq users let-in {name}")


@users.command("let-in")
@NAME
def let_in(name: str) -> None:
    """Let somebody in again who was shut out; their tokens hold again."""
    with writing(_database()) as session:
        people.set_active(session, people.find(session, name), True, by=_operator())
    say(f"{name} may sign in.")


def _hashed(from_stdin: bool) -> str:
    from console import hashing  # loads argon2, which few commands need

    if from_stdin:
        return hashing.hashed(sys.stdin.readline().rstrip("\r\n"))
    return hashing.hashed(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


@click.group()
def tokens() -> None:
    """By which programs ask the console in somebody's name."""


@tokens.command("add")
@click.argument("user", metavar="NAME")
@click.argument("token", metavar="TOKEN")
@click.option("--role", type=ROLE, default=Role.VIEWER.value, show_default=True, help="At most that of the person.")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="It holds so long.")
def add_token(user: str, token: str, role: str, days: int) -> None:
    """Make a token of NAME, called TOKEN (what will use it, say). Prints it, this once."""
    with writing(_database()) as session:
        owner = people.find(session, user)
        made = sign_ins.add_token(session, owner, token, Role(role), days=days, by=_operator())
    click.echo(made)
    say("It is shown this once: INSPECTQ_API_TOKEN, or the header Authorization: Bearer …")


@tokens.command("list")
@FORMAT
def list_tokens(as_format: str) -> None:
    """All tokens, those that are over among them."""
    with reading(_database()) as session:
        rows = [
            {
                "token": row.id,
                "user": row.user.name,
                "name": row.name,
                "role": row.role.value,
                "created_at": row.created_at.isoformat(),
                "ends_at": row.ends_at.isoformat() if row.ends_at else None,
                "used_at": row.used_at.isoformat() if row.used_at else None,
                "revoked_at": row.revoked_at.isoformat() if row.revoked_at else None,
            }
            for row in sign_ins.tokens(session)
        ]
    print_rows(rows, as_format, empty="There is no token yet. Make one: inspectq tokens add NAME TOKEN")


@tokens.command("revoke")
@click.argument("number", metavar="NUMBER", type=click.IntRange(1, LARGEST_ID))
def revoke_token(number: int) -> None:
    """End token NUMBER (of `tokens list`) now."""
    with writing(_database()) as session:
        row = sign_ins.get_token(session, number)
        sign_ins.revoke(session, row, by=_operator())
        said = f"Token {row.name} of {row.user.name} is revoked."
    say(said)
