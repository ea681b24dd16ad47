"""The executable specification of the engine, and the machine that compares the two.

`QueueModel` says in plain Python what every verb does; the state machine runs each
step on the model and on a real server and compares replies and every key.
"""
