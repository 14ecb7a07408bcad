"""What becomes of many files, in a process of its own that may hang, crash or take too much memory?

`read_all` and `score_all` are what a test calls; the rest runs in that process. What it could not finish is a
`subprocess.CalledProcessError` or an expired deadline, and so a red test, never a suite that stands still.
"""

import faulthandler
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tests.vision.bad_files import valid_images
from vision.decode import Limits, Unreadable, read_image

DEADLINE = 400  # seconds; thousands of files take about 30 where nobody else computes
NOBODY = 65534


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the process told about its files and about itself."""

    outcomes: list[str | None]  # per path: a reason code, None for a picture, anything else if it was raised
    peak_growth: int  # bytes of memory, above what a few sound pictures needed
    descriptors: tuple[int, int]  # open before and after
    noise: str  # what it wrote to stderr


def read_all(paths: Sequence[Path], limits: Limits, folder: Path, *, memory: int, as_nobody: bool = False) -> Told:
    """Each path through `read_image`. `memory`: bytes of address space it may take; `folder`: for a file of its own."""
    request = {"paths": _texts(paths), "limits": asdict(limits), "memory": memory, "as_nobody": as_nobody}
    answer, noise = _ask("read", request, folder)
    return Told(
        outcomes=answer["outcomes"],
        peak_growth=answer["peak_growth"],
        descriptors=(answer["before"], answer["after"]),
        noise=noise,
    )


def score_all(
    runs: Sequence[Sequence[Path]], limits: Limits, folder: Path, checkpoint: Path
) -> list[list[dict[str, Any]]]:
    """Each run's paths through `score_images`: the fields of each `ImageScore`, in the order they came."""
    request = {"runs": [_texts(paths) for paths in runs], "limits": asdict(limits), "checkpoint": str(checkpoint)}
    answer, _ = _ask("score", request, folder)
    scores: list[list[dict[str, Any]]] = answer["runs"]
    return scores


def run_module(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m module` with a deadline and a traceback if it hangs or crashes. Raises if it did not end well."""
    command = [sys.executable, "-X", "faulthandler", "-m", module, *arguments]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=DEADLINE + 30)
    assert done.returncode == 0, f"{module} ended with {done.returncode}: {done.stdout[-2000:]}\n{done.stderr[-8000:]}"
    return done


def end_at_the_deadline() -> None:
    """Says in which line this process hangs, and ends it, also from within C code."""
    faulthandler.dump_traceback_later(DEADLINE, exit=True)


def _texts(paths: Sequence[Path]) -> list[str]:
    return [os.fspath(path) for path in paths]


def _ask(what: str, request: dict[str, Any], folder: Path) -> tuple[dict[str, Any], str]:
    asked, answered = folder / "request.json", folder / "answer.json"
    asked.write_text(json.dumps(request))
    done = run_module(__name__, what, str(asked), str(answered))
    answer: dict[str, Any] = json.loads(answered.read_text())
    return answer, done.stderr


# --- in the process itself -------------------------------------------------------------------------------------


def main() -> None:
    """Answer the request in the file that is named second, into the file that is named third."""
    end_at_the_deadline()
    what, asked, answered = sys.argv[1:]
    request = json.loads(Path(asked).read_text())
    limits = Limits(**request["limits"])
    with Path(answered).open("w") as answer:  # before this process gives up its rights
        json.dump(_read(request, limits) if what == "read" else _score(request, limits), answer)


def _read(request: dict[str, Any], limits: Limits) -> dict[str, Any]:
    _warm_up(Path(request["paths"][0]).parent)
    if request["as_nobody"] and os.getuid() == 0:  # the superuser may read everything
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    before, peak = len(list(Path("/proc/self/fd").iterdir())), _status("VmHWM")
    most = _status("VmSize") + request["memory"]
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    outcomes = [_outcome(path, limits) for path in request["paths"]]
    after = len(list(Path("/proc/self/fd").iterdir()))
    return {"outcomes": outcomes, "peak_growth": _status("VmHWM") - peak, "before": before, "after": after}


def _outcome(path: str, limits: Limits) -> str | None:
    print(path, flush=True)  # the last line tells which file it was
    try:
        picture = read_image(path, limits)
    except Unreadable as fault:
        return fault.reason.value
    except BaseException as error:  # which is what no file may bring about
        return repr(error)
    assert picture.image.mode == "RGB"
    assert picture.image.size == (picture.width, picture.height)
    return None


def _warm_up(folder: Path) -> None:
    """Load what reading loads once, so that it counts neither as memory nor as open files."""
    Image.init()
    path = folder / "warm-up.bin"
    for content in valid_images().values():
        path.write_bytes(content)
        read_image(path)
    path.unlink()


def _status(field: str) -> int:
    """Bytes. Not `ru_maxrss`: that still counts the process which started this one."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def _score(request: dict[str, Any], limits: Limits) -> dict[str, Any]:
    import torch

    from vision.inspection import score_images
    from vision.saved_network import load_checkpoint
    from vision.torch_runtime import TorchRuntime

    torch.set_num_threads(1)  # the network is tiny
    runtime = TorchRuntime(load_checkpoint(Path(request["checkpoint"])), "cpu")
    runs = [[asdict(score) for score in score_images(paths, runtime, limits=limits)] for paths in request["runs"]]
    return {"runs": runs}


if __name__ == "__main__":
    main()
