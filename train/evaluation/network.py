"""A network as it trains, as an engine: it is scored without being exported.

Scores differ from those of its bundle by what the export rounds (`train.export`: weights of
float16) and by the order in which sums are made.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.engine import EngineInfo
from engines.errors import InferenceError
from engines.graph_engine import RunnerEngine, SearchOutputs
from train.models.network import PersonSearchNet

SCORE_THRESHOLD = 0.5
"""Persons below it are left out by default, as in a bundle that was not calibrated."""


class NetworkEngine(RunnerEngine):
    """An engine over a torch network (see :class:`engines.engine.Engine`)."""

    def __init__(
        self,
        net: PersonSearchNet,
        *,
        name: str = "network",
        device: str = "cpu",
        max_batch: int = 8,
        path: Path = Path(),
    ) -> None:
        """Take a network; it goes to the device and into evaluation mode.

        Args:
            net: any network; it must not be trained while the engine is in use.
            name: what it is called in messages.
            device: ``cpu``, ``cuda`` or another of torch's names.
            max_batch: frames that run at once.
            path: the checkpoint that it came from.
        """
        config = net.config
        info = EngineInfo(
            model=weights_id(net),
            name=name,
            backend=f"torch-{device}",
            input_hw=config.input_hw,
            max_persons=config.max_persons,
            dim=config.dim,
            score_threshold=SCORE_THRESHOLD,
            query_boxes=config.query_boxes,
            path=path,
        )
        super().__init__(info, NetworkRunner(net, device), max_batch=max_batch)


class NetworkRunner:
    """The two graphs of a network, run by torch itself."""

    def __init__(self, net: PersonSearchNet, device: str) -> None:
        self._device = torch.device(device)
        net = net.to(self._device).to(memory_format=torch.channels_last)
        self._net: PersonSearchNet | None = net.eval()

    def search(self, frames: NDArray[np.uint8]) -> SearchOutputs:
        """Find the persons in letterboxed frames ``(B, 3, H, W)``."""
        with torch.inference_mode():
            found = self._open().search(self._frames(frames))
        return SearchOutputs(*(value.cpu().numpy() for value in found))

    def query(self, frames: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed boxes ``(B, R, 4)`` of frames ``(B, 3, H, W)``: float32 (B, R, dim)."""
        with torch.inference_mode():
            out = self._open().query(self._frames(frames), torch.from_numpy(boxes).to(self._device))
        embeddings: NDArray[np.float32] = out.cpu().numpy()
        return embeddings

    def close(self) -> None:
        """Let go of the network."""
        self._net = None

    def _open(self) -> PersonSearchNet:
        net = self._net
        if net is None:
            raise InferenceError("the engine was closed while it was in use")
        return net

    def _frames(self, frames: NDArray[np.uint8]) -> Tensor:
        moved = torch.from_numpy(frames).to(self._device)
        return moved.contiguous(memory_format=torch.channels_last)


def weights_id(net: PersonSearchNet) -> str:
    """Return the 64 hex digits that name a network: its settings and all its weights."""
    digest = hashlib.sha256(net.config.model_dump_json().encode())
    for key, value in sorted(net.state_dict().items()):
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()
