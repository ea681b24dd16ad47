"""The tasks, for rq."""

import time

from peerkit import tally


def mark(number):
    tally.started(number)


def double(number):
    tally.started(number)
    return 2 * number


def nap(number, seconds):
    tally.started(number)
    time.sleep(seconds)
    tally.ended(number)


def add(a, b):
    return a + b
