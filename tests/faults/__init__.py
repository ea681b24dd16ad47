"""Proofs that nothing is lost: crashes at every command, kill storms, zombies, poison, rolling restarts.

Each test prints its counts (submitted, ended, lost, duplicated, stale writes accepted) and its seed. `make test` runs
a sample; `ALSEK_CHAOS_FULL=1` the whole size.
"""
