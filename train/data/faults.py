"""What is wrong with a data set: each fault with its file and row.

A reader is given a `Faults`. `STRICT` raises the first fault as a `FaultError`, which is what
loading does; a `FaultList` collects them and lets the reader go on with what is left, which is
what checking does. A flaw stands in the list of faults, too, but does not stop loading. A remark
is neither: something that the data set's own rules provide for.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from train.errors import DatasetError

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True, slots=True)
class Fault:
    """``where`` is the place inside the file (row, field, variable); empty for the whole file."""

    file: Path
    where: str
    text: str

    def __str__(self) -> str:
        return (
            f"{self.file}: {self.where}: {self.text}" if self.where else f"{self.file}: {self.text}"
        )


class FaultError(DatasetError):
    """One fault of a data set."""

    def __init__(self, file: Path, where: str, text: str) -> None:
        self.fault = Fault(file, where, text)
        super().__init__(str(self.fault))


class UnreadableError(FaultError):
    """A file of a data set is missing, or is not what its name says."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(file, "", f"cannot be read: {reason}")
        self.args = (f"cannot read {file}: {reason}",)


class NoSplitError(FaultError):
    """A data set has nothing in one of its splits."""


@dataclass(frozen=True, slots=True)
class SizeClaim:
    """An annotation's word on how large a picture is, in pixels, and where it stands."""

    picture: Path
    hw: tuple[int, int]
    file: Path
    where: str


class Faults:
    """Raises whatever fault a reader meets."""

    def take(self, read: Callable[[], _Out]) -> _Out | None:
        """Return what ``read`` returns; None when its fault was collected."""
        return read()

    def each(self, read: Callable[[_In], _Out], items: Iterable[_In]) -> tuple[_Out, ...]:
        """Return what ``read`` returns for each item, but for those whose fault was collected."""
        return tuple(map(read, items))

    def flaw(self, file: Path, where: str, text: str) -> None:
        """Take notice of a fault that loading gets round."""

    def remark(self, file: Path, where: str, text: str) -> None:
        """Take notice of something that the data set's rules provide for."""

    def claim(self, claim: SizeClaim) -> None:
        """Take notice of a picture's size as annotated."""


STRICT = Faults()


class FaultList(Faults):
    """Collects faults, remarks and annotated sizes."""

    def __init__(self) -> None:
        self.found: list[Fault] = []
        self.remarks: list[Fault] = []
        self.claims: list[SizeClaim] = []

    def take(self, read: Callable[[], _Out]) -> _Out | None:
        try:
            return read()
        except FaultError as error:
            self.found.append(error.fault)
            return None

    def each(self, read: Callable[[_In], _Out], items: Iterable[_In]) -> tuple[_Out, ...]:
        kept: list[_Out] = []
        for item in items:
            try:
                kept.append(read(item))
            except FaultError as error:
                self.found.append(error.fault)
        return tuple(kept)

    def flaw(self, file: Path, where: str, text: str) -> None:
        self.found.append(Fault(file, where, text))

    def remark(self, file: Path, where: str, text: str) -> None:
        self.remarks.append(Fault(file, where, text))

    def claim(self, claim: SizeClaim) -> None:
        self.claims.append(claim)
