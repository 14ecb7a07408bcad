"""How fast is a runtime alone, that is handed the same pixels again and again?

    python -m benchmarks.model_only CHECKPOINT --runtime torch|onnx|… [--threads N] [--seconds S]

As a scan does it on a CPU: each thread has its own batch and one core. Prints images per second.
"""

import argparse
import threading
import time
from pathlib import Path

import numpy as np

from vision.cores import usable_cores
from vision.runtime import Runtime
from vision.runtimes import REFERENCE, RUNTIMES, open_runtime

WARM_UP_CALLS = 2


def measure(runtime: Runtime, threads: int, seconds: float) -> float:
    """Images per second of `threads` that score side by side for so long."""
    rng = np.random.default_rng(0)
    counts = [0] * threads
    ready, over = threading.Barrier(threads + 1), threading.Event()

    def work(number: int) -> None:
        pixels = runtime.buffer(runtime.batch_size)
        pixels[:] = rng.integers(0, 256, pixels.shape, dtype=np.uint8)
        for _ in range(WARM_UP_CALLS):
            runtime.score(pixels)
        ready.wait()
        while not over.is_set():
            runtime.score(pixels)
            counts[number] += len(pixels)

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
    for worker in workers:
        worker.start()
    ready.wait()
    began = time.perf_counter()
    over.wait(seconds)
    over.set()
    for worker in workers:  # each ends the batch that it has begun, and it counts with its time
        worker.join()
    return sum(counts) / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--runtime", choices=RUNTIMES, default=REFERENCE)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    runtime = open_runtime(options.runtime, options.checkpoint.parent, options.checkpoint.stem, device="cpu")
    print(round(measure(runtime, options.threads, options.seconds), 2))


if __name__ == "__main__":
    main()
