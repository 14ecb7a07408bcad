"""As whom does PostgreSQL run here, and where can that account read and write?

PostgreSQL refuses to run as root, so root lends it an account that exists anyway; none is made.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from console.processes import Account, ClusterError

CANDIDATES = ("postgres", "nobody")  # the first of them that exists


def server_account() -> Account | None:
    """The account that PostgreSQL runs under, or None: ours, because we are not root.

    Raises ClusterError where root has no account to lend.
    """
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise ClusterError(
        f"PostgreSQL does not run as root, and this machine has none of the accounts {', '.join(CANDIDATES)}. "
        "Run this command as an ordinary user, or name a running server by its URL."
    )


def can_reach(path: Path, account: Account | None) -> bool:
    """Whether `account` may enter the folder, or run the program, at `path` (absolute).

    The kernel is asked instead of the mode bits, which know nothing of access lists and mount options.
    """
    if account is None:
        return os.access(path, os.X_OK)
    question = ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)]
    answer = subprocess.run(  # noqa: S603  # a fixed program; the path is an argument to it, not code
        question, cwd="/", user=account.uid, group=account.gid, extra_groups=[], check=False
    )
    return answer.returncode == 0


def reachable_home(wanted: Path, account: Account | None) -> Path:
    """The folder `wanted`, or what it is a link to: a folder of the system's that `account` can enter.

    A clone below a folder of mode 0700 (/root, say) is closed to every other account; then `wanted`
    becomes a link to a new folder outside it, found again on the next call. Raises ClusterError.
    """
    if wanted.is_symlink() and not wanted.exists():  # the system has emptied its temporary folder
        wanted.unlink()
    if wanted.exists():
        return wanted.resolve()
    wanted.parent.mkdir(parents=True, exist_ok=True)
    if account is None or can_reach(wanted.parent.resolve(), account):
        wanted.mkdir(mode=0o755)
        return wanted.resolve()
    for place in (Path("/var/tmp"), Path(tempfile.gettempdir())):  # noqa: S108  # mkdtemp below
        if place.is_dir() and can_reach(place, account):
            home = Path(tempfile.mkdtemp(prefix="inspectq-", dir=place))
            home.chmod(0o755)
            wanted.symlink_to(home, target_is_directory=True)
            return home
    raise ClusterError(
        f"PostgreSQL does not run as root, and the account {account.name} cannot enter {wanted.parent}. "
        f"Open the folders above it (chmod o+x), or run this command as an ordinary user."
    )


def reachable_programs(folder: Path, home: Path, account: Account | None) -> Path:
    """PostgreSQL's bin `folder`, or a copy of the installation below `home` where `account` cannot enter it.

    A copy is 40 MB; it is made once, by rename, and lies and goes with the data.
    """
    if can_reach(folder / "postgres", account):
        return folder
    installation, package = folder.parent, folder.parent.parent
    copied = home / "program" / package.name / installation.name / folder.name
    if not copied.exists():
        _copy(installation, home / "program")
    if can_reach(copied / "postgres", account):
        return copied
    raise ClusterError(
        f"{folder} cannot be entered by the account {account.name if account else '?'}, and its copy in {copied} "
        "does not run either. Run this command as an ordinary user, or name a running server by its URL."
    )


def _copy(installation: Path, program: Path) -> None:
    """Copy the installation, and the libraries that a wheel keeps beside its package, at the same distance."""
    package = installation.parent
    partial = program.with_name("program.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(installation, partial / package.name / installation.name, symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, partial / libraries.name, symlinks=True)
    for copied in (partial, partial / package.name):
        copied.chmod(0o755)  # whatever our umask is
    partial.rename(program)
