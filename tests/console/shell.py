"""How does a test type a command without starting a process?"""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from console.cli import main
from db.settings import settings


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, parsed."""
        return json.loads(self.out)


def type_here(capsys: pytest.CaptureFixture[str], *words: object) -> Said:
    """Run `inspectq` with these words in this process, with the settings of the environment as it is now."""
    settings.cache_clear()
    capsys.readouterr()
    try:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
    finally:
        settings.cache_clear()
    shown = capsys.readouterr()
    return Said(code=int(ended.value.code or 0), out=shown.out, err=shown.err)
