"""Who calls, and what they may do: keys, their store, and the guard in front of every route."""
