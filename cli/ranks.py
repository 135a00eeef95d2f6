"""Which of several processes this one is: ``torchrun`` starts many, and the first alone speaks."""

import os


def process_number() -> int:
    """Return this process's number among those that torchrun started; 0 without it."""
    rank = os.environ.get("RANK", "0") if "WORLD_SIZE" in os.environ else "0"
    return int(rank) if rank.isdecimal() else 0


def first_process() -> bool:
    """Tell whether this process is the one that speaks."""
    return process_number() == 0
