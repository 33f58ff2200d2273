"""The command `pfqd`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

import pfq
from pfq.daemon import logs
from pfq.daemon.background import Background, detach
from pfq.daemon.config import reading
from pfq.daemon.config.reading import Config, DaemonSettings
from pfq.errors import ConfigErrors, InternalError, PfqError, UsageError
from pfq.kernel.devices import devices

log = logging.getLogger(__name__)

DEBUG_VARIABLE = "PFQ_DEBUG"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-c", "path", metavar="FILE", help=f"The configuration; without it {reading.USUAL_PATH}, if it is there.")
@click.option("--daemon", "background", is_flag=True, help="Go to the background, once it serves.")
@click.option("--check", is_flag=True, help="Report all faults of the configuration, and start nothing.")
@click.option("--stop", is_flag=True, help="Take everything down, with a running pfqd or without, and wait for it.")
@click.version_option(pfq.__version__, message="%(prog)s %(version)s")
def command(path: str | None, background: bool, check: bool, stop: bool) -> None:
    """Serve groups and end-points to many processes, and keep them beyond its own end.

    SIGHUP, or a change of the configuration's files, makes it read them again. SIGTERM ends it: groups go on for the
    next pfqd when clients have end-points, otherwise everything is taken down.

    Exit status: 0 done, 1 wrong use or configuration, 2 the kernel refused, 3 not possible on this machine, 70 a fault
    of pfqd itself.
    """
    if background + check + stop > 1:
        raise UsageError("--daemon, --check and --stop are alternatives", hint="give one of them")
    file = _file(path)
    if check:
        _check(file)
    elif stop:
        from pfq.daemon.stopping import stop as stop_it

        print(stop_it(DaemonSettings() if file is None else reading.read_daemon(file)))
    else:
        _run(file, background)


def _file(path: str | None) -> Path | None:
    """The configuration that is meant; None: the built-in one."""
    if path is not None:
        return Path(path).absolute()
    return reading.USUAL_PATH if reading.USUAL_PATH.exists() else None


def _check(file: Path | None) -> None:
    found = Config() if file is None else reading.read(file)
    for text in warnings(found):
        print(f"warning: {text}", file=sys.stderr)
    name = "the built-in configuration" if file is None else str(file)
    groups, rules = _count(len(found.groups), "group"), _count(len(found.rights), "rule")
    print(f"{name} has no faults: {groups}, {rules} of rights")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def warnings(found: Config) -> list[str]:
    """What is no fault, but perhaps not meant."""
    here = {device.name for device in devices()}
    texts = [
        f"group {group.number} will wait for {place}: there is no such device now"
        for group in found.groups
        for place in group.places
        if place.found(here) is None
    ]
    if found.rights and found.daemon.group is None:
        texts.append("there are [[rights]], but without `group` in [daemon] only root can connect")
    return texts


def _run(file: Path | None, background: bool) -> None:
    found = Config() if file is None else reading.read(file)
    waiting = detach() if background else None
    logs.set_up(found.daemon.log, found.daemon.log_level, background=background)
    try:
        from pfq.daemon.process import serve

        serve(found, waiting)
    except Exception as error:
        _fail(error, waiting)


def _fail(error: Exception, waiting: Background | None) -> NoReturn:
    """Logs why it cannot go on, tells who waits for it, and ends."""
    known = as_pfq_error(error)
    if known is not error:
        log.debug("where it happened", exc_info=error)
    log.error("%s", logs.one_line(known))
    if waiting is not None:
        waiting.tell(known.exit_status)
    sys.exit(known.exit_status)


def as_pfq_error(error: Exception) -> PfqError:
    """The error itself, or what it means."""
    if isinstance(error, PfqError):
        return error
    if isinstance(error, click.ClickException):
        return UsageError(error.format_message().rstrip("."), hint="`pfqd --help` shows the options")
    return InternalError(
        f"{type(error).__name__}: {error}",
        hint=f"please report this with the log and the output of `pfq probe`; {DEBUG_VARIABLE}=1 shows the place",
    )


def main() -> None:
    """Entry point of the script `pfqd`."""
    # NumPy would start threads, which are not confined when the process is.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        status = command.main(prog_name="pfqd", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:
        known = as_pfq_error(error)
        if known is not error and os.environ.get(DEBUG_VARIABLE):
            raise
        print(known, file=sys.stderr)
        if isinstance(known, ConfigErrors) and len(known.faults) > 1:
            print(f"\n{len(known.faults)} faults", file=sys.stderr)
        status = known.exit_status
    sys.exit(status if isinstance(status, int) else 0)
