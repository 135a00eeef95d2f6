"""The graphs of a bundle run node by node in torch: slow, plain, what others are compared with."""
