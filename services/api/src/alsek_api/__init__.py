"""Alsek over HTTP: an API for programs, and a dashboard for people."""
