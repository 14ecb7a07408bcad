"""What does a message make a worker do? One thin task; inspection.py does the work.

The message is two ids. A repeated, late or forged one ends in a refused claim.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from worker.app import TASK, app
from worker.lifecycle import told_to_stop

if TYPE_CHECKING:
    from worker.inspection import Inspector


@app.task(name=TASK, bind=True)
def inspect_batch(self: Any, batch: int, attempt: int) -> str:
    """Inspect one batch. The returned sentence is for the reader of Flower; the verdicts are in the database."""
    return _inspector(self.request.hostname).inspect(batch, attempt)


@cache
def _inspector(name: str) -> "Inspector":
    # Imported here: the pool's parent imports this module, too, and must never import torch.
    from worker.inspection import from_settings, patiently

    return patiently(lambda: from_settings(name, stopping=told_to_stop))
