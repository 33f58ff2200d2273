"""pfqd: the engine as a service for many processes."""
