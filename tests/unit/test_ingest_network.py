"""Claims of finding layers in a state dict: from names and shapes alone."""

import numpy as np
import pytest

from deeptracker.errors import InputError
from deeptracker.ingest.network import find_network, natural


def state(**shapes):
    return {name.replace("__", "."): np.zeros(shape, np.float32) for name, shape in shapes.items()}


def network(parameters, **options):
    return find_network(parameters, **{"by_name": False, **options})


def test_layers__are_weights_of_two_to_five_axes_in_the_order_of_the_file():
    found = network(
        state(conv__weight=(8, 3, 5, 5), conv__bias=(8,), bn__weight=(8,), fc__weight=(10, 72), seq__weight=(4, 8, 3))
    )
    assert [(layer.name, layer.type, layer.filters, layer.size) for layer in found.layers] == [
        ("conv", "Conv2d", 8, 600),
        ("fc", "Linear", 10, 720),
        ("seq", "Conv1d", 4, 96),
    ]
    assert found.first.tolist() == [0, 8, 18]


def test_embeddings_and_strange_parameters__are_left_out_and_said_so():
    found = network(
        state(wte__weight=(50, 8), position_embed=(1, 9, 8), fc__weight=(4, 8))
        | {"mask.weight": np.zeros((4, 4), int)}
    )
    assert [layer.name for layer in found.layers] == ["fc"]
    assert "embedding" in found.left_out["wte.weight"]
    assert "not named as the weight" in found.left_out["position_embed"]
    assert "floating-point" in found.left_out["mask.weight"]


def test_parameters__without_values_are_left_out_and_said_so():
    found = network(state(fc__weight=(4, 8), narrow__weight=(0, 3), wide__weight=(3, 0)))
    assert [layer.name for layer in found.layers] == ["fc"]
    assert found.left_out == {"narrow.weight": "has no values: it is 0×3", "wide.weight": "has no values: it is 3×0"}


def test_attention__packed_projections_are_three_layers_of_their_own_rows():
    packed = np.arange(9 * 3, dtype=np.float32).reshape(9, 3)
    found = network({"attn.in_proj_weight": packed})
    assert [layer.name for layer in found.layers] == ["attn.q_proj", "attn.k_proj", "attn.v_proj"]
    np.testing.assert_array_equal(found.layers[1].rows(packed), packed[3:6])


def test_transposed_convolution__filters_are_those_that_the_bias_counts():
    weight = np.arange(2 * 3 * 2 * 2, dtype=np.float32).reshape(2, 3, 2, 2)
    (layer,) = network({"up.weight": weight, "up.bias": np.zeros(3, np.float32)}).layers
    assert (layer.type, layer.filters) == ("ConvTranspose2d", 3)
    np.testing.assert_array_equal(layer.rows(weight), weight.transpose(1, 0, 2, 3).reshape(3, -1))


@pytest.mark.parametrize("by_name", [False, True])
def test_normalisations__go_with_the_layer_of_their_number(by_name):
    shapes = {}
    for i in (1, 2):
        shapes |= {f"b__conv{i}__weight": (8, 8, 3, 3)}
    for i in (1, 2):
        shapes |= {f"b__bn{i}__weight": (8,), f"b__bn{i}__running_mean": (8,)}
    found = network(state(**shapes), by_name=by_name)
    assert {layer.name: layer.normalisation for layer in found.layers} == {"b.conv1": "b.bn1", "b.conv2": "b.bn2"}


def test_normalisations__of_a_sequential_go_with_the_layer_before_them_whose_width_fits():
    shapes = {"f__0__weight": (8, 3, 3, 3), "f__1__running_mean": (8,), "f__3__weight": (4, 8, 3, 3)}
    found = network(state(**shapes, f__4__running_mean=(4,), f__9__running_mean=(5,)))
    assert [layer.normalisation for layer in found.layers] == ["f.1", "f.4"]


def test_sorted_files__are_put_into_natural_order():
    found = network(state(layers__10__weight=(2, 2), layers__2__weight=(2, 2)), by_name=True)
    assert [layer.name for layer in found.layers] == ["layers.2", "layers.10"]
    assert "by name" in found.order


def test_natural_order__sorts_numbers_by_value():
    assert sorted(["e10", "e9", "e1", "f"], key=natural) == ["e1", "e9", "e10", "f"]


def test_include_and_exclude__choose_layers_by_name():
    parameters = state(a__weight=(2, 2), b__weight=(2, 2))
    assert [layer.name for layer in network(parameters, include="^a").layers] == ["a"]
    found = network(parameters, exclude="^a")
    assert [layer.name for layer in found.layers] == ["b"]
    assert "not asked for" in found.left_out["a"]
    with pytest.raises(InputError, match="include='\\(' is no regular expression"):
        network(parameters, include="(")
