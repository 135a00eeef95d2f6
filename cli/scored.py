"""Open what is to be scored: a compiled bundle, or a run's network in torch."""

from pathlib import Path

from cli.errors import CliError
from cli.options import EngineChoice
from engines.engine import Engine
from engines.runtimes import require


def open_scored(engine: EngineChoice, run: Path | None, device: str) -> Engine:
    """Return the engine of ``--engine``, or of ``--run`` on a device.

    Raises:
        CliError: both are named.
        EngineError: the bundle cannot be opened, or torch is not installed.
        TrainError: the run has no whole checkpoint, or torch sees no such device.
    """
    if run is None:
        return engine.open()
    if engine != EngineChoice():
        raise CliError(
            "name either --engine BUNDLE or --run RUN; --backend and --precision belong to --engine"
        )
    require("torch", "train")
    from train.checkpoint import load_checkpoint, load_network
    from train.distributed import choose_device
    from train.evaluation.network import NetworkEngine

    chosen = choose_device(device)
    path = checkpoint_path(run)
    net = load_network(load_checkpoint(path))
    return NetworkEngine(net, name=run.name, device=str(chosen), path=path)


def checkpoint_path(run: Path) -> Path:
    """Return the checkpoint of a run's folder; a file is the checkpoint itself."""
    from train.checkpoint import CHECKPOINT

    return run if run.is_file() else run / CHECKPOINT
