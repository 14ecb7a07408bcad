"""Which rows are kept? One class per table, in the words of ARCHITECTURE.md.

Positive = defective, score = P(defective), everywhere. Nothing here decides anything: the
modules named after the aggregates do (jobs, batches, results, checkpoints, evaluations, audit).
"""

from db.models.agreement import AgreementAnswer, AgreementImage, AgreementStudy, Answer
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
from db.models.people import ApiToken, Role, WebPassword, WebSession, WebUser
from db.models.reviews import Review, ReviewDecision, ReviewLease, SampledImage, SampleDraw
from db.models.services import AuditEvent, Leadership, ServiceHeartbeat, StageTime, SubmissionKey, Webhook
from db.models.states import OPEN_BATCHES, OPEN_JOBS, BatchState, Disposition, JobState, ModelStatus

__all__ = [
    "OPEN_BATCHES",
    "OPEN_JOBS",
    "AgreementAnswer",
    "AgreementImage",
    "AgreementStudy",
    "Answer",
    "ApiToken",
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
    "Role",
    "RuntimeParity",
    "SampleDraw",
    "SampledImage",
    "ServiceHeartbeat",
    "StageTime",
    "SubmissionKey",
    "TrainingImage",
    "TrainingRun",
    "WebPassword",
    "WebSession",
    "WebUser",
    "Webhook",
    "in_state",
]
