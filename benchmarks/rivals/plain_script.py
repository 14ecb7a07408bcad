"""How fast is a plain PyTorch script, as a good user would write it?

    python -m benchmarks.rivals.plain_script --images DIR --checkpoint FILE --out FILE [--workers N] [--channels-last]

A Dataset that opens files with Pillow, torchvision's transforms, a DataLoader with workers and pinned memory, an eager
ResNet18 in inference mode, results in SQLite.
"""

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.models import resnet18

from benchmarks.rivals.shared import Account, Task, Transform, defective


class Images(Dataset[tuple[Tensor, str]]):
    """Files through a transform."""

    def __init__(self, paths: list[str], transform: Transform) -> None:
        self._paths = paths
        self._transform = transform

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Tensor, str]:
        with Image.open(self._paths[index]) as image:
            return self._transform(image.convert("RGB")), self._paths[index]


def main() -> None:
    task = Task.from_arguments(__doc__)
    account = Account("plain PyTorch" + (", channels_last" if task.channels_last else ""))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    weights, preprocessing = task.weights()
    network = resnet18(num_classes=2)
    network.load_state_dict(weights)
    network.eval().to(device=device, memory_format=task.memory_format)
    loader = DataLoader(
        Images([str(path) for path in task.paths()], Transform(preprocessing)),
        batch_size=task.batch_size,
        num_workers=task.workers,
        pin_memory=device.type == "cuda",  # without a GPU it would only warn
    )
    with torch.inference_mode():
        for pixels, paths in loader:
            pixels = pixels.to(device, non_blocking=True, memory_format=task.memory_format)
            account.add(paths, defective(network(pixels)))
    account.close(task)


if __name__ == "__main__":
    main()
