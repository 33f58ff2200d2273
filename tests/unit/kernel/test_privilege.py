"""Who may use eBPF."""

from __future__ import annotations

import pytest

from pfq.errors import NoPrivilegeError
from pfq.kernel import privilege


@pytest.mark.parametrize(
    ("has", "why"),
    [
        ({"CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"}, None),
        ({"CAP_BPF", "CAP_NET_ADMIN"}, "this process lacks CAP_PERFMON"),
        ({"CAP_SYS_ADMIN", "CAP_NET_ADMIN"}, None),
        ({"CAP_NET_ADMIN", "CAP_PERFMON"}, "this process lacks CAP_BPF"),
        ({"CAP_SYS_ADMIN"}, "this process lacks CAP_NET_ADMIN"),
        (set(), "this process lacks CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"),
    ],
)
def test_what_is_missing(has: set[str], why: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privilege, "effective_capabilities", lambda: frozenset(has))
    assert privilege.missing_privilege() == why
    if why is None:
        privilege.require_privilege()
    else:
        with pytest.raises(NoPrivilegeError, match=why) as caught:
            privilege.require_privilege()
        assert "run as root" in str(caught.value.hint)


def test_the_kernel_is_asked() -> None:
    assert privilege.effective_capabilities() <= set(privilege.CAPABILITIES)
