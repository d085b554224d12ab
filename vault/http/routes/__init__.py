"""One factory a resource; each gives a router of guarded routes."""
