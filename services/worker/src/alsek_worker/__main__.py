"""The lean half of `alsek thread-pool` and its sisters; see `launch`."""

from __future__ import annotations

import json
import os

from alsek_worker.launch import ENV_VAR, Launch, run

if __name__ == "__main__":
    run(Launch(**json.loads(os.environ.pop(ENV_VAR))))
