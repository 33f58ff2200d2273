"""Who may do what, and how much, as a configuration says it."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final, Literal

from pfq.codegen.layouts import MAX_GROUPS
from pfq.daemon.access import RIGHTS, Rule
from pfq.daemon.config.values import Faults, Section, shown
from pfq.daemon.limits import Limits
from pfq.errors import UsageError
from pfq.source import did_you_mean

EVERYBODY: Final = "*"
MOST: Final = 1 << 40
"""No limit is larger."""
HIGHEST: Final = (1 << 32) - 1
"""Of the numbers of users and groups this one means none."""

Kind = Literal["user", "group"]


def read_limits(faults: Faults, values: Mapping[str, Any]) -> Limits:
    section = Section(faults, values, ("limits",), "[limits]")
    usual = Limits()
    found = {each.name: section.integer(each.name, 1, MOST, getattr(usual, each.name)) for each in fields(Limits)}
    section.end()
    return Limits(**{name: value for name, value in found.items() if value is not None})


def read_rights(faults: Faults, rules: list[Any]) -> list[Rule]:
    """All `[[rights]]`."""
    return [_rule(Section(faults, values, ("rights", at), "[[rights]]")) for at, values in enumerate(rules)]


def _rule(section: Section) -> Rule:
    user, group = section.raw("user"), section.raw("group")
    if (user is None) == (group is None):
        section.faults.add(
            "rights are for one `user` or one `group`", section.way, 'user = "alice", for example', key=True
        )
    rule = Rule(
        _number(section, "user", user),
        _number(section, "group", group),
        EVERYBODY in (user, group),
        _several(section, "groups"),
        _several(section, "devices"),
        _allowed(section),
    )
    section.end()
    return rule


def _number(section: Section, kind: Kind, value: Any) -> int | None:
    """The number of a user or a group; None for everybody."""
    if value is None or value == EVERYBODY:
        return None
    if type(value) is int and 0 <= value < HIGHEST:
        return value
    if not isinstance(value, str):
        section.fault(kind, f"a {kind} is a name or a number, not {shown(value)}")
        return None
    try:
        return account_number(kind, value)
    except UsageError as error:
        section.fault(kind, error.message, error.hint)
        return None


def account_number(kind: Kind, name: str) -> int:
    """The number of a user or a group of this machine; raises UsageError when there is none of that name."""
    try:
        return pwd.getpwnam(name).pw_uid if kind == "user" else grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        raise UsageError(f"this machine has no {kind} {shown(name)}", hint=_near(kind, name)) from None


def _near(kind: Kind, name: str) -> str:
    known = [each.pw_name for each in pwd.getpwall()] if kind == "user" else [each.gr_name for each in grp.getgrall()]
    add = "useradd --system" if kind == "user" else "groupadd --system"
    return did_you_mean(name, known) or f"make it with `{add}`"


def _several(section: Section, key: Literal["groups", "devices"]) -> frozenset[Any] | None:
    """Numbers of groups, or names of devices; None for all."""
    value = section.raw(key, [])
    if value == EVERYBODY:
        return None
    kind, what = (int, f"numbers from 0 to {MAX_GROUPS - 1}") if key == "groups" else (str, "names")
    right = isinstance(value, list) and all(type(each) is kind for each in value)
    if not right or (key == "groups" and not all(0 <= each < MAX_GROUPS for each in value)):
        section.fault(key, f'`{key}` is a list of {what}, or "{EVERYBODY}" for all')
        return frozenset()
    return frozenset(value)


def _allowed(section: Section) -> frozenset[str]:
    value = section.items("allow")
    for number, each in enumerate(value):
        if each not in RIGHTS:
            near = did_you_mean(each, RIGHTS) if isinstance(each, str) else None
            hint = near or "there are: " + ", ".join(RIGHTS)
            section.faults.add(f"there is no right {shown(each)}", (*section.at("allow"), number), hint)
    if not value:
        section.faults.add("rights without `allow` allow nothing", section.way, f'allow = ["{RIGHTS[0]}"]', key=True)
    return frozenset(each for each in value if each in RIGHTS)
