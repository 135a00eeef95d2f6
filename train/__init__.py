"""Data, networks, losses, evaluation and export of the person-search engines."""
