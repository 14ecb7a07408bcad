"""Which images belong to one thing (a part photographed twice, a module, a batch), so that no split may part them?

--group folder        the folder below the class folder (below DIR, with a labels file), however deep
--group column:NAME   a column of the labels file, by its name or its number from 1
--group 'name:REGEX'  what the first group in brackets matches in the file's name
--group block:N       N images in a row, in the order of their paths: cells cut from one module, frames of one shift

An image without such a folder or cell, or whose name does not match or matches nothing, stands alone.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from trainer.dataset import SPLITS, Entry
from trainer.errors import DatasetError

_KINDS = ("folder", "column", "name", "block")


@dataclass(frozen=True, kw_only=True)
class GroupRule:
    """One of the rules above; its text is what is stored."""

    kind: str
    argument: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.argument}" if self.argument else self.kind

    @classmethod
    def parse(cls, text: str) -> "GroupRule":
        """The rule that a person wrote. Raises DatasetError."""
        kind, _, argument = text.partition(":")
        if kind not in _KINDS or (kind == "folder") == bool(argument):
            raise DatasetError(f"--group {text!r} is no rule: write folder, column:NAME, 'name:REGEX' or block:N.")
        if kind == "block" and not (argument.isdecimal() and int(argument) > 1):
            raise DatasetError(f"--group {text!r}: write how many images in a row make a block, such as block:50.")
        if kind == "name":
            try:
                brackets = re.compile(argument).groups
            except re.error as error:
                raise DatasetError(f"--group {text!r} is no regular expression: {error}.") from None
            if not brackets:
                raise DatasetError(f"--group {text!r} needs brackets round what names the group: 'name:^(.*)_'.")
        return cls(kind=kind, argument=argument)

    @property
    def names_last(self) -> bool:
        """Whether a group's name means the same in another data set: of a block it is a number in the order of one."""
        return self.kind != "block"

    def grouped(self, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """The same entries, sorted by path as they come, with their groups. Those of a column have them already."""
        if self.kind == "column":
            return tuple(entries)
        if self.kind == "block":
            return tuple(replace(entry, group=str(at // int(self.argument))) for at, entry in enumerate(entries))
        return tuple(replace(entry, group=self._of(entry)) for entry in entries)

    def _of(self, entry: Entry) -> str | None:
        if self.kind == "name":
            found = re.search(self.argument, PurePosixPath(entry.path).name)
            return None if found is None else found[1] or None
        folders = PurePosixPath(entry.path).parts[:-1]
        if entry.split in SPLITS:
            folders = folders[1:]
        if folders and folders[0] == entry.label:
            folders = folders[1:]
        return "/".join(folders) or None
