"""Cameras to sightings: decode, batch, track, sample, deliver."""
