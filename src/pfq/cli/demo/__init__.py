"""`pfq demo`: a real capture replayed over a veth pair, steered by flow to four end-points."""

from __future__ import annotations

import click

from pfq.cli.demo.run import main

demo: click.Command = main
