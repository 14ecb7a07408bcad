"""The process behind vision/guard.py: decodes one image after the other, and may die of any of them.

`python -m vision.guarded_decoder CONTENT PIXELS MEMORY` with two descriptors of shared memory and a
number of bytes. After "ready", each line on standard input asks for one image, each line on standard
output answers.
"""

import json
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from vision.decode import decode
from vision.faults import Unreadable
from vision.preprocessing import Preprocessing

SECONDS_TO_SPARE = 5  # of processor time: whoever asked keeps the real limit, and may have died


def main(content: int, pixels: int, memory: int) -> None:
    """Answer until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal's processes; no image is at fault
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # If the machine runs out of memory, this process is the one to go, not the worker.
    Path("/proc/self/oom_score_adj").write_text("1000")
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        _limit_processor_time(request["seconds"])
        print(json.dumps(_answer(content, pixels, request)), flush=True)


def _answer(content: int, pixels: int, request: dict[str, Any]) -> dict[str, Any]:
    try:
        with open(content, "rb", closefd=False) as shared:
            shared.seek(0)
            received = shared.read()
        preprocessing = Preprocessing.from_dict(request["preprocessing"])
        seen = decode(received, request["max_pixels"], edge=preprocessing.edge)
        squares = 0
        with open(pixels, "wb", closefd=False) as shared:
            shared.seek(0)
            for rows in preprocessing.squares(seen.image, (seen.width, seen.height)):
                shared.write(rows.tobytes())
                squares += 1
    except Unreadable as fault:
        return {"reason": fault.reason.value, "detail": fault.detail}
    except MemoryError:
        return {"out_of_memory": True}
    return {"width": seen.width, "height": seen.height, "squares": squares}


def _limit_processor_time(seconds: float) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = used.ru_utime + used.ru_stime
    most = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(spent + seconds) + SECONDS_TO_SPARE, most))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
