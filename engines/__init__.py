"""Frames in, persons out: the engine bundle and the runtimes that execute it."""
