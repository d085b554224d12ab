"""The vault over HTTP: `/v1`, its problems, its guard. Routes only translate."""
