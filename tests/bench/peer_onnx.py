"""A row's network as an ONNX model, for the runtimes that read those: one call is the steps of a row, the state goes
in and out (h0, c0.. to h0_out, c0_out..), or begins at zero in a window."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def model(shape):
    """Returns the model as bytes, shapes of inputs by name, {name of a state that goes in: name it comes out as}."""
    gates, op = (3, "GRU") if shape["is_gru"] else (4, "LSTM")
    hidden, batch, steps, width = shape["hidden"], shape["batch"], shape["steps"], shape["inputs"]
    random = np.random.default_rng(1)
    nodes, weights, states = [], [], {}

    def weight(name, *dims):
        weights.append(numpy_helper.from_array(random.uniform(-0.1, 0.1, dims).astype(np.float32), name))
        return name

    at = "x"
    for i in range(shape["layers"]):
        names = [f"h{i}"] if shape["is_gru"] else [f"h{i}", f"c{i}"]
        if steps == 1:
            states.update({name: name + "_out" for name in names})
        inputs = [at, weight(f"w{i}", 1, gates * hidden, width), weight(f"u{i}", 1, gates * hidden, hidden),
                  weight(f"b{i}", 1, 2 * gates * hidden), ""] + (names if steps == 1 else [])
        reset = {"linear_before_reset": 1} if shape["is_gru"] else {}
        nodes.append(helper.make_node(op, inputs, [f"y{i}"] + [name + "_out" for name in names], hidden_size=hidden,
                                      **reset))
        # [steps, 1 direction, batch, hidden]
        nodes.append(helper.make_node("Squeeze", [f"y{i}", "direction"], [f"z{i}"]))
        at, width = f"z{i}", hidden
    weights.append(numpy_helper.from_array(np.array([1]), "direction"))
    inputs = {"x": (steps, batch, shape["inputs"]), **{name: (1, batch, hidden) for name in states}}
    outputs = {name: (1, batch, hidden) for name in states.values()}
    if shape["outputs"]:
        nodes.append(helper.make_node("Squeeze", [f"h{shape['layers'] - 1}_out", "direction0"], ["last"]))
        weights.append(numpy_helper.from_array(np.array([0]), "direction0"))
        nodes.append(helper.make_node("Gemm", ["last", weight("wd", hidden, shape["outputs"]),
                                               weight("bd", shape["outputs"])], ["y"]))
        outputs["y"] = (batch, shape["outputs"])
    else:
        del nodes[-1]  # nobody reads the last output besides the state

    def infos(shapes):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in shapes.items()]

    graph = helper.make_graph(nodes, "row", infos(inputs), infos(outputs), weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return made.SerializeToString(), inputs, states


def turns(shape, inputs, states, tensor):
    """Of two calls by turns the tensors by name that go in and those that come out: what one writes as the state the
    other reads. tensor(array) makes one of the runtime's, which copies it."""
    def place(dims):
        return tensor(np.full(dims, 0.1, np.float32))

    x, y = place(inputs["x"]), {}
    if shape["outputs"]:
        y["y"] = place((shape["batch"], shape["outputs"]))
    here, there = ({name: place(inputs[name]) for name in states} for _ in range(2))
    return [({"x": x, **before}, {**{out: after[name] for name, out in states.items()}, **y})
            for before, after in ((here, there), (there, here))]
