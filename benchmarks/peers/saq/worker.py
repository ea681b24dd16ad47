"""saq's own start, on uvloop."""

import uvloop
from saq.worker import start

uvloop.install()
start("bench_tasks.settings")
