"""The two graphs that a backend runs: the bundle's own, or those of a plan made from it."""

from dataclasses import dataclass

from engines.bundle import Bundle
from engines.errors import BundleError, EngineError, PlanError
from engines.graph_form import form_faults
from engines.manifest import SEARCH_GRAPH
from engines.plans.cache import Plan
from engines.values import Precision


@dataclass(frozen=True, slots=True)
class GraphSource:
    """Checked bytes by name, and errors that accuse the right folder.

    Raises:
        PlanError: the plan is not of this bundle and backend.
    """

    bundle: Bundle
    backend: str
    plan: Plan | None = None

    def __post_init__(self) -> None:
        """Hold the plan against the bundle and the backend."""
        if self.plan is not None:
            self.plan.check_for(self.bundle.manifest.model, self.backend)

    @property
    def precision(self) -> Precision:
        """What the heavy layers of the graphs are written in."""
        return "fp32" if self.plan is None else self.plan.key.precision

    def read(self, name: str) -> bytes:
        """Return a graph whose hash and form were checked.

        Raises:
            BundleError, PlanError: the file was changed, or is no graph that may be run.
        """
        graph = self._bytes(name)
        if faults := form_faults(graph):
            raise self.error(f"{name}: {'; '.join(faults)}")
        return graph

    def _bytes(self, name: str) -> bytes:
        if self.plan is not None:
            return self.plan.read(name)
        if name == SEARCH_GRAPH:
            return self.bundle.search_graph()
        return self.bundle.query_graph()

    def error(self, reason: str) -> EngineError:
        """Return the error that accuses the plan, or the bundle where there is none."""
        if self.plan is not None:
            return PlanError(self.plan.path, reason)
        return BundleError(self.bundle.path, reason)
