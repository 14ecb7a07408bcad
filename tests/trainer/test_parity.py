"""Is a runtime refused exactly where it is not as good as the reference?"""

from dataclasses import replace

import pytest

from trainer.parity import Answers, compare


def answers(*scores: float, defective: int = 0, precision: str = "fp32") -> Answers:
    """These scores, of which the first so many belong to defective images."""
    return Answers(
        checkpoint_digest="c" * 64,
        dataset_fingerprint="d" * 64,
        split="test",
        threshold=0.5,
        precision=precision,
        scores={f"{number}.png": (number < defective, score) for number, score in enumerate(scores)},
    )


def classified(found: int, missed: int, alarms: int, passed: int, precision: str = "int8") -> Answers:
    """Answers with this confusion matrix, far from the threshold."""
    scores = [0.9] * found + [0.1] * missed + [0.9] * alarms + [0.1] * passed
    return answers(*scores, defective=found + missed, precision=precision)


def test_the_figures_are_those_of_the_differences() -> None:
    parity = compare(answers(0.2, 0.6, 0.9, 0.4), answers(0.2, 0.4, 0.8, 0.5, precision="int8"))
    assert (parity.images, parity.flipped) == (4, 2)
    assert parity.largest_difference == pytest.approx(0.2)
    assert parity.mean_difference == pytest.approx(0.1)


def test_fp32_is_accepted_below_a_ten_thousandth_and_refused_from_there_on() -> None:
    accepted = compare(answers(0.2, 0.7), answers(0.2, 0.70009))
    refused = compare(answers(0.2, 0.0), answers(0.2, 1e-4))
    assert (accepted.accepted, refused.accepted, refused.flipped) == (True, False, 0)
    assert "A score differs by 1.0e-04" in refused.reason


def test_fp32_is_refused_for_a_single_flipped_verdict_however_small_the_difference() -> None:
    parity = compare(answers(0.2, 0.499999), answers(0.2, 0.5))
    assert (parity.accepted, parity.flipped) == (False, 1)
    assert "Of the verdicts 1 flipped" in parity.reason


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_lower_precision_may_flip_verdicts_and_lose_half_a_point_of_accuracy(precision: str) -> None:
    reference = classified(50, 0, 0, 150, "fp32")
    half, more = classified(50, 0, 1, 149, precision), classified(50, 0, 2, 148, precision)
    assert compare(reference, half).accepted
    parity = compare(reference, more)
    assert not parity.accepted
    assert parity.reason == "Accuracy falls by 1.00 points; it may by 0.5."


def test_lower_precision_that_finds_fewer_defects_than_chance_allows_is_refused_whatever_its_accuracy() -> None:
    reference = classified(10, 0, 0, 990, "fp32")
    assert compare(reference, classified(7, 3, 0, 990)).accepted
    parity = compare(reference, classified(6, 4, 0, 990))
    assert not parity.accepted
    assert parity.reason == "Recall falls from 100.00% to 60.00%, below the reference's lower bound of 69.15%."


def test_better_is_not_refused() -> None:
    assert compare(classified(8, 2, 5, 85, "fp32"), classified(10, 0, 0, 90)).accepted


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_image_without_a_verdict_is_a_refusal(precision: str) -> None:
    reference, other = answers(0.1, 0.9, 0.2), answers(0.1, 0.9, precision=precision)
    for one, two in ((reference, other), (replace(other, precision="fp32"), replace(reference, precision=precision))):
        parity = compare(one, two)
        assert (parity.accepted, parity.images) == (False, 2)
        assert "verdict on 1 images" in parity.reason


@pytest.mark.parametrize("other", [{"checkpoint_digest": "e" * 64}, {"split": "all"}, {"threshold": 0.4}])
def test_answers_to_other_questions_are_not_compared(other: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not about the same"):
        compare(answers(0.1), replace(answers(0.1), **other))  # type: ignore[arg-type]


def test_without_a_defective_image_there_is_no_recall_to_lose() -> None:
    assert compare(answers(0.1, 0.2), answers(0.3, 0.1, precision="int8")).accepted
