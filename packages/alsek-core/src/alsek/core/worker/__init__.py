"""Doors to the pools, at the paths where upstream's programs look for them."""
