"""OpenVINO as a peer: two requests by turns, what one writes as the state the other reads."""

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

    requests = []
    for into, out in peer_onnx.turns(shape, inputs, states, ov.Tensor):
        request = compiled.create_infer_request()
        for name, tensor in {**into, **out}.items():
            request.set_tensor(name, tensor)
        requests.append(request)

    def work():
        requests.reverse()
        requests[0].infer()
        return shape["batch"]

    return work


peer.serve(make_case)
