"""`python -m alsek.cli`: the command line of exactly this Python, whatever stands first on PATH."""

from __future__ import annotations

from alsek.cli.cli import main

if __name__ == "__main__":
    main(prog_name="alsek")
