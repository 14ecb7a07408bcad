"""Do the exported files hold the checkpoint's network, nothing else, and always the same bytes?"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.exports import SIZE, ExportedModel
from trainer.dataset import Dataset
from trainer.errors import DatasetError
from trainer.export import calibration_pixels, export
from trainer.opening import open_dataset
from vision.checkpoint import METADATA_KEY, CheckpointAltered, CheckpointInfo, info_of
from vision.onnx_runtime import CHECKPOINT_KEY
from vision.preprocessing import Preprocessing
from vision.runtimes import EXPORTED, file_of, open_runtime


@pytest.fixture(scope="session")
def graphs(exported_model: ExportedModel) -> dict[str, onnx.ModelProto]:
    return {file.name: onnx.load(file.path) for file in exported_model.files}


def test_each_runtime_has_its_file_beside_the_checkpoint_and_nothing_is_left_over(
    exported_model: ExportedModel,
) -> None:
    digest = exported_model.digest
    assert [file.path.name for file in exported_model.files] == [f"{digest}.onnx", f"{digest}.int8.onnx"]
    assert {path.name for path in exported_model.folder.iterdir()} == {
        f"{digest}.safetensors",
        f"{digest}.onnx",
        f"{digest}.int8.onnx",
    }


def test_the_fp32_file_gives_the_checkpoints_scores(exported_model: ExportedModel) -> None:
    torch, onnx32 = (open_runtime(name, exported_model.folder, exported_model.digest) for name in ("torch", "onnx"))
    expected = torch.score(exported_model.pixels).scores
    assert np.ptp(expected) > 0.5
    assert onnx32.score(exported_model.pixels).scores == pytest.approx(expected, abs=1e-5)


def test_the_int8_file_gives_scores_close_to_them(exported_model: ExportedModel) -> None:
    torch, int8 = (open_runtime(name, exported_model.folder, exported_model.digest) for name in ("torch", "onnx-int8"))
    difference = np.abs(int8.score(exported_model.pixels).scores - torch.score(exported_model.pixels).scores)
    assert 0 < difference.max() < 0.2
    assert difference.mean() < 0.05


def test_either_file_gives_the_checkpoints_novelty(exported_model: ExportedModel) -> None:
    expected, onnx32, int8 = (
        open_runtime(name, exported_model.folder, exported_model.digest).score(exported_model.pixels).novelties
        for name in ("torch", *EXPORTED)
    )
    assert expected is not None
    assert np.ptp(expected) > 0.1
    assert onnx32 == pytest.approx(expected, abs=1e-3)
    assert int8 == pytest.approx(expected, abs=0.5)


def test_every_convolution_and_sum_is_in_8_bits_and_no_activation_is_left_between(
    graphs: dict[str, onnx.ModelProto],
) -> None:
    nodes = graphs["onnx-int8"].graph.node
    made_by = {output: node.op_type for node in nodes for output in node.output}
    assert "Relu" not in made_by.values(), "a quantised range from zero on is the ReLU"
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    sums = [node for node in nodes if node.op_type == "Add" and set(node.input) <= made_by.keys()]
    assert (len(convolutions), len(sums)) == (20, 8)
    for node in (*convolutions, *sums):
        assert {made_by[name] for name in node.input} == {"DequantizeLinear"}, node.name


def test_int8_weights_leave_room_for_processors_that_add_two_products_in_16_bits(
    graphs: dict[str, onnx.ModelProto],
) -> None:
    tensors = [numpy_helper.to_array(tensor) for tensor in graphs["onnx-int8"].graph.initializer]
    weights = [tensor for tensor in tensors if tensor.ndim == 4 and tensor.dtype == np.int8]
    assert len(weights) == 20, "one for each convolution"
    assert max(int(np.abs(tensor.astype(int)).max()) for tensor in weights) == 64  # 2 * 255 * 64 < 2 ** 15


def test_a_file_says_what_it_is_and_where_it_comes_from(
    exported_model: ExportedModel, graphs: dict[str, onnx.ModelProto]
) -> None:
    checkpoint = file_of("torch", exported_model.folder, exported_model.digest)
    for graph in graphs.values():
        metadata = {entry.key: entry.value for entry in graph.metadata_props}
        assert metadata.keys() == {METADATA_KEY, CHECKPOINT_KEY}
        assert metadata[CHECKPOINT_KEY] == exported_model.digest
        info = CheckpointInfo.from_json(metadata[METADATA_KEY], source="the export")
        assert info == info_of(checkpoint.read_bytes(), checkpoint)


def test_no_file_holds_a_path_of_this_machine(exported_model: ExportedModel) -> None:
    for file in exported_model.files:
        content = file.path.read_bytes()
        for path in ("site-packages", str(Path.cwd()), str(exported_model.folder), sys.prefix):
            assert path.encode() not in content


def test_another_process_writes_the_same_bytes_and_says_nothing(exported_model: ExportedModel, tmp_path: Path) -> None:
    checkpoint = file_of("torch", exported_model.folder, exported_model.digest)
    shutil.copy(checkpoint, tmp_path)
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from trainer.export import export\n"
        "from trainer.opening import open_dataset\n"
        "files = export(Path(sys.argv[1]), sys.argv[2], open_dataset(Path(sys.argv[3])))\n"
        "Path(sys.argv[1], 'digests').write_text(json.dumps([file.digest for file in files]))\n"
    )
    words = [str(tmp_path), exported_model.digest, str(exported_model.dataset.root)]
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code, *words],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
    digests = json.loads((tmp_path / "digests").read_text())
    assert digests == [file.digest for file in exported_model.files]


def test_a_checkpoint_that_is_not_the_recorded_one_is_not_exported(
    exported_model: ExportedModel, tmp_path: Path
) -> None:
    (tmp_path / f"{exported_model.digest}.safetensors").write_bytes(b"another")
    with pytest.raises(CheckpointAltered):
        export(tmp_path, exported_model.digest, exported_model.dataset)
    assert len(list(tmp_path.iterdir())) == 1


def test_calibration_sees_as_many_training_images_of_either_class_spread_over_its_files(dataset: Dataset) -> None:
    preprocessing = Preprocessing(size=SIZE)
    everything = calibration_pixels(dataset, preprocessing)
    assert everything.shape == (16, 3, SIZE, SIZE)
    some = calibration_pixels(dataset, preprocessing, most=4)
    assert len(some) == 4
    # 8 of either class: the first and the last are taken
    for row, of in zip(some, (0, 7, 8, 15), strict=True):
        assert (row == everything[of]).all()


def test_calibration_leaves_out_what_cannot_be_read_and_needs_either_class(folders: Path) -> None:
    dataset = open_dataset(folders)
    (folders / "train/ok/part 00.png").unlink()
    assert len(calibration_pixels(dataset, Preprocessing(size=SIZE))) == 11
    for sample in dataset.part("train"):
        if sample.label == "ok":
            (folders / sample.path).unlink(missing_ok=True)
    with pytest.raises(DatasetError, match="No training image of class 'ok'"):
        calibration_pixels(dataset, Preprocessing(size=SIZE))


def test_every_exported_runtime_was_exported(exported_model: ExportedModel) -> None:
    assert tuple(file.name for file in exported_model.files) == EXPORTED
