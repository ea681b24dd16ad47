"""Start servers and peers, watch them, and tell what was seen."""
