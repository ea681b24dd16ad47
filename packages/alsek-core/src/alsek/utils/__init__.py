"""Upstream's documented import paths; each module here is a door to where the thing lives."""
