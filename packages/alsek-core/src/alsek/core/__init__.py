"""Messages, brokers, tasks, and what moves them."""
