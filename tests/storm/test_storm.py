"""Does a short storm with every kind of fault end with the calm run's rows? `make faults` runs the long ones."""

from pathlib import Path

import pytest

from console.postgres import postgres_programs
from console.servers import redis_programs
from tests.storm.mutations import MUTATIONS, mutated_source
from tests.storm.run import Plan, storm


@pytest.mark.alone
@pytest.mark.skipif(not redis_programs() or postgres_programs() is None, reason="needs Redis and PostgreSQL")
def test_a_short_storm_is_stood(server_folder: Path) -> None:
    folder = server_folder / "storm"
    folder.mkdir()
    folder.chmod(0o755)
    outcome = storm(Plan(seed=20261122, images=4500, poison_each=1, faults=17, pause=(0.2, 1.0)), folder)
    assert outcome.violations == []
    assert sum(outcome.faults.values()) >= 12, "the job ended before the storm had begun"


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_mutation_still_finds_its_place(name: str, repository_root: Path, tmp_path: Path) -> None:
    mutated_source(repository_root, tmp_path, MUTATIONS[name])
    for edit in MUTATIONS[name].edits:
        changed = (tmp_path / edit.file).read_text(encoding="utf-8")
        assert changed != (repository_root / edit.file).read_text(encoding="utf-8")
        compile(changed, edit.file, "exec")
