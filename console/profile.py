"""Where did the time of the images go that this process has inspected?"""

from rich.table import Table

from console.terminal import err, say
from vision.stages import images_read, seconds_by_stage

MEANING = {
    "read": "opening the file, and its bytes",
    "hash": "their sha256",
    "decode": "JPEG or PNG to pixels",
    "resize": "pixels to the network's input",
    "infer": "the network",
    "write": "verdicts to the database, while the next images are scored",
}


def say_profile() -> None:
    """A line per stage: seconds of all threads together, milliseconds per image, share of the work."""
    images, seconds = images_read(), seconds_by_stage()
    total = sum(seconds.values())
    if not images or not total:
        say("Nothing was inspected here, so there is no profile.")
        return
    table = Table("stage", "seconds", "ms per image", "share", "of", box=None, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"
    for name, spent in seconds.items():
        table.add_row(name, f"{spent:.2f}", f"{1000 * spent / images:.2f}", f"{spent / total:.0%}", MEANING[name])
    err.print(table)
