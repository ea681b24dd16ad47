"""The Python session of one page: executes its blocks one after another in one namespace.

Started as a program of its own, with the page's folder as working directory. Each line on stdin is a JSON block;
the answer, `ok` or the error's text, goes to the file descriptor named as argument.
"""

from __future__ import annotations

import json
import linecache
import os
import sys
import traceback


def main() -> None:
    answers = int(sys.argv[1])
    # A line at a time: a worker in the background writes to the same file, and must not end up in the middle of ours.
    sys.stdout.reconfigure(line_buffering=True, write_through=False)
    sys.path[0] = ""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for line in sys.stdin:
        block = json.loads(line)
        answer = "ok"
        try:
            execute(block["code"], block["where"], namespace)
        except BaseException:
            answer = traceback.format_exc()
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(answers, json.dumps(answer).encode() + b"\n")


def execute(code: str, where: str, namespace: dict[str, object]) -> None:
    linecache.cache[where] = (len(code), None, code.splitlines(keepends=True), where)
    exec(compile(code, where, "exec"), namespace)


if __name__ == "__main__":
    main()
