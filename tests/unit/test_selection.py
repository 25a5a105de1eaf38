"""Finding state dicts, and the rule for which of several is plainly the weights."""

from __future__ import annotations

import pytest

from weightlift.errors import AmbiguousStateDictError, NoStateDictError, TensorError

from builders import dict_of, integer, named, pickled, storage, tensor, text

OTHER = {"data/0": bytes(16), "data/1": bytes(16)}
SECOND = tensor(where=storage("1"))


def weights(*names, make=None):
    return dict_of(*((name, make or tensor()) for name in names))


def module(*parameters, **submodules):
    """A pickled nn.Module of a class that is not here."""
    state = dict_of(
        ("training", b"\x88"),
        ("_parameters", weights(*parameters)),
        ("_buffers", b"}"),
        ("_modules", dict_of(*submodules.items())),
    )
    return named("gone.models", "Net") + b")\x81" + state + b"b"


def test_a_lone_state_dict_is_found_anywhere(opened):
    """The only state dict is the weights, however deep it lies."""
    checkpoint = opened(pickled(dict_of(("a", dict_of(("b", weights("w")))))))
    assert list(checkpoint.state_dicts) == ["a.b"]
    assert list(checkpoint.state_dict()) == ["w"]


def test_the_root_is_called_nothing(opened):
    """A file that is a state dict has one, named ""."""
    assert list(opened(pickled(weights("w"))).state_dicts) == [""]


def test_weights_beside_a_normalizer_are_plain(opened):
    """A state dict under a name for weights wins over one under a name for something else; it is said."""
    both = pickled(dict_of(("normalizer", weights("mean", make=SECOND)), ("state_dict", weights("w"))))
    checkpoint = opened(both, **OTHER)
    assert checkpoint.state_dict().name == "state_dict"
    assert [f.code for f in checkpoint.findings] == ["chosen"]


@pytest.mark.parametrize("names", [("model", "ema"), ("G", "D"), ("backbone", "head"), ("model", "model2")])
def test_two_models_are_never_decided(opened, names):
    """Of two models none is plainly the weights; the error lists both and says how to choose."""
    first, second = names
    checkpoint = opened(pickled(dict_of((first, weights("w")), (second, weights("w", make=SECOND)))), **OTHER)
    with pytest.raises(AmbiguousStateDictError, match="--name") as caught:
        checkpoint.state_dict()
    assert repr(first) in str(caught.value)
    assert repr(second) in str(caught.value)
    assert checkpoint.state_dict(second).name == second


def test_a_part_of_another_is_set_aside(opened):
    """A state dict whose every tensor is also in a larger one does not compete with it."""
    checkpoint = opened(
        pickled(
            b"}("
            + text("agent") + dict_of(("a", tensor() + b"q\x01"), ("b", SECOND))
            + text("encoder") + dict_of(("a", b"h\x01"))
            + b"u"
        ),
        **OTHER,
    )  # fmt: skip
    assert list(checkpoint.state_dicts) == ["agent", "encoder"]
    assert checkpoint.state_dict().name == "agent"


def test_optimizer_state_is_no_state_dict(opened):
    """Moments by parameter number are an optimizer, not weights."""
    optimizer = dict_of(("state", b"}(" + integer(0) + dict_of(("exp_avg", SECOND)) + b"u"), ("param_groups", b"]"))
    checkpoint = opened(pickled(dict_of(("model", weights("w")), ("optimizer", optimizer))), **OTHER)
    assert list(checkpoint.state_dicts) == ["model"]


def test_module_and_objects_that_hold_one(opened):
    """A pickled module gives its state dict without its class, also from within another object."""
    holder = (
        named("gone.agents", "Agent")
        + b")\x81"
        + dict_of(("net", module("w", fc=module("bias"))), ("t", integer(1)))
        + b"b"
    )
    checkpoint = opened(pickled(holder))
    assert list(checkpoint.state_dict()) == ["w", "fc.bias"]
    assert checkpoint.state_dict().name == "net"


def test_module_notes_name_what_code_could_change(opened):
    """Classes that are not torch's own are named, since their code could change the state dict."""
    (note,) = opened(pickled(module("w"))).state_dict().notes
    assert "gone.models.Net" in note


def test_shared_module_keeps_both_names(opened):
    """A module object under two names has its weights under both, as module.state_dict() says."""
    shared = module("w") + b"q\x09"
    checkpoint = opened(pickled(module(a=shared, b=b"h\x09")))
    state_dict = checkpoint.state_dict()
    assert list(state_dict) == ["a.w", "b.w"]
    assert state_dict.ties == [("a.w", "b.w")]


def test_names_with_dots_never_collide(opened):
    """`a.b` as a key and `a` holding `b` get names of their own."""
    checkpoint = opened(
        pickled(dict_of(("a.b", weights("w")), ("a", dict_of(("b", weights("w", make=SECOND)))))), **OTHER
    )
    assert list(checkpoint.state_dicts) == ["['a.b']", "['a']['b']"]


def test_nothing_to_find_is_an_error(opened):
    """A file without tensors says so."""
    with pytest.raises(NoStateDictError, match="no state dict"):
        opened(pickled(dict_of(("epoch", integer(3))))).state_dict()


def test_unknown_name_lists_the_known(opened):
    """Asking for a name that is not there lists those that are."""
    with pytest.raises(NoStateDictError, match="one of: ''"):
        opened(pickled(weights("w"))).state_dict("model")


def test_missing_key_suggests_the_nearest(opened):
    """A key that is not there suggests the one that was meant."""
    with pytest.raises(KeyError, match=r"did you mean 'fc\.weight'"):
        opened(pickled(weights("fc.weight"))).state_dict()["fc.weigth"]


def test_values_inside_packed_parameters_count(opened):
    """Tensors inside tuples of a state dict count towards its size and are checked."""
    packed = dict_of(
        ("fc._packed_params._packed_params", b"(" + tensor() + b"Nt"),
        ("fc._packed_params.dtype", named("torch", "qint8")),
    )
    state_dict = opened(pickled(packed)).state_dict()
    assert state_dict.nbytes == 16
    broken = dict_of(("fc._packed_params._packed_params", b"(" + tensor(offset=9) + b"Nt"))
    with pytest.raises(TensorError, match=r"fc\._packed_params\._packed_params"):
        opened(pickled(broken)).state_dict().check()


@pytest.mark.parametrize("name", ["optimizer", "normalizer", "rng_state"])
def test_the_only_one_is_not_the_weights_under_a_name_for_something_else(opened, name):
    """What is left when the weights are not there is never taken for them; by name it can be had."""
    checkpoint = opened(pickled(dict_of((name, weights("w")))))
    with pytest.raises(AmbiguousStateDictError, match=f"1 state dict and none .*--name '{name}'"):
        checkpoint.state_dict()
    assert list(checkpoint.state_dict(name)) == ["w"]


def test_numbers_beside_tensors(opened):
    """A few plain numbers stand in a state dict; where they are the most it is a record with tensors in it."""
    few = dict_of(("a", tensor()), ("b", SECOND), ("alpha", integer(4)))
    assert list(opened(pickled(few), **OTHER).state_dict()) == ["a", "b", "alpha"]
    many = dict_of(("loss", tensor()), ("epoch", integer(4)), ("step", integer(5)))
    with pytest.raises(NoStateDictError):
        opened(pickled(many)).state_dict()


def test_a_wrong_name_suggests_the_nearest(opened):
    """A name that is nearly right is told in the error."""
    checkpoint = opened(pickled(dict_of(("state_dict", weights("w")))))
    with pytest.raises(NoStateDictError, match="did you mean 'state_dict'"):
        checkpoint.state_dict("state_dct")
