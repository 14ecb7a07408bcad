"""Does the newest comparison of a runtime decide whether it may be used?"""

from dataclasses import replace
from typing import Any

from db import evaluations, runtimes
from db.engine import Engine, Session, reading, writing
from db.runtimes import NewParity
from tests.rows import add_dataset, add_model, new_evaluation


def add_evaluation(session: Session, checkpoint_id: int, *, fingerprint: str = "f" * 64, **made_by: Any) -> int:
    dataset = add_dataset(session, fingerprint=fingerprint)
    new = replace(new_evaluation(3, 1, 1, 3), **made_by)
    return evaluations.add_evaluation(session, new, checkpoint_id=checkpoint_id, dataset=dataset).id


def add_parity(session: Session, checkpoint_id: int, name: str, *, accepted: bool, digest: str | None = None) -> int:
    new = NewParity(
        name=name,
        file_digest=digest,
        evaluation_id=add_evaluation(session, checkpoint_id),
        reference_evaluation_id=None if name == "torch" else add_evaluation(session, checkpoint_id),
        images=8,
        largest_difference=0.01,
        mean_difference=0.001,
        flipped=0,
        accepted=accepted,
        reason="As good.",
    )
    return runtimes.add(session, new, checkpoint_id=checkpoint_id).id


def test_what_is_written_is_what_is_read(engine: Engine) -> None:
    with writing(engine) as session:
        model = add_model(session)
        add_parity(session, model.id, "onnx-int8", accepted=True, digest="ef" * 32)
        add_parity(session, model.id, "torch", accepted=True)
    with reading(engine) as session:
        int8, torch = runtimes.of_checkpoint(session, model.id)
        assert (int8.name, int8.file_digest, torch.name, torch.file_digest) == ("onnx-int8", "ef" * 32, "torch", None)
        assert (int8.images, int8.largest_difference, int8.mean_difference, int8.flipped) == (8, 0.01, 0.001, 0)
        assert (int8.accepted, int8.reason) == (True, "As good.")
        assert int8.reference_evaluation_id not in (None, int8.evaluation_id)
        assert torch.reference_evaluation_id is None
        assert int8.created_at.tzinfo is not None


def test_a_later_refusal_takes_a_runtime_away_and_a_later_acceptance_gives_it_back(engine: Engine) -> None:
    with writing(engine) as session:
        model, other = add_model(session), add_model(session, name="other", digest="cd" * 32)
        add_parity(session, other.id, "onnx", accepted=True)
    for accepted in (True, False, True):
        with writing(engine) as session:
            newest = add_parity(session, model.id, "onnx", accepted=accepted)
            add_parity(session, model.id, "onnx-int8", accepted=False)
        with reading(engine) as session:
            assert [row.id for row in runtimes.accepted(session, model.id)] == ([newest] if accepted else [])
            assert [row.name for row in runtimes.of_checkpoint(session, model.id)] == ["onnx", "onnx-int8"]
    with reading(engine) as session:
        assert [row.name for row in runtimes.accepted(session, other.id)] == ["onnx"]


def test_a_model_without_a_comparison_has_no_runtime(engine: Engine) -> None:
    with writing(engine) as session:
        model = add_model(session)
        assert list(runtimes.of_checkpoint(session, model.id)) == runtimes.accepted(session, model.id) == []


def test_the_reference_is_found_by_what_it_was_asked(engine: Engine) -> None:
    with writing(engine) as session:
        model = add_model(session)
        first, second = add_evaluation(session, model.id), add_evaluation(session, model.id)
        assert first < second
        int8 = add_evaluation(session, model.id, engine="onnxruntime", precision="int8")
        bf16 = add_evaluation(session, model.id, precision="bf16")
    asked: dict[str, Any] = {"fingerprint": "f" * 64, "split": "test", "threshold": 0.5}
    with reading(engine) as session:
        found = evaluations.of_reference(session, model.id, **asked)
        assert found is not None
        assert found.id == second, "the newest one"
        for other in ({"fingerprint": "e" * 64}, {"split": "train"}, {"threshold": 0.4}):
            assert evaluations.of_reference(session, model.id, **{**asked, **other}) is None
        assert evaluations.of_reference(session, model.id + 1, **asked) is None
        for made_by, expected in (
            ({}, second),
            ({"engine": "onnxruntime", "precision": "int8"}, int8),
            ({"precision": "bf16"}, bf16),
        ):
            newest = evaluations.newest(session, model.id, **made_by)
            assert newest is not None
            assert newest.id == expected
        assert evaluations.newest(session, model.id, engine="onnxruntime") is None


def test_what_says_how_good_a_model_is_was_never_counted_on_the_images_that_it_has_learned_from(
    engine: Engine,
) -> None:
    with writing(engine) as session:
        model = add_model(session).id
        tested = add_evaluation(session, model)
        for split in ("all", "train", "validation", "folds"):
            add_evaluation(session, model, split=split)
        found = evaluations.newest(session, model)
        assert found is not None
        assert found.id == tested
        other = add_evaluation(session, model, split="all", fingerprint="e" * 64)
        found = evaluations.newest(session, model)
        assert found is not None
        assert found.id == other, "all images of a folder that it has not learned from"


def test_one_without_leaks_comes_before_a_newer_one_that_leaks_or_does_not_tell(engine: Engine) -> None:
    with writing(engine) as session:
        model = add_model(session).id
        for leaking in (7, None, 0, None, 3):
            number = add_evaluation(session, model, leaking=leaking)
            found = evaluations.newest(session, model)
            assert found is not None
            expected = number if leaking in (7, 0) or number == 2 else 3
            assert found.id == expected
