"""Has any package that we lock a known weakness? Asks pip-audit, and never takes an answer that is none for a no.

    python .ci/audit.py requirements/dev.txt COMMAND OF PIP-AUDIT…

pip-audit ends with 0, too, where the advisory service knows none of the packages (a mirror without advisories), and
with 1 both for a weakness and for a service that is away. Exit codes here: 0 asked about every package, none has
one; 1 at least one has; 3 not everything could be asked.
"""

import json
import subprocess
import sys
from typing import Any

NOTHING, WEAKNESS, NOT_ASKED = 0, 1, 3
_ARGUMENTS = ("--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json", "-r")


def main(requirements: str, *program: str) -> int:
    """Run the audit, say what came of it, and return the exit code."""
    command = [*program, *_ARGUMENTS, requirements]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the Makefile's own
    except OSError as error:
        return _not_asked(str(error))
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return _not_asked((done.stderr or done.stdout).strip().rpartition("\n")[2])
    weak = [(entry, found) for entry in packages for found in entry.get("vulns", [])]
    for entry, found in weak:
        fixed = ", ".join(found.get("fix_versions", [])) or "nothing yet"
        print(f"{entry['name']} {entry['version']}: {found['id']}, mended in {fixed}")
    skipped = [entry for entry in packages if "skip_reason" in entry]
    if weak:
        print(f"{len(weak)} known weaknesses. Update with make lock, then run the tests.", file=sys.stderr)
        return WEAKNESS
    if skipped or not packages:
        reason = skipped[0]["skip_reason"] if skipped else "pip-audit looked at no package"
        return _not_asked(f"{len(skipped)} of {len(packages)} packages; the first: {reason}")
    print(f"{len(packages)} packages, and no known weakness in any of them.")
    return NOTHING


def _not_asked(reason: str) -> int:
    print(f"NOT AUDITED: the advisory service could not be asked ({reason[:300]}).", file=sys.stderr)
    print("Run it again where the internet can be reached.", file=sys.stderr)
    return NOT_ASKED


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
