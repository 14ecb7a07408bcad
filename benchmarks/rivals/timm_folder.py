"""How fast is timm's way to classify a folder?

    python -m benchmarks.rivals.timm_folder --images DIR --checkpoint FILE --out FILE [--workers N] [--channels-last]

timm's data set, its loader with prefetcher, and its resnet18. The loader's crop mode "border" with the whole picture
in the crop is our own preprocessing: fitted, padded with the mean colour.
"""

import timm  # type: ignore[import-not-found, import-untyped, unused-ignore]  # not ours: .venv-rivals
import torch
from timm.data import create_dataset, create_loader  # type: ignore[import-not-found, import-untyped, unused-ignore]

from benchmarks.rivals.shared import Account, Task, defective


def main() -> None:
    task = Task.from_arguments(__doc__)
    account = Account("timm" + (", channels_last" if task.channels_last else ""))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    weights, preprocessing = task.weights()
    network = timm.create_model("resnet18", num_classes=2)
    network.load_state_dict(weights)
    network.eval().to(device=device, memory_format=task.memory_format)
    loader = create_loader(
        create_dataset("", root=str(task.images)),
        input_size=(3, preprocessing.size, preprocessing.size),
        batch_size=task.batch_size,
        interpolation="bilinear",
        mean=preprocessing.mean,
        std=preprocessing.std,
        crop_pct=1.0,
        crop_mode="border",
        num_workers=task.workers,
        pin_memory=device.type == "cuda",
        device=device,
    )
    paths = loader.dataset.filenames(absolute=True)
    done = 0
    with torch.inference_mode():
        for pixels, _ in loader:
            scores = defective(network(pixels.contiguous(memory_format=task.memory_format)))
            account.add(paths[done : done + len(scores)], scores)
            done += len(scores)
    account.close(task)


if __name__ == "__main__":
    main()
