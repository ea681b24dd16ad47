"""Alsek's scheduler: any number may run, one leads, and each due fire becomes exactly one message."""
