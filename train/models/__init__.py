"""The networks: shared trunk, proposals, detection head, re-identification head."""
