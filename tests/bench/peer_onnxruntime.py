"""ONNX Runtime as a peer: inputs and outputs bound once, two bindings by turns carry the state."""

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

    bindings = []
    for into, out in peer_onnx.turns(shape, inputs, states, ort.OrtValue.ortvalue_from_numpy):
        binding = session.io_binding()
        for name, value in into.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in out.items():
            binding.bind_ortvalue_output(name, value)
        bindings.append(binding)

    def work():
        bindings.reverse()
        session.run_with_iobinding(bindings[0])
        return shape["batch"]

    return work


peer.serve(make_case)
