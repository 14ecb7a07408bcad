"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", _ID, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=50), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    op.create_index(op.f("ix_audit_event_subject"), "audit_event", ["subject"], unique=False)
    op.create_table(
        "dataset_snapshot",
        sa.Column("id", _ID, nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("layout", sa.String(length=50), nullable=False),
        sa.Column("split_seed", sa.BigInteger(), nullable=True),
        sa.Column("test_share", sa.Double(), nullable=True),
        sa.Column("positive_class", sa.String(length=200), nullable=False),
        sa.Column("class_names", sa.JSON(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("skipped", sa.JSON(), nullable=False),
        sa.Column("twins_across_splits", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset_snapshot")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_dataset_snapshot_fingerprint")),
    )
    op.create_table(
        "service_heartbeat",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_service_heartbeat")),
    )
    op.create_table(
        "training_run",
        sa.Column("id", _ID, nullable=False),
        sa.Column("dataset_snapshot_id", _ID, nullable=False),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("history", sa.JSON(), nullable=False),
        sa.Column("device", sa.String(length=100), nullable=False),
        sa.Column("code_version", sa.String(length=100), nullable=False),
        sa.Column("library_versions", sa.JSON(), nullable=False),
        sa.Column("resumed", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_snapshot_id"], ["dataset_snapshot.id"], name=op.f("fk_training_run_dataset_snapshot_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_run")),
    )
    op.create_table(
        "checkpoint",
        sa.Column("id", _ID, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "candidate",
                "approved",
                "retired",
                name="modelstatus",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("architecture", sa.String(length=100), nullable=False),
        sa.Column("positive_class", sa.String(length=200), nullable=False),
        sa.Column("negative_class", sa.String(length=200), nullable=False),
        sa.Column("preprocessing", sa.JSON(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("training_run_id", _ID, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["training_run_id"], ["training_run.id"], name=op.f("fk_checkpoint_training_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoint")),
        sa.UniqueConstraint("digest", name=op.f("uq_checkpoint_digest")),
        sa.UniqueConstraint("name", name=op.f("uq_checkpoint_name")),
    )
    op.create_table(
        "evaluation",
        sa.Column("id", _ID, nullable=False),
        sa.Column("checkpoint_id", _ID, nullable=False),
        sa.Column("dataset_snapshot_id", _ID, nullable=False),
        sa.Column("split", sa.String(length=50), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("engine", sa.String(length=50), nullable=False),
        sa.Column("precision", sa.String(length=20), nullable=False),
        sa.Column("device", sa.String(length=100), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("unreadable", sa.Integer(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("miss_rate", sa.Double(), nullable=True),
        sa.Column("false_alarm_rate", sa.Double(), nullable=True),
        sa.Column("escapes_ppm", sa.Double(), nullable=True),
        sa.Column("auroc", sa.Double(), nullable=True),
        sa.Column("average_precision", sa.Double(), nullable=True),
        sa.Column("ece", sa.Double(), nullable=True),
        sa.Column("code_version", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["checkpoint_id"], ["checkpoint.id"], name=op.f("fk_evaluation_checkpoint_id")),
        sa.ForeignKeyConstraint(
            ["dataset_snapshot_id"], ["dataset_snapshot.id"], name=op.f("fk_evaluation_dataset_snapshot_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation")),
    )
    op.create_index(op.f("ix_evaluation_checkpoint_id"), "evaluation", ["checkpoint_id"], unique=False)
    op.create_table(
        "operating_point",
        sa.Column("id", _ID, nullable=False),
        sa.Column("checkpoint_id", _ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("pass_below", sa.Double(), nullable=False),
        sa.Column("fail_from", sa.Double(), nullable=False),
        sa.Column("origin", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "0 <= pass_below AND pass_below <= fail_from AND fail_from <= 1", name=op.f("ck_operating_point_limits")
        ),
        sa.ForeignKeyConstraint(["checkpoint_id"], ["checkpoint.id"], name=op.f("fk_operating_point_checkpoint_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operating_point")),
        sa.UniqueConstraint("checkpoint_id", "version", name=op.f("uq_operating_point_checkpoint_id_version")),
    )
    op.create_table(
        "class_metric",
        sa.Column("id", _ID, nullable=False),
        sa.Column("evaluation_id", _ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("is_average", sa.Boolean(), nullable=False),
        sa.Column("precision", sa.Double(), nullable=False),
        sa.Column("recall", sa.Double(), nullable=False),
        sa.Column("f1", sa.Double(), nullable=False),
        sa.Column("support", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name=op.f("fk_class_metric_evaluation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_class_metric")),
        sa.UniqueConstraint("evaluation_id", "position", name=op.f("uq_class_metric_evaluation_id_position")),
    )
    op.create_table(
        "confusion_cell",
        sa.Column("id", _ID, nullable=False),
        sa.Column("evaluation_id", _ID, nullable=False),
        sa.Column("actual", sa.String(length=200), nullable=False),
        sa.Column("predicted", sa.String(length=200), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name=op.f("fk_confusion_cell_evaluation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_confusion_cell")),
        sa.UniqueConstraint(
            "evaluation_id", "actual", "predicted", name=op.f("uq_confusion_cell_evaluation_id_actual_predicted")
        ),
    )
    op.create_table(
        "evaluation_score",
        sa.Column("id", _ID, nullable=False),
        sa.Column("evaluation_id", _ID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("actual", sa.String(length=200), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("reason_code", sa.String(length=50), nullable=True),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name=op.f("fk_evaluation_score_evaluation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation_score")),
        sa.UniqueConstraint("evaluation_id", "path", name=op.f("uq_evaluation_score_evaluation_id_path")),
    )
    op.create_table(
        "inspection_job",
        sa.Column("id", _ID, nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("checkpoint_id", _ID, nullable=False),
        sa.Column("operating_point_id", _ID, nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "pending",
                "planning",
                "running",
                "done",
                "cancelled",
                "failed",
                name="jobstate",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("state_reason", sa.Text(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("batch_images", sa.Integer(), nullable=False),
        sa.Column("submitted", sa.Integer(), nullable=False),
        sa.Column("planned_batches", sa.Integer(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("other_files", sa.Integer(), nullable=False),
        sa.Column("linked_folders", sa.Integer(), nullable=False),
        sa.Column("submitted_by", sa.String(length=200), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("planner_token", sa.String(length=32), nullable=True),
        sa.Column("planner_lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["checkpoint_id"], ["checkpoint.id"], name=op.f("fk_inspection_job_checkpoint_id")),
        sa.ForeignKeyConstraint(
            ["operating_point_id"], ["operating_point.id"], name=op.f("fk_inspection_job_operating_point_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inspection_job")),
    )
    op.create_index(op.f("ix_inspection_job_checkpoint_id"), "inspection_job", ["checkpoint_id"], unique=False)
    op.create_index(
        "ix_inspection_job_open",
        "inspection_job",
        ["state"],
        unique=False,
        postgresql_where=sa.text("state IN ('pending', 'planning', 'running')"),
        sqlite_where=sa.text("state IN ('pending', 'planning', 'running')"),
    )
    op.create_table(
        "batch",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "planned",
                "dispatched",
                "running",
                "done",
                "cancelled",
                name="batchstate",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("paths", sa.JSON(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("token", sa.String(length=32), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.String(length=200), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["inspection_job.id"], name=op.f("fk_batch_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
        sa.UniqueConstraint("job_id", "sequence", name=op.f("uq_batch_job_id_sequence")),
    )
    op.create_index(
        "ix_batch_open",
        "batch",
        ["state", "job_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('planned', 'dispatched', 'running')"),
        sqlite_where=sa.text("state IN ('planned', 'dispatched', 'running')"),
    )
    op.create_table(
        "inspection_result",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("batch_id", _ID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("label", sa.String(length=200), nullable=True),
        sa.Column(
            "disposition",
            sa.Enum(
                "PASS",
                "FAIL",
                "REVIEW",
                "UNREADABLE",
                name="disposition",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("reason_code", sa.String(length=50), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("checkpoint_id", _ID, nullable=False),
        sa.Column("operating_point_id", _ID, nullable=False),
        sa.Column("engine", sa.String(length=50), nullable=False),
        sa.Column("precision", sa.String(length=20), nullable=False),
        sa.Column("device", sa.String(length=100), nullable=False),
        sa.Column("worker", sa.String(length=200), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_inspection_result_batch_id")),
        sa.ForeignKeyConstraint(["checkpoint_id"], ["checkpoint.id"], name=op.f("fk_inspection_result_checkpoint_id")),
        sa.ForeignKeyConstraint(["job_id"], ["inspection_job.id"], name=op.f("fk_inspection_result_job_id")),
        sa.ForeignKeyConstraint(
            ["operating_point_id"], ["operating_point.id"], name=op.f("fk_inspection_result_operating_point_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inspection_result")),
        sa.UniqueConstraint("job_id", "path", "revision", name=op.f("uq_inspection_result_job_id_path_revision")),
    )
    op.create_index(op.f("ix_inspection_result_batch_id"), "inspection_result", ["batch_id"], unique=False)
    op.create_index(op.f("ix_inspection_result_sha256"), "inspection_result", ["sha256"], unique=False)
