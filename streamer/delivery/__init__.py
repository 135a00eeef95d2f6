"""Sightings on their way from ingest to the gallery: a spool on disk, Redis, and the writer."""
