"""What `helm test` runs: submit a task through the API and wait for its result.

smoke.py http://release-alsek-api:80 message.json TIMEOUT-SECONDS

With no task in message.json, asks whether the API is ready, which includes that Redis answers it.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


def ask(url, body=None, patience=10.0):
    """Send a request; gives the status and the body, whatever the status is."""
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("ALSEK_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=patience) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def main(api, message, timeout):
    """Return what went wrong, or nothing."""
    status, answer = ask(f"{api}/readyz")
    if status != 200:
        return f"the API is not ready ({status}): {answer}"
    if not message.get("task"):
        print("the API is ready; set test.task to have a task submitted")
        return None
    status, answer = ask(f"{api}/v1/messages", message)
    if status != 202:
        return f"the message was not accepted ({status}): {answer}"
    uuid = answer["uuid"]
    print(f"submitted {uuid}")
    until = time.monotonic() + timeout
    while (left := until - time.monotonic()) > 0:
        wait = max(1, min(10, int(left)))
        status, answer = ask(f"{api}/v1/messages/{uuid}/result?wait={wait}", patience=wait + 10)
        if status == 200 and answer["state"] == "succeeded":
            print(f"result: {json.dumps(answer)}")
            return None
        if status == 200:
            return f"the task ended otherwise: {json.dumps(answer)}"
        if status != 202:
            return f"no result ({status}): {answer}"
    return f"no result within {timeout:.0f} s; `alsek explain {uuid}` says why"


if __name__ == "__main__":
    problem = main(sys.argv[1].rstrip("/"), json.loads(Path(sys.argv[2]).read_text()), float(sys.argv[3]))
    if problem:
        sys.exit(problem)
