"""How much clients may have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a daemon. Those of a user do not hold for the superuser and the daemon's own user.

    connections           of all clients together
    user_connections      of one user
    user_endpoints        of one user
    user_ring_bytes       memory of the rings of one user's end-points
    changes_per_second    programs, filters, bindings, rings made anew: by one user, on average
    changes_at_once       of these, how many may come at once
    hello_seconds         until a client must have said who it is
    send_seconds          that the daemon waits for a client which does not read
    """

    connections: int = 256
    user_connections: int = 16
    user_endpoints: int = 16
    user_ring_bytes: int = 256 << 20
    changes_per_second: int = 10
    changes_at_once: int = 20
    hello_seconds: int = 5
    send_seconds: int = 2
