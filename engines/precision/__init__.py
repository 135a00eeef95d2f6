"""Lower the precision of a bundle's graphs: float16, and int8 by QuantizeLinear pairs.

Pure functions from graph bytes to graph bytes. Inputs and outputs stay as they are; boxes,
scores and whatever computes on coordinates stay float32 in every precision.
"""

from engines.precision.half import fp16_graph
from engines.precision.int8 import int8_graphs

__all__ = ["fp16_graph", "int8_graphs"]
