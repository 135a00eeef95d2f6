"""Errors of the train floor.

TrainError
├── DatasetError       a data set is missing, damaged or lacks what is asked of it
├── ConfigError        training settings contradict each other
├── CheckpointError    a checkpoint cannot be written, read or resumed
├── TrainingDivergedError   a loss, a gradient or a weight is not finite
├── ExportError        a network cannot be turned into an engine bundle
└── WorldError         a synthetic world cannot be made as asked
"""


class TrainError(Exception):
    """Base of everything that this package raises on purpose."""


class DatasetError(TrainError):
    """A data set is missing, damaged or lacks what is asked of it."""


class ConfigError(TrainError):
    """Training settings contradict each other."""


class CheckpointError(TrainError):
    """A checkpoint cannot be written, read or resumed."""


class TrainingDivergedError(TrainError):
    """A loss, a gradient or a weight is not finite."""


class WorldError(TrainError):
    """A synthetic world cannot be made as asked."""


class ExportError(TrainError):
    """A network cannot be turned into an engine bundle."""
