"""How does a command end, for a script and for a person?

Exit codes: 0 done, 1 the job ended badly, 2 wrong usage, 3 a service is away; 130 stopped with Ctrl-C.
"""

from enum import IntEnum
from typing import NoReturn

import click


class ExitCode(IntEnum):
    """What a script may rely on."""

    DONE = 0
    ENDED_BADLY = 1
    WRONG_USAGE = 2
    SERVICE_AWAY = 3
    INTERRUPTED = 130


# By name, because importing vision's errors would import torch into every command.
_EXPECTED = {
    "trainer.errors.TrainingInterrupted": ExitCode.INTERRUPTED,
    "trainer.errors.TrainingDiverged": ExitCode.ENDED_BADLY,
    "trainer.errors.TargetRefused": ExitCode.ENDED_BADLY,
    "db.errors.ServiceAway": ExitCode.SERVICE_AWAY,
    "db.errors.InspectqError": ExitCode.WRONG_USAGE,
    "vision.checkpoint.CheckpointError": ExitCode.ENDED_BADLY,
    "vision.network.WeightsError": ExitCode.WRONG_USAGE,
    "vision.preprocessing.PreprocessingError": ExitCode.WRONG_USAGE,
    "vision.runtime.DeviceUnavailable": ExitCode.WRONG_USAGE,
    "vision.runtime.InvalidScore": ExitCode.ENDED_BADLY,
    "vision.runtime.DeviceFailed": ExitCode.ENDED_BADLY,
    "vision.runtime.DeviceOutOfMemory": ExitCode.ENDED_BADLY,
    "vision.reading.OutsideRoots": ExitCode.WRONG_USAGE,
    "worker.choice.RuntimeRefused": ExitCode.ENDED_BADLY,
    "builtins.OSError": ExitCode.ENDED_BADLY,
}


def exit_code(error: BaseException) -> ExitCode | None:
    """The code for an error that a person can be told in one sentence; None where it is a fault of ours."""
    for kind in type(error).__mro__:
        code = _EXPECTED.get(f"{kind.__module__}.{kind.__qualname__}")
        if code is not None:
            return code
    return None


def refuse_local(command: str) -> NoReturn:
    """Raise UsageError: the command works on a database, and a console elsewhere is named."""
    raise click.UsageError(
        f"INSPECTQ_API_URL is set, and `inspectq {command}` works on the database itself. Type it where that is, or "
        "without the variable."
    )
