"""Where messages, results and statuses are kept."""
