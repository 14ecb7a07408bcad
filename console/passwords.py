"""Which passwords has the cluster in a folder, when nobody has set any?"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from console.compose import ComposeError
from console.processes import write_private


def cluster_variables(folder: Path) -> Mapping[str, str]:
    """The environment to fill docker-compose.yml in with; what it lacks is of the last run in `folder`, or new.

    Whatever is used is remembered in folder/.env: the data in the folder was made with it.
    """
    path = folder / ".env"
    lines = path.read_text().splitlines() if path.exists() else []
    remembered = dict(line.split("=", 1) for line in lines if "=" in line)
    made = {
        "POSTGRES_PASSWORD": secrets.token_hex(16),
        "INSPECTQ_SERVICE_PASSWORD": secrets.token_hex(16),
        "INSPECTQ_CONSOLE_PASSWORD": secrets.token_hex(16),
        "REDIS_PASSWORD": secrets.token_hex(16),
        "INSPECTQ_FLOWER_AUTH": f"inspectq:{secrets.token_hex(8)}",
    }
    used = {name: os.environ.get(name) or remembered.get(name) or new for name, new in made.items()}
    for name in ("POSTGRES_PASSWORD", "INSPECTQ_SERVICE_PASSWORD", "INSPECTQ_CONSOLE_PASSWORD", "REDIS_PASSWORD"):
        if quote(used[name], safe="") != used[name]:
            raise ComposeError(f"{name} stands inside URLs: use letters and digits only.")
    write_private(path, "".join(f"{name}={value}\n" for name, value in used.items()))
    # Local processes see the whole disk; the folder only has to be one that exists.
    images = os.environ.get("INSPECTQ_IMAGES") or str(Path.cwd())
    return {**os.environ, "INSPECTQ_IMAGES": images, **used}
