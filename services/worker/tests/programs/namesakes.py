"""Two tasks, one name."""

from pool_tasks import broker

from alsek.core.task import task


@task(broker, name="twin")
def one() -> None: ...


@task(broker, name="twin")
def two() -> None: ...
