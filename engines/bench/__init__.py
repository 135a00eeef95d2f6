"""Backends side by side: how fast, with what latency, in how much memory."""
