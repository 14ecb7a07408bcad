"""Does a process that was started here end when it should, and say why when it should not?"""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from console.processes import Launch, LocalProcess, ProcessFailed, write_private


def test_a_process_that_ignores_its_stop_signal_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap '' TERM; touch '{ready}'; while :; do sleep 0.05; done"
    process = LocalProcess(Launch(name="deaf", command=["/bin/sh", "-c", script], log=tmp_path / "log"))
    process.start()
    process.wait_until(ready.exists, timeout=30)
    process.stop(timeout=0.2)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = (
        "import os, pathlib, signal, sys\n"
        "from console.processes import Launch, LocalProcess\n"
        "child = LocalProcess(Launch(name='child', command=['sleep', '600'], log=pathlib.Path(sys.argv[1])))\n"
        "child.start()\n"
        "print(child.pid, flush=True)\n"
        "signal.pause()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(log)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    ended, _, _ = select.select([child], [], [], 30)
    os.close(child)
    assert ended, "the child outlived its parent"


def test_a_process_that_ends_early_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    words = ["/bin/sh", "-c", "seq 1 40; echo no such table >&2; exit 3"]
    process = LocalProcess(Launch(name="scheduler", command=words, log=tmp_path / "log"))
    process.start()
    with pytest.raises(ProcessFailed) as failure:
        process.wait_until(lambda: False, timeout=30)
    assert "scheduler ended with status 3 while starting" in str(failure.value)
    assert str(failure.value).splitlines()[-2:] == ["  40", "  no such table"]


def test_a_process_takes_its_children_with_it_when_it_is_killed(tmp_path: Path) -> None:
    child = tmp_path / "child"
    words = ["/bin/sh", "-c", f"sleep 600 & echo $! > {child}.new && mv {child}.new {child}; wait"]
    process = LocalProcess(Launch(name="parent", command=words, log=tmp_path / "log"))
    process.start()
    process.wait_until(child.exists, timeout=30)
    ended = os.pidfd_open(int(child.read_text()))
    process.kill()
    assert select.select([ended], [], [], 30)[0], "the child outlived its parent"
    os.close(ended)


def test_a_private_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("old")
    secret.chmod(0o644)
    write_private(secret, "new")
    assert secret.read_text() == "new"
    assert secret.stat().st_mode & 0o777 == 0o600
