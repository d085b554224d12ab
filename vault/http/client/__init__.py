"""A vault behind HTTP: the same services; what is read is checked here, and written there."""
