"""Where a message is in its life, for whoever asks."""
