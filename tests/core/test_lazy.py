import sys

import pytest

import genas
from genas.core.errors import ConfigError
from genas.core.lazy import check_extra, lazy_names


def test_names_come_from_their_homes_and_others_are_missing():
    find = lazy_names("genas", {"GenasError": "core.errors"})
    assert find("GenasError") is genas.GenasError
    with pytest.raises(AttributeError, match="module 'genas' has no attribute 'nothing'"):
        find("nothing")


@pytest.mark.parametrize(
    "package", ["genas", "genas.spaces", "genas.strategies", "genas.training.standalone", "genas.spaces.zoo"]
)
def test_every_lazy_name_is_found(package):
    __import__(package)
    module = sys.modules[package]
    for name in module._HOMES:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        getattr(module, "nothing" + "")


def test_a_missing_extra_is_named_with_what_installs_it():
    check_extra(["json"], "export")
    with pytest.raises(ConfigError, match=r"^no_such is not installed; install it with: pip install 'genas\[x\]'\.$"):
        check_extra(["json", "no_such"], "x")
    with pytest.raises(ConfigError, match=r"^a_a and b_b are not installed; install them .*, or wait\.$"):
        check_extra(["a_a", "b_b"], "x", ", or wait")
