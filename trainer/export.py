"""How does a checkpoint become files that a worker runs without torch?

The exported graph is the whole way from uint8 pixels to P(defective) and novelty. In int8, weights are quantised per
output channel and activations per tensor, with the ranges seen on training images (static quantisation, QDQ).

The same checkpoint and images give the same bytes; what the exporters note beside the graph (stack traces with the
paths of this machine, rules that were applied) is left out of the files.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from trainer.dataset import Dataset, Sample
from trainer.errors import DatasetError
from vision.checkpoint import METADATA_KEY, POSITIVE_INDEX, CheckpointInfo
from vision.decode import read_image
from vision.faults import StorageTrouble, Unreadable
from vision.flips import Mirrored
from vision.network import Network, layers_before
from vision.novelty import Novelty
from vision.onnx_runtime import CHECKPOINT_KEY, NOVELTY, PIXELS, SCORE
from vision.preprocessing import Preprocessing
from vision.runtime import Pixels
from vision.runtimes import REFERENCE, file_of
from vision.saved_network import Checkpoint, load_checkpoint
from vision.whole_file import write_whole

OPSET = 20
CALIBRATION_IMAGES = 128  # at most, as many of either class
_CALIBRATION_BATCH = 16
# The rest takes no time worth a loss: the last layer and the softmax decide between the classes, and the mean before
# them would have to be rounded twice.
_QUANTISED = ("Conv", "Relu", "Add", "MaxPool")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A written file."""

    name: str  # of the runtime
    path: Path
    digest: str  # sha256 of the file, hex


def export(models_folder: Path, digest: str, dataset: Dataset) -> tuple[Exported, ...]:
    """Write what the runtimes `onnx` and `onnx-int8` of this checkpoint need, beside it.

    `dataset` is what the checkpoint was trained on. Raises CheckpointError, and DatasetError where no training image
    of one of the classes can be read.
    """
    checkpoint = load_checkpoint(file_of(REFERENCE, models_folder, digest), digest)
    pixels = calibration_pixels(dataset, checkpoint.info.preprocessing)
    with _silence():
        network = _graph(checkpoint)
        int8 = _quantised(network, pixels)
    return tuple(
        _written(name, model, checkpoint, models_folder) for name, model in (("onnx", network), ("onnx-int8", int8))
    )


def calibration_pixels(dataset: Dataset, preprocessing: Preprocessing, most: int = CALIBRATION_IMAGES) -> Pixels:
    """Up to `most` training images as inspection sees them, half of them from either class, spread over its files.

    Of a model that looks at tiles, one from the middle of each.

    Raises DatasetError where a class has none that can be read.
    """
    rows = []
    for name in dataset.class_names:
        found = [sample for sample in dataset.part("train") if sample.label == name]
        spread = np.linspace(0, len(found) - 1, min(len(found), most // 2)).round().astype(int)
        seen = [_pixels(dataset, found[index], preprocessing) for index in spread]
        readable = [row for row in seen if row is not None]
        if not readable:
            raise DatasetError(f"No training image of class {name!r} can be read, and int8 needs to see some.")
        rows += readable
    return np.stack(rows)


def _pixels(dataset: Dataset, sample: Sample, preprocessing: Preprocessing) -> Pixels | None:
    try:
        seen = read_image(dataset.root / sample.path, edge=preprocessing.edge)
    except Unreadable:
        return None
    except StorageTrouble as trouble:
        raise DatasetError(f"An image of {dataset.root} cannot be read just now: {trouble}. Try again.") from trouble
    squares = list(preprocessing.squares(seen.image, (seen.width, seen.height)))
    return squares[len(squares) // 2]


class _FromPixels(nn.Module):
    """A network with its preprocessing, softmax and, where it has one, its novelty."""

    scale: Tensor
    offset: Tensor

    def __init__(self, network: Network, novelty: Novelty | None, preprocessing: Preprocessing) -> None:
        super().__init__()
        self._features = Mirrored(layers_before(network, "head"), preprocessing.flips)
        self._head = network.fc
        self._novelty = novelty
        # (pixel / 255 - mean) / std as one multiplication and one addition
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("offset", -mean / std)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        features, own = self._features(pixels.to(torch.float32) * self.scale + self.offset)
        scores = torch.softmax(self._head(features), dim=1)[:, POSITIVE_INDEX]
        return (scores,) if self._novelty is None else (scores, self._novelty(own))


def _graph(checkpoint: Checkpoint) -> onnx.ModelProto:
    preprocessing = checkpoint.info.preprocessing
    images = torch.zeros((2, 3, preprocessing.size, preprocessing.size), dtype=torch.uint8)
    program = torch.onnx.export(
        _FromPixels(checkpoint.network, checkpoint.novelty, preprocessing).eval(),
        (images,),
        input_names=[PIXELS],
        output_names=[SCORE] if checkpoint.novelty is None else [SCORE, NOVELTY],
        dynamic_shapes=({0: torch.export.Dim("images")},),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    if program is None:  # only where it is told to write a file
        raise RuntimeError("the exporter returned no graph")
    return program.model_proto


def _quantised(network: onnx.ModelProto, pixels: Pixels) -> onnx.ModelProto:
    """`network` with the convolutions and what lies between them in 8 bits.

    Activations are unsigned and weights signed with 7 bits: processors without VNNI add two products of 8 x 8 bits
    in 16 bits and clip the sum. With 7 bits it fits, so those processors are as fast and give the same scores as
    the ones with VNNI.
    """
    with tempfile.TemporaryDirectory(prefix="inspectq-export-") as folder:
        whole, prepared, quantised = (Path(folder) / f"{name}.onnx" for name in ("whole", "prepared", "int8"))
        onnx.save(network, whole)
        quant_pre_process(whole, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantised,
            _Calibration(pixels),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTISED),
            nodes_to_exclude=_before_the_first_convolution(onnx.load(prepared)),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(quantised)


def _before_the_first_convolution(network: onnx.ModelProto) -> list[str]:
    """The normalisation's nodes: pixels are rounded once, when they are normalised."""
    names = [node.name for node in network.graph.node]
    first = next(index for index, node in enumerate(network.graph.node) if node.op_type == "Conv")
    return names[:first]


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """The pixels in batches, for the quantiser that asks for them."""

    def __init__(self, pixels: Pixels) -> None:
        self._batches = iter(np.array_split(pixels, range(_CALIBRATION_BATCH, len(pixels), _CALIBRATION_BATCH)))

    def get_next(self) -> dict[str, Pixels] | None:
        batch = next(self._batches, None)
        return None if batch is None else {PIXELS: batch}


def _written(name: str, network: onnx.ModelProto, checkpoint: Checkpoint, folder: Path) -> Exported:
    _strip(network, checkpoint.info)
    for key, value in ((METADATA_KEY, checkpoint.info.to_json()), (CHECKPOINT_KEY, checkpoint.digest)):
        network.metadata_props.add(key=key, value=value)
    path = file_of(name, folder, checkpoint.digest)
    return Exported(name=name, path=path, digest=write_whole(path, network.SerializeToString(deterministic=True)))


def _strip(network: onnx.ModelProto, info: CheckpointInfo) -> None:
    """Leave nothing of the exporters but the graph and that it is of a checkpoint."""
    graph = network.graph
    del network.metadata_props[:]
    for part in (graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    network.doc_string = ""
    network.producer_name, network.producer_version, graph.name = "inspectq", info.code_version, info.architecture


@contextmanager
def _silence() -> Iterator[None]:
    """The exporters say in several ways what nobody can act on; what goes wrong is an exception."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    onnxruntime.set_default_logger_severity(3)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
