"""Which rows are kept? One class per table, in the words of ARCHITECTURE.md.

Positive = defective, score = P(defective), everywhere. Nothing here decides anything: the
modules named after the aggregates do (jobs, batches, results, checkpoints, evaluations, audit).
"""

from db.models.base import Base
from db.models.checkpoints import Checkpoint, DatasetSnapshot, TrainingImage, TrainingRun
from db.models.evaluations import (
    ClassMetric,
    ConfusionCell,
    Evaluation,
    EvaluationScore,
    OperatingPoint,
    OperatingPointApproval,
    RuntimeParity,
)
from db.models.inspection import Batch, InspectionJob, InspectionResult, JobDrift, in_state
from db.models.reviews import Review, ReviewDecision, ReviewLease, SampledImage, SampleDraw
from db.models.services import AuditEvent, Leadership, ServiceHeartbeat, SubmissionKey
from db.models.states import OPEN_BATCHES, OPEN_JOBS, BatchState, Disposition, JobState, ModelStatus

__all__ = [
    "OPEN_BATCHES",
    "OPEN_JOBS",
    "AuditEvent",
    "Base",
    "Batch",
    "BatchState",
    "Checkpoint",
    "ClassMetric",
    "ConfusionCell",
    "DatasetSnapshot",
    "Disposition",
    "Evaluation",
    "EvaluationScore",
    "InspectionJob",
    "InspectionResult",
    "JobDrift",
    "JobState",
    "Leadership",
    "ModelStatus",
    "OperatingPoint",
    "OperatingPointApproval",
    "Review",
    "ReviewDecision",
    "ReviewLease",
    "RuntimeParity",
    "SampleDraw",
    "SampledImage",
    "ServiceHeartbeat",
    "SubmissionKey",
    "TrainingImage",
    "TrainingRun",
    "in_state",
]
