"""How fast is Ray Data's batch inference on a folder of images?

    python -m benchmarks.rivals.ray_batch --images DIR --checkpoint FILE --out FILE [--workers N] [--channels-last]

As Ray's documentation has it: `read_images`, a transform per row, an actor per worker that keeps the network and gets
batches. On this machine alone, with as many CPUs as the process may use; half of them are for the actors' share, the
others for reading.
"""

import os
import time

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when ray is imported

import numpy as np
import ray  # type: ignore[import-not-found, import-untyped, unused-ignore]  # not ours: .venv-rivals
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.models import resnet18

from benchmarks.rivals.shared import Account, Task, Transform, defective

Batch = dict[str, NDArray[np.generic]]


class Classifier:
    """An actor's network."""

    def __init__(self, task: Task) -> None:
        self._memory_format = task.memory_format
        self._network = resnet18(num_classes=2)
        self._network.load_state_dict(task.weights()[0])
        self._network.eval().to(memory_format=self._memory_format)

    def __call__(self, batch: Batch) -> Batch:
        with torch.inference_mode():
            pixels = torch.from_numpy(batch["pixels"]).contiguous(memory_format=self._memory_format)
            scores = np.array(defective(self._network(pixels)))
        # Ray hands on whole blocks of batches: their arrival does not tell when they were scored.
        return {"path": batch["path"], "score": scores, "time": np.full(len(scores), time.perf_counter())}


def main() -> None:
    task = Task.from_arguments(__doc__)
    account = Account("Ray Data" + (", channels_last" if task.channels_last else ""))
    cores = len(os.sched_getaffinity(0))
    ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    transform = Transform(task.weights()[1])

    def prepared(row: Batch) -> Batch:
        return {"path": row["path"], "pixels": transform(Image.fromarray(row["image"])).numpy()}

    scored = (
        ray.data.read_images(str(task.images), include_paths=True, mode="RGB")
        .map(prepared)
        .map_batches(
            Classifier,
            fn_constructor_args=(task,),
            compute=ray.data.ActorPoolStrategy(size=task.workers),
            num_cpus=cores / 2 / task.workers,
            batch_size=task.batch_size,
        )
    )
    for batch in scored.iter_batches(batch_size=task.batch_size):
        account.add(batch["path"].tolist(), batch["score"].tolist(), batch["time"].tolist())
    account.close(task)
    ray.shutdown()


if __name__ == "__main__":
    main()
