"""Errors of synthetic worlds.

train.errors.WorldError
└── OutputNotEmptyError  the folder for the new world already holds something
"""

from pathlib import Path

from train.errors import WorldError


class OutputNotEmptyError(WorldError):
    """The folder that should receive the world already holds something."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"cannot write a world to {path}: it exists and is not an empty folder")
