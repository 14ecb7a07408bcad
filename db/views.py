"""What may an auditor ask in SQL, without knowing the tables?

The views are the documented interface: the README shows worked queries. They are written in
the SQL that SQLite and PostgreSQL share, and are made anew by every `inspectq db upgrade`.
"""

from db.drift import LOOKS, RATES

# Not as NOT EXISTS: PostgreSQL, whose statistics do not know a job of this minute, would take it for a single row
# and compare each of its verdicts with each. This way it asks the unique key once for each verdict, whatever it knows.
_IS_NEWEST_VERDICT = """r.revision = (
        SELECT max(any_verdict.revision) FROM inspection_result any_verdict
        WHERE any_verdict.job_id = r.job_id AND any_verdict.path = r.path)"""

# rtrim(x, letters) takes letters off the end until one is not among them: all but '/' are, so
# what is left is the folder. The one spelling that both engines have.
_FOLDER = "rtrim(r.path, replace(r.path, '/', ''))"

_RESULT_COLUMNS = f"""
    r.job_id AS job, r.batch_id AS batch, r.path AS path, {_FOLDER} AS folder,
    r.sha256 AS sha256, r.size AS size, r.width AS width, r.height AS height,
    r.score AS score, r.novelty AS novelty,
    r.tile_x AS tile_x, r.tile_y AS tile_y, r.tile_width AS tile_width, r.tile_height AS tile_height,
    r.label AS label, r.disposition AS disposition,
    r.reason_code AS reason_code, r.detail AS detail,
    c.name AS model, c.digest AS checkpoint_digest, r.operating_point_id AS operating_point,
    r.engine AS engine, r.precision AS precision, r.device AS device, r.worker AS worker,
    r.time AS time, r.revision AS revision, r.reused_from AS reused_from,
    r.rejudged_from AS rejudged_from, r.id AS result, j.root AS root"""
_RESULTS = """
FROM inspection_result r
JOIN checkpoint c ON c.id = r.checkpoint_id
JOIN inspection_job j ON j.id = r.job_id"""

# The decision that counts: the last one about this very picture that nobody took back.
_REVIEW_THAT_COUNTS = """w.id = (
        SELECT max(any_review.id) FROM review any_review
        WHERE any_review.job_id = r.job_id AND any_review.path = r.path
            AND coalesce(any_review.sha256, '') = coalesce(r.sha256, '') AND any_review.undoes IS NULL
            AND NOT EXISTS (SELECT 1 FROM review undoing WHERE undoing.undoes = any_review.id))"""
_DISPOSITION_COLUMNS = """
    CASE WHEN w.decision IS NULL THEN r.disposition WHEN w.decision = 'UNSURE' THEN 'REVIEW' ELSE w.decision END
        AS final_disposition,
    w.decision AS decision, w.reason_code AS review_reason, w.reviewer AS reviewed_by, w.created_at AS reviewed_at,
    w.id AS review"""


def _bounded(row: str, *figures: str) -> str:
    """Each figure and its two 95% bounds."""
    names = (name for figure in figures for name in (figure, f"{figure}_lcl", f"{figure}_ucl"))
    return ", ".join(f"{row}.{name} AS {name}" for name in names)


VIEWS = {
    # One row per image and job: the verdict that counts.
    "v_results": f"SELECT {_RESULT_COLUMNS} {_RESULTS} WHERE {_IS_NEWEST_VERDICT}",
    # The same, with the decision of a person that counts, if there is one, and what comes of both.
    "v_dispositions": f"""
SELECT {_RESULT_COLUMNS},{_DISPOSITION_COLUMNS} {_RESULTS}
LEFT JOIN review w ON {_REVIEW_THAT_COUNTS}
WHERE {_IS_NEWEST_VERDICT}""",
    # Every verdict ever given, retried ones included.
    "v_result_history": f"SELECT {_RESULT_COLUMNS} {_RESULTS}",
    # submitted = pass + fail + review + unreadable + cancelled, once a job is closed; open until then.
    "v_job_ledger": f"""
SELECT counted.*, submitted - pass - fail - review - unreadable - cancelled AS open FROM (
    SELECT j.id AS job, j.state AS state, j.root AS root, c.name AS model, j.submitted AS submitted,
        sum(CASE WHEN r.disposition = 'PASS' THEN 1 ELSE 0 END) AS pass,
        sum(CASE WHEN r.disposition = 'FAIL' THEN 1 ELSE 0 END) AS fail,
        sum(CASE WHEN r.disposition = 'REVIEW' THEN 1 ELSE 0 END) AS review,
        sum(CASE WHEN r.disposition = 'UNREADABLE' THEN 1 ELSE 0 END) AS unreadable,
        (SELECT coalesce(sum(b.images), 0) FROM batch b
         WHERE b.job_id = j.id AND b.state = 'cancelled' AND b.revision = 1) AS cancelled
    FROM inspection_job j
    JOIN checkpoint c ON c.id = j.checkpoint_id
    LEFT JOIN inspection_result r ON r.job_id = j.id AND {_IS_NEWEST_VERDICT}
    GROUP BY j.id, j.state, j.root, c.name, j.submitted
) counted""",  # noqa: S608 - built from constants of this module alone
    # One row per job: how its verdicts compare with its model's evaluation; empty until they are compared.
    "v_job_drift": f"""
SELECT j.id AS job, j.state AS state, j.revision AS revision, c.name AS model, d.evaluation_id AS evaluation,
    d.likeness AS likeness, d.sentence AS sentence, {
        ", ".join(f"d.{name} AS {name}" for name in (*LOOKS, *RATES))
    }, d.created_at AS time
FROM inspection_job j
JOIN checkpoint c ON c.id = j.checkpoint_id
LEFT JOIN job_drift d ON d.job_id = j.id AND d.revision = j.revision""",  # noqa: S608 - as above
    # One row per evaluated checkpoint and data set.
    "v_evaluations": f"""
SELECT e.id AS evaluation, c.name AS model, c.digest AS checkpoint_digest, d.root AS dataset,
    d.fingerprint AS dataset_fingerprint, e.split AS split, e.threshold AS threshold, e.images AS images,
    e.unreadable AS unreadable, e.leaking AS leaking, {
        _bounded("e", "accuracy", "miss_rate", "false_alarm_rate", "escapes_ppm", "auroc", "average_precision")
    }, e.ece AS ece, e.engine AS engine, e.precision AS precision,
    e.device AS device, e.code_version AS code_version, e.created_at AS time
FROM evaluation e
JOIN checkpoint c ON c.id = e.checkpoint_id
JOIN dataset_snapshot d ON d.id = e.dataset_snapshot_id""",  # noqa: S608 - as above
    # One row per cell: images of class `actual` that were predicted as `predicted`.
    "v_confusion_matrix": """
SELECT e.id AS evaluation, c.name AS model, c.digest AS checkpoint_digest, e.split AS split,
    k.actual AS actual, k.predicted AS predicted, k.images AS images
FROM confusion_cell k
JOIN evaluation e ON e.id = k.evaluation_id
JOIN checkpoint c ON c.id = e.checkpoint_id""",
    # One row per line of a classification report.
    "v_class_metrics": f"""
SELECT e.id AS evaluation, c.name AS model, m.position AS position, m.name AS name, m.is_average AS is_average,
    {_bounded("m", "precision", "recall", "f1")}, m.support AS support
FROM class_metric m
JOIN evaluation e ON e.id = m.evaluation_id
JOIN checkpoint c ON c.id = e.checkpoint_id""",  # noqa: S608 - as above
}
