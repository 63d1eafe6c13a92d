"""The paths that were kept are the paths of today."""

import json

import numpy as np
import pytest

from golden.paths import FILE, arithmetic, paths

KEPT = json.loads(FILE.read_text("utf-8"))


@pytest.fixture(scope="module")
def today():
    return paths()


@pytest.mark.parametrize("name", KEPT["paths"])
def test_no_path_has_moved(today, name):
    # A network in single precision rounds otherwise on another processor, and a run amplifies that.
    exact = arithmetic() == KEPT["arithmetic"]
    kept = KEPT["paths"][name]
    np.testing.assert_allclose(today[name]["points"], kept["points"], rtol=0, atol=1e-9 if exact else 1e-2)
    np.testing.assert_allclose(today[name]["best"], kept["best"], rtol=1e-9 if exact else 1e-1)


def test_every_path_is_kept(today):
    assert list(today) == list(KEPT["paths"])
