"""Ask a service in this container how it is: `healthcheck.py PORT PATH`; ends with 1 when it does not answer 200.

The engine runs this every few seconds, so it imports the least that speaks HTTP.
"""

import socket
import sys

port, path = int(sys.argv[1]), sys.argv[2]
try:
    with socket.create_connection(("127.0.0.1", port), timeout=4) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(4096):
            answer += part
except OSError as error:
    sys.exit(f"port {port} does not answer: {error}")
head, _, body = answer.partition(b"\r\n\r\n")
words = head.split(None, 2)
if len(words) < 2 or words[1] != b"200":
    sys.exit(f"{path}: {body.decode(errors='replace').strip() or head.decode(errors='replace')}")
