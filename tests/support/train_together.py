"""Run several trainings in each process of a torchrun, and write down what every rank ends with.

The argument is a JSON file, a list of ``{"config": ..., "resume": ..., "stop": ...}``; ``stop``
ends a run after so many iterations (0 = never). Rank r leaves all its state in
``rank<r>.safetensors``.
"""

import json
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from train.config import FitConfig
from train.distributed import joined
from train.fit import train
from train.reports import Reports
from train.run import open_run


def together(config: FitConfig, resume: bool, stop: int) -> None:
    """Train as `train.fit.fit` does, and keep what this rank has in the end."""
    with joined(config.device) as world:
        run = open_run(config, resume, world)
        with Reports(run, None, time.monotonic()) as reports:
            # one rank alone is told to stop: the others must hear of it
            train(run, reports, lambda: world.rank == 1 and run.iteration == stop)
        state = run.learner.state_dict() | {"iteration": torch.tensor(run.iteration)}
        save_file(
            {key: value.contiguous() for key, value in state.items()},
            config.out / f"rank{world.rank}.safetensors",
        )


if __name__ == "__main__":
    for job in json.loads(Path(sys.argv[1]).read_text()):
        together(FitConfig.model_validate(job["config"]), job["resume"], job["stop"])
