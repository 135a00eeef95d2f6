"""Sightings keyed by camera and time: store, search, journeys, coverage."""
