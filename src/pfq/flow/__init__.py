"""Flows: what two addresses and ports say to each other, both directions together.

The function is `pfq.flows`; it is in `reading`. This package has another name, so that importing it hides nothing.
"""
