"""ONNX Runtime as a peer: inputs and outputs bound once, two bindings by turns carry the state."""

import numpy as np
import onnxruntime as ort

import peer
import peer_onnx


def make_case(row):
    shape = peer.shape(row)
    if row["precision"] != "f32":
        raise peer.NotHad("has no bf16 LSTM on processors")
    made, inputs, states = peer_onnx.model(shape)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(made, options, providers=["CPUExecutionProvider"])

    def value(dims):
        return ort.OrtValue.ortvalue_from_numpy(np.full(dims, 0.1, np.float32))

    x = value(inputs["x"])
    places = [{name: value(inputs[name]) for name in states} for _ in range(2)]
    bindings = []
    for turn in range(2):
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", x)
        for name, out in states.items():
            binding.bind_ortvalue_input(name, places[turn][name])
            binding.bind_ortvalue_output(out, places[1 - turn][name])
        if shape["outputs"]:
            binding.bind_ortvalue_output("y", value((shape["batch"], shape["outputs"])))
        bindings.append(binding)

    def work():
        bindings.reverse()
        session.run_with_iobinding(bindings[0])
        return shape["batch"]

    return work


peer.serve(make_case)
