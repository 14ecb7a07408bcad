"""What did a study of agreement come to, for a person, for a script and for a page?

Until all reviewers are through, it tells how far each of them is and nothing else: who knows the others' answers, or
the model's, answers about those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.terminal import shown
from db import agreement_answers, agreements
from db.agreement_answers import Answered
from db.engine import Session
from db.errors import Refused
from db.models import AgreementStudy, Answer

if TYPE_CHECKING:
    from trainer.agreement import Against, Agreement, Rate

OPEN = "The figures are told when everybody is through: until then nobody sees what others answered."
_MAJORITY = (
    "Nothing is known of these images: the reference is what more than half of all answers say. Each reviewer is "
    "judged by a crowd that they belong to, and looks better for it; the model, by people who may all be wrong."
)
_UNSURE = "UNSURE, or REVIEW by the model, is not right, but neither a miss nor a false alarm; it counts as an answer."
_NO_KAPPA = "There is no kappa where all answers are one and the same word: chance would agree as well."
_FIGURES = (
    ("right in all trials", "effectiveness", "images with a reference"),
    ("missed", "miss_rate", "answers on defective images"),
    ("false alarms", "false_alarm_rate", "answers on good images"),
)


def read_reference(file: Path) -> dict[str, Answer]:
    """By path, PASS or FAIL. Raises LabelsError, and Refused for another word or two words of one path."""
    from trainer.labels import LabelsFile, read_labels

    known: dict[str, Answer] = {}
    for row in read_labels(LabelsFile(path=file)):
        if row.label not in (Answer.PASS, Answer.FAIL):
            raise Refused(f"{file}, line {row.line}: a reference is PASS or FAIL, not {row.label!r}.")
        if known.setdefault(row.path, Answer(row.label)) != row.label:
            raise Refused(f"{file}, line {row.line}: {row.path} is both PASS and FAIL. Say which it is.")
    return known


def summary(session: Session, study: AgreementStudy) -> dict[str, Any]:
    """Which study it is and how far everybody is."""
    of = agreement_answers.turns(session, study)
    given = agreement_answers.given(session, study)
    return {
        "agreement": study.id,
        "job": study.job_id,
        "operating_point": study.operating_point_id,
        "images": of // study.trials,
        "trials": study.trials,
        "created_by": study.created_by,
        "created_at": study.created_at.isoformat(),
        "progress": [{"reviewer": name, "answered": answered, "of": of} for name, answered in given.items()],
        "complete": all(answered == of for answered in given.values()),
    }


def facts(session: Session, number: int) -> dict[str, Any]:
    """For scripts: everything. Raises NotFound."""
    study = agreements.get(session, number)
    told = summary(session, study)
    if not told["complete"]:
        return {**told, "figures": None, "answers": None, "notes": [OPEN]}
    from trainer.agreement import Judged, agreement  # loads scipy

    answers = agreement_answers.answered(session, study)
    found = agreement([Judged(reference=one.reference, verdict=one.verdict, answers=one.answers) for one in answers])
    figures = _figures(found)
    rows = [_answered(one, known) for one, known in zip(answers, found.references, strict=True)]
    notes = [*([_MAJORITY] if found.by_majority else []), _UNSURE, *([_NO_KAPPA] if None in _kappas(figures) else [])]
    return {**told, "figures": figures, "answers": rows, "notes": notes}


def printed(told: Mapping[str, Any]) -> str:
    """The same for a person."""
    trials = "1 trial" if told["trials"] == 1 else f"{told['trials']} trials"
    lines = [f"Agreement study {told['agreement']} of job {told['job']}: {told['images']} images, {trials}"]
    figures = told["figures"]
    if figures is None:
        lines += [f"  {shown(one['reviewer'])}: {one['answered']} of {one['of']}" for one in told["progress"]]
        return "\n".join([*lines, *told["notes"]])
    by = "by the majority" if figures["reference"] == "majority" else "by the reference"
    lines.append(f"{figures['defective']} defective and {figures['good']} good {by}")
    for one in figures["reviewers"]:
        lines += ["", shown(one["reviewer"])]
        if told["trials"] > 1:
            lines.append(_line("the same in all trials", _rate(one["repeatability"], "images")))
            lines.append(_line("kappa, trials 1 and 2", kappa_words(one["kappa"])))
        lines += _against(one)
    lines += ["", "model (its verdicts when the study was started)", *_against(figures["model"]), "", "all reviewers"]
    lines.append(_line("the same by all", _rate(figures["all_agree"], "images")))
    for pair in figures["pairs"]:
        lines.append(
            _line("Cohen's kappa", f"{kappa_words(pair['kappa'])}, {' and '.join(map(shown, pair['reviewers']))}")
        )
    for trial, kappa in enumerate(figures["fleiss_kappa"], start=1):
        lines.append(_line("Fleiss' kappa", f"{kappa_words(kappa)}, trial {trial}"))
    return "\n".join([*lines, "", *told["notes"]])


def kappa_words(kappa: float | None) -> str:
    """0.42, or that there is none."""
    return "none" if kappa is None else f"{kappa:.2f}"


def _against(figures: Mapping[str, Any]) -> list[str]:
    lines = [_line(words, _rate(figures[name], of)) for words, name, of in _FIGURES]
    return [*lines, _line("kappa, reference", kappa_words(figures["reference_kappa"]))]


def _line(words: str, figure: str) -> str:
    return f"  {words:<24}{figure}"


def _rate(rate: Mapping[str, Any] | None, of: str) -> str:
    if rate is None:
        return f"none of 0 {of}"
    return f"{rate['found']} of {rate['of']} {of}: {rate['value']:.1%} ({rate['lcl']:.1%} to {rate['ucl']:.1%})"


def _figures(found: "Agreement") -> dict[str, Any]:
    return {
        "reference": "majority" if found.by_majority else "given",
        "defective": found.references.count(Answer.FAIL),
        "good": found.references.count(Answer.PASS),
        "without_reference": found.references.count(None),
        "reviewers": [
            {"reviewer": name, "repeatability": _share(one.repeatability), "kappa": one.kappa, **_judged(one.against)}
            for name, one in found.reviewers.items()
        ],
        "model": _judged(found.model),
        "all_agree": _share(found.all_agree),
        "pairs": [{"reviewers": list(names), "kappa": kappa} for names, kappa in found.pairs.items()],
        "fleiss_kappa": list(found.fleiss),
    }


def _judged(one: "Against") -> dict[str, Any]:
    return {
        "effectiveness": _share(one.effectiveness),
        "miss_rate": _share(one.miss_rate),
        "false_alarm_rate": _share(one.false_alarm_rate),
        "reference_kappa": one.kappa,
    }


def _share(rate: "Rate | None") -> dict[str, Any] | None:
    if rate is None:
        return None
    return {"found": rate.found, "of": rate.of, "value": rate.value, **asdict(rate.bounds)}


def _kappas(figures: Mapping[str, Any]) -> list[float | None]:
    judged: Sequence[Mapping[str, Any]] = [*figures["reviewers"], figures["model"]]
    return [
        *(one["reference_kappa"] for one in judged),
        *(one["kappa"] for one in figures["reviewers"]),
        *(pair["kappa"] for pair in figures["pairs"]),
        *figures["fleiss_kappa"],
    ]


def _answered(one: Answered, reference: str | None) -> dict[str, Any]:
    return {
        "path": one.path,
        "result": one.result,
        "reference": reference,
        "verdict": one.verdict.value,
        "answers": {name: [answer.value for answer in some] for name, some in one.answers.items()},
    }
