"""What goes in and out, as types: they check requests, and they are the description of the API."""
