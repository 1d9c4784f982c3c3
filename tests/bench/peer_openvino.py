"""OpenVINO as a peer: two requests by turns, what one writes as the state the other reads."""

import numpy as np
import openvino as ov

import peer
import peer_onnx

core = ov.Core()


def make_case(row):
    shape = peer.shape(row)
    made, inputs, states = peer_onnx.model(shape)
    compiled = core.compile_model(core.read_model(made), "CPU", {
        "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": row["precision"]})

    def tensor(dims):
        return ov.Tensor(np.full(dims, 0.1, np.float32))  # which copies it

    x = tensor(inputs["x"])
    places = [{name: tensor(inputs[name]) for name in states} for _ in range(2)]
    requests = []
    for turn in range(2):
        request = compiled.create_infer_request()
        request.set_tensor("x", x)
        for name, out in states.items():
            request.set_tensor(name, places[turn][name])
            request.set_tensor(out, places[1 - turn][name])
        requests.append(request)

    def work():
        requests.reverse()
        requests[0].infer()
        return shape["batch"]

    return work


peer.serve(make_case)
