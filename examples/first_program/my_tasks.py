from alsek import task
from singletons import broker


@task(broker, queue="math_ops")
def add(a: int, b: int) -> int:
    return a + b
