"""Tools around the engine: pools of results, and looks inside."""

from alsek.tools.iteration import ResultPool

__all__ = ["ResultPool"]
