from alsek import Broker
from alsek.storage.backends.redis import RedisBackend

backend = RedisBackend()
broker = Broker(backend)
