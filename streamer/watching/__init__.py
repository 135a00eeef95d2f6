"""Watching a running ingest from outside: its status file, metrics, health, events."""
