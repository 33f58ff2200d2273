"""The table of features, with probes that say what the test wants."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from pfq.errors import KernelTooOldError, NoPrivilegeError
from pfq.kernel import features, privilege
from pfq.kernel.features import FEATURES, Feature


@pytest.fixture
def kernel_5_10(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {
        "old": Feature("old", (5, 3), "the old thing", "nothing", lambda: None),
        "new": Feature("new", (6, 6), "the new thing", "use the old thing", lambda: "loading fails with EINVAL"),
    }
    monkeypatch.setattr(features, "FEATURES", MappingProxyType(table))
    monkeypatch.setattr(features, "release", lambda: "5.10.0-28-amd64")
    monkeypatch.setattr(features, "require_privilege", lambda: None)
    features.missing.cache_clear()


@pytest.mark.usefixtures("kernel_5_10")
def test_what_is_there_is_no_question() -> None:
    features.require("old")
    assert features.available("old")


@pytest.mark.usefixtures("kernel_5_10")
def test_what_is_missing_is_named_with_version_and_remedy() -> None:
    with pytest.raises(KernelTooOldError) as caught:
        features.require("new")
    assert caught.value.message == (
        "the new thing needs the kernel feature `new` (Linux 6.6), which this kernel (5.10.0-28-amd64) lacks: "
        "loading fails with EINVAL"
    )
    assert caught.value.hint == "use the old thing"
    assert not features.available("new")


@pytest.mark.usefixtures("kernel_5_10")
def test_without_the_right_to_ask_the_kernel_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privilege, "missing_privilege", lambda: "this process lacks CAP_BPF")
    monkeypatch.setattr(features, "require_privilege", privilege.require_privilege)
    with pytest.raises(NoPrivilegeError):
        features.require("new")


@pytest.mark.usefixtures("kernel_5_10")
def test_a_kernel_older_than_we_support() -> None:
    assert features.kernel_version() == (5, 10)
    with pytest.raises(KernelTooOldError, match=r"needs Linux 6\.1 or newer; this is 5\.10\.0-28-amd64"):
        features.check_kernel()


@pytest.mark.parametrize("feature", FEATURES.values(), ids=lambda feature: feature.name)
def test_rows_are_whole(feature: Feature) -> None:
    assert FEATURES[feature.name] is feature
    assert feature.needed
    assert feature.remedy
    assert (4, 0) < feature.since < (7, 0)


@pytest.fixture(autouse=True)
def fresh_answers() -> None:
    """Answers of the other tests' tables are not to be remembered."""
    features.missing.cache_clear()
