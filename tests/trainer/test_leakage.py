"""Is every image that a model knows from its training named, once, with what gives it away?"""

from PIL import Image

from trainer.dataset import Sample
from trainer.leakage import find_leaks
from vision.samples import draw_photograph
from vision.signature import signature


def sample(name: str, image: Image.Image, *, sha256: str = "", group: str | None = None) -> Sample:
    return Sample(
        path=name,
        label="ok",
        is_defective=False,
        split="test",
        sha256=sha256 or name,
        group=group,
        signature=signature(image),
    )


PARTS = [Image.fromarray(draw_photograph(2, number, 96).pixels) for number in range(24)]
TRAINED = [sample(f"train/{at}", part, group=f"g{at}") for at, part in enumerate(PARTS[:16])]
TESTED = [
    sample("test/new", PARTS[20]),
    sample("test/related", PARTS[21], group="g4"),
    sample("test/turned", PARTS[3].transpose(Image.Transpose.ROTATE_90), group="g9"),
    sample("test/copy", PARTS[5], sha256="train/5", group="g5"),
]


def test_each_image_is_named_once_by_its_surest_sign_and_the_surest_first() -> None:
    leakage = find_leaks(TESTED, TRAINED, same_rule=True)
    assert [(leak.path, leak.training_path, leak.kind) for leak in leakage.leaks] == [
        ("test/copy", "train/5", "same bytes"),
        ("test/turned", "train/3", "near twin"),
        ("test/related", "train/4", "same group"),
    ]
    assert str(leakage) == (
        "leaking: 3 of 4 test images have a twin in training (1 of the same bytes, 1 by a near twin, 1 of one group)"
    )


def test_groups_of_another_rule_mean_nothing() -> None:
    found = {leak.path for leak in find_leaks(TESTED, TRAINED, same_rule=False).leaks}
    assert found == {"test/copy", "test/turned"}


def test_an_honest_test_is_said_to_be_one() -> None:
    leakage = find_leaks(TESTED[:1], TRAINED, same_rule=False)
    assert str(leakage) == "not leaking: none of 1 test images has a twin in training"
    assert leakage.told() == []
