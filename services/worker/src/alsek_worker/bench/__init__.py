"""`alsek bench`: how fast Alsek is on this machine and this Redis, in a namespace that is deleted afterwards."""
