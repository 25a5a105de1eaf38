"""Our light values are used as dataclasses are, and refuse what those refuse."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys

import pytest

from weightlift.findings import Finding
from weightlift.limits import Limits
from weightlift.values import cached_property, dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Point:
    """A value for these tests."""

    x: int
    y: int = 2
    tags: list = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """A value that is equal to itself only."""

    x: int


def test_fields_come_by_place_by_name_and_by_default():
    """Arguments and defaults fill the fields in order; a factory makes a new default each time."""
    assert (Point(1).x, Point(1).y, Point(1, y=3).y, Point(y=4, x=5).x) == (1, 2, 3, 5)
    assert Point(1).tags == []
    assert Point(1).tags is not Point(1).tags


@pytest.mark.parametrize("call", [{}, {"y": 1}, {"x": 1, "z": 2}])
def test_wrong_arguments_are_a_type_error(call):
    """A missing or unknown argument raises TypeError, as a function's would."""
    with pytest.raises(TypeError, match="argument"):
        Point(**call)


@pytest.mark.parametrize("args", [(1, 2, [], 4)])
def test_too_many_arguments_are_a_type_error(args):
    """More arguments than fields raise TypeError, and so does one given twice."""
    with pytest.raises(TypeError, match="takes 3 arguments"):
        Point(*args)
    with pytest.raises(TypeError, match="twice"):
        Point(1, x=1)


def test_a_frozen_value_cannot_be_changed():
    """Setting and deleting a field raise the error of frozen dataclasses, and there is no __dict__."""
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"Point\.x"):
        Point(1).x = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"Point\.x"):
        del Point(1).x
    assert not hasattr(Point(1), "__dict__")


def test_equality_hash_and_repr_are_those_of_the_fields():
    """Equal fields make equal values of one class, unless the class asks for identity."""
    assert Point(1, tags=["a"]) == Point(1, 2, ["a"])
    assert Point(1) != Point(2)
    assert Point(1) != (1, 2, [])
    assert hash(Finding("a", "note", "", "b")) == hash(Finding("a", "note", "", "b"))
    assert repr(Point(1)) == "Point(x=1, y=2, tags=[])"
    assert Thing(1) != Thing(1)


def test_the_functions_of_dataclasses_work():
    """`fields`, `asdict`, `replace`, copies and pickles treat a value as the dataclass that it stands for."""
    point = Point(1, tags=["a"])
    assert dataclasses.is_dataclass(Point)
    assert [f.name for f in dataclasses.fields(Point)] == ["x", "y", "tags"]
    assert dataclasses.asdict(point) == {"x": 1, "y": 2, "tags": ["a"]}
    assert dataclasses.replace(point, x=7) == replace(point, x=7) == Point(7, 2, ["a"])
    assert copy.deepcopy(point) == pickle.loads(pickle.dumps(point)) == point
    assert dataclasses.replace(Limits(), opcodes=5).opcodes == 5
    match point:
        case Point(1, y, _):
            assert y == 2


def test_inspecting_imports_neither_dataclasses_nor_writers():
    """What costs most to import is not on the path of `inspect`."""
    code = "import sys, weightlift.actions.inspect, weightlift.faces.text; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"dataclasses", "inspect", "json", "shutil", "numpy", "torch", "pathlib", "difflib", "weightlift.writers"}
    assert heavy.isdisjoint(loaded)


def test_a_cached_property_is_worked_out_once():
    """What a cached property gives is kept on the instance; on the class it is the property itself."""

    class Counting:
        count = 0

        @cached_property
        def value(self) -> int:
            """Documented."""
            self.count += 1
            return self.count

    counting = Counting()
    assert (counting.value, counting.value, counting.count) == (1, 1, 1)
    assert Counting().value == 1
    assert Counting.value.__doc__ == "Documented."
