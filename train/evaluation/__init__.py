"""Scores by the field's own rules: person search, detection, multi-camera identities."""
