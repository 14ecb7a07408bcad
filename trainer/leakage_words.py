"""In which words is a reader told that a model knows some of the images it was judged on?

On its own: what looks into the record says it as well, and need not load what finds twins.
"""


def leaking_words(leaking: int | None, images: int, split: str = "test") -> str:
    """How many of so many judged images, of that split, the model knows from training; None: that cannot be told."""
    if leaking is None:
        return "leaks: not known, for what this model was trained on was not written down"
    named = split if split in ("test", "validation") else "judged"
    if leaking == 0:
        return f"not leaking: none of {images} {named} images has a twin in training"
    return f"leaking: {leaking} of {images} {named} images have a twin in training"
