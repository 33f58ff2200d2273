"""The claims of the feature table hold on the running kernel (also run in virtual machines)."""

from __future__ import annotations

import pytest

from pfq.kernel import features
from pfq.kernel.features import FEATURES, MINIMUM

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]


@pytest.mark.parametrize("name", FEATURES)
def test_a_claim_holds(name: str) -> None:
    """A distribution may have a feature early; a kernel that is new enough must have it."""
    why = features.missing(name)
    if features.kernel_version() < FEATURES[name].since:
        pytest.skip(f"this kernel is older than {FEATURES[name].since}: {why or 'and has it all the same'}")
    assert why is None


@pytest.mark.parametrize("name", [name for name, feature in FEATURES.items() if feature.since <= MINIMUM])
def test_the_oldest_supported_kernel_has_what_every_capture_needs(name: str) -> None:
    features.require(name)
    assert features.available(name)


def test_the_kernel_is_new_enough() -> None:
    features.check_kernel()


def test_a_helper_that_no_kernel_has_is_missing() -> None:
    assert features._helper(9999) == "invalid func unknown#9999"


def test_a_link_that_no_kernel_has_is_missing() -> None:
    from pfq.kernel.abi import AttachType

    assert features._link_known(AttachType.NONE, features._NO_DEVICE, 0) is not None
