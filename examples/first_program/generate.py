"""Puts one message into the queue and shows it: `python generate.py`."""

from my_tasks import add

message = add.generate(args=(1, 1))
print(message)
