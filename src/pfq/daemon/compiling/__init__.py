"""Clients' programs are compiled in processes without any right."""
