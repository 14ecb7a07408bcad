"""How is the comparison of a runtime with the reference shown?"""

from typing import Any

from db.models import RuntimeParity


def parity_line(row: RuntimeParity) -> str:
    """A comparison in one line."""
    figures = (
        f"scores differ by at most {row.largest_difference:.2g}, {row.mean_difference:.2g} on average; "
        f"{row.flipped} of {row.images} verdicts flipped"
    )
    return (
        f"runtime {row.name}: accepted; {figures}"
        if row.accepted
        else f"runtime {row.name}: refused. {row.reason} ({figures})"
    )


def parity_fields(row: RuntimeParity) -> dict[str, Any]:
    """The same for scripts and tables."""
    return {
        "runtime": row.name,
        "state": "accepted" if row.accepted else "refused",
        "reason": row.reason,
        "evaluation": f"e{row.evaluation_id}",
        "images": row.images,
        "largest_difference": row.largest_difference,
        "mean_difference": row.mean_difference,
        "flipped": row.flipped,
        "file_digest": row.file_digest,
    }
