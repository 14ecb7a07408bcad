"""Which of two class names means "defective"?

Positive = defective, everywhere. A name is read word by word: a word of fault makes it defective, a word
of praise good, and a negation turns either round, so "non-defective", "no_crack" and "defect-free" are
good while "not ok" and "no_good" are defective. A name that says neither, or both, is left to a person.
"""

import re
from collections.abc import Sequence

from trainer.errors import ClassesUnclear

_FAULT = re.compile(
    r"abnormal|anomal(y|ies|ous)|bad|broken|contaminat(ed|ion)|crack(s|ed)?|damage[sd]?|def(ect(s|ed|ive|ives)?)?"
    r"|dent(s|ed)?|fail(s|ed|ing|ures?)?|fault[sy]?|flaw(s|ed)?|holes?|ko|missing|nc|ng|nio|nok|pit(s|ted)?"
    r"|reject(s|ed)?|scrap|scratch(es|ed)?|stain(s|ed)?"
)
_PRAISE = re.compile(
    r"accept(ed|able)?|clean|conforming|flawless|functional|good|healthy|intact|io|normal|ok|okay|pass(ed|es)?"
    r"|perfect|sound"
)
_NEGATION = frozenset(("in", "no", "non", "not", "un", "without", "zero"))
_NEGATION_AFTER = frozenset(("free",))


def find_positive(names: Sequence[str], positive: str | None = None) -> str:
    """The defective one of two class names; `positive` is what the person said, if anything.

    Raises ClassesUnclear where the names do not tell, with the option that settles it.
    """
    known = ", ".join(repr(name) for name in names)
    if positive is not None:
        if positive not in names:
            raise ClassesUnclear(f"--positive {positive!r} is none of the classes found: {known}.")
        return positive
    faulty = [name for name in names if speaks_of_fault(name)]
    if len(faulty) == 1:
        return faulty[0]
    raise ClassesUnclear(f"Which class is the defective one: {known}? Say it with --positive NAME.")


def speaks_of_fault(name: str) -> bool | None:
    """True: the name means defective; False: it means good; None: it says neither, or both."""
    verdicts: set[bool] = set()
    negated = False
    words = _words(name)
    for here, word in enumerate(words):
        if word in _NEGATION:
            negated = not negated
            continue
        verdict = _verdict(word)
        if verdict is None:
            continue
        freed = here + 1 < len(words) and words[here + 1] in _NEGATION_AFTER
        verdicts.add(verdict ^ negated ^ freed)
        negated = False
    return verdicts.pop() if len(verdicts) == 1 else None


def _words(name: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # nonDefective, DefFront
    return re.findall(r"[a-z]+", parted.lower())


def _verdict(word: str) -> bool | None:
    """What one word says by itself, the glued forms (nondefective, notok, defectfree) included."""
    if _FAULT.fullmatch(word):
        return True
    if _PRAISE.fullmatch(word) or (word.endswith("free") and _FAULT.fullmatch(word.removesuffix("free"))):
        return False
    for negation in _NEGATION:
        rest = word.removeprefix(negation)
        if rest != word and (_FAULT.fullmatch(rest) or _PRAISE.fullmatch(rest)):
            return _PRAISE.fullmatch(rest) is not None
    return None
