"""The worker service: claims messages and runs their tasks."""
