"""The engine on TensorRT: compiling a graph into a plan, and running plans through pycuda."""
