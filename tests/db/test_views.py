"""Do the auditor's views answer in a time that grows with a job, and not with its square?"""

import pytest
from sqlalchemy import text

from db.engine import connect
from tests.rows import add_job, inspect_all

IMAGES = 2000


@pytest.mark.parametrize("view", ["v_job_ledger", "v_results"])
def test_a_job_that_the_statistics_do_not_know_is_read_with_a_few_pages_per_image(
    postgres_with_tables: str, view: str
) -> None:
    engine = connect(postgres_with_tables)
    paths = [f"folder/{number:08}.jpg" for number in range(IMAGES)]
    batches = [paths[start : start + 200] for start in range(0, IMAGES, 200)]
    add_job(engine, batches)
    inspect_all(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
        fresh = add_job(engine, batches)  # as far as the statistics go, it has no verdict
        inspect_all(engine)
        asked = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM {view} WHERE job = :job")
        plan = connection.execute(asked, {"job": fresh}).scalar_one()
    engine.dispose()
    top = plan[0]["Plan"]
    assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < 10 * IMAGES
