"""Is a folder outside INSPECTQ_ROOTS refused before anything is promised?"""

from pathlib import Path

import pytest

from console.exits import ExitCode
from tests.console.shell import type_here


def test_a_scan_outside_the_allowed_folders_is_refused_also_behind_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("allowed/job", "allowed-too/job", "secret"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.jpg").write_bytes(b"")
    (tmp_path / "allowed/link").symlink_to(tmp_path / "secret")
    (tmp_path / "spelling").symlink_to(tmp_path / "allowed")
    monkeypatch.setenv("INSPECTQ_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("INSPECTQ_ROOTS", f"/nowhere: {tmp_path / 'allowed'}:")

    for outside in ("allowed-too/job", "secret", "allowed/link", "allowed/job/../../secret", "."):
        refused = type_here(capsys, "scan", tmp_path / outside)
        assert refused.code == ExitCode.WRONG_USAGE, outside
        assert "INSPECTQ_ROOTS" in refused.err
        assert refused.out == ""
    # Inside it goes on, as far as to the model that there is none of.
    for inside in ("allowed/job", "allowed", "spelling/job"):
        accepted = type_here(capsys, "scan", tmp_path / inside)
        assert "INSPECTQ_ROOTS" not in accepted.err, inside
        assert "model" in accepted.err
    assert type_here(capsys, "jobs", "list", "--format", "json").json == []
