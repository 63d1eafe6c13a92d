import pytest

from pop_envs.checks import made, one_of, positive_int, require


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "3", None])
def test_what_is_no_positive_integer_is_refused(value):
    with pytest.raises(ValueError, match="size must be a positive integer, got"):
        positive_int("size", value)


def test_a_positive_integer_comes_back():
    assert positive_int("size", 3) == 3


def test_what_is_not_among_the_allowed_is_refused():
    assert one_of("colour", "red", ("red", "blue")) == "red"
    with pytest.raises(ValueError, match="colour must be one of 'red', 'blue', got 'green'"):
        one_of("colour", "green", ("red", "blue"))


def test_a_name_makes_and_an_object_is_taken():
    registry, own = {"empty": list}, [1]
    assert made("list", "empty", registry, list) == []
    assert made("list", own, registry, list) is own
    with pytest.raises(ValueError, match="list must be one of 'empty', got 'full'"):
        made("list", "full", registry, list)
    with pytest.raises(ValueError, match="list must be a name or a list, got 3"):
        made("list", 3, registry, list)


def test_a_missing_module_is_named_with_the_extra_that_brings_it():
    require("train", "json")
    with pytest.raises(ImportError, match=r"no_such_module must be installed: pip install --editable '\.\[train\]'"):
        require("train", "json", "no_such_module")
