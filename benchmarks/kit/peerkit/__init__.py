"""What runs inside a peer's process: the tally and the adapter's command line.

Standard library only, because it is imported from every peer's environment.
"""
