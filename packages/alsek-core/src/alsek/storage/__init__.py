"""How messages, results and statuses are kept."""
