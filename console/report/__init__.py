"""What can a person look at, keep and hand on? One self-contained HTML file per job, evaluation or
operating point.

Loads matplotlib: import it where a report is written, not where a command is named.
"""

from console.report.dataset import write_dataset_report
from console.report.evaluation import write_evaluation_report
from console.report.job import write_job_report
from console.report.limits import write_limits_report

__all__ = ["write_dataset_report", "write_evaluation_report", "write_job_report", "write_limits_report"]
