"""PyTorch as a peer: LSTMCell and GRUCell step by step with the state carried, LSTM over a window."""

import torch

import peer

torch.set_num_threads(1)
torch.set_grad_enabled(False)


def window(shape, dtype):
    lstm = torch.nn.LSTM(shape["inputs"], shape["hidden"], shape["layers"]).to(dtype).eval()
    dense = torch.nn.Linear(shape["hidden"], shape["outputs"]).to(dtype).eval()
    x = torch.rand(shape["steps"], shape["batch"], shape["inputs"], dtype=dtype)

    def work():
        dense(lstm(x)[0][-1])
        return shape["batch"]

    return work


def step(shape, dtype):
    make = torch.nn.GRUCell if shape["is_gru"] else torch.nn.LSTMCell
    widths = [shape["inputs"]] + [shape["hidden"]] * shape["layers"]
    cells = [make(a, b).to(dtype).eval() for a, b in zip(widths, widths[1:])]
    dense = torch.nn.Linear(shape["hidden"], shape["outputs"]).to(dtype).eval() if shape["outputs"] else None
    x = torch.rand(shape["batch"], shape["inputs"], dtype=dtype)
    zeros = torch.zeros(shape["batch"], shape["hidden"], dtype=dtype)
    states = [zeros if shape["is_gru"] else (zeros, zeros) for _ in cells]

    def work():
        y = x
        for i, cell in enumerate(cells):
            states[i] = cell(y, states[i])
            y = states[i] if shape["is_gru"] else states[i][0]
        if dense is not None:
            dense(y)
        return shape["batch"]

    return work


def make_case(row):
    shape = peer.shape(row)
    dtype = torch.bfloat16 if row["precision"] == "bf16" else torch.float32
    work = (step if shape["steps"] == 1 else window)(shape, dtype)

    def inference():
        with torch.inference_mode():
            return work()

    return inference


peer.serve(make_case)
