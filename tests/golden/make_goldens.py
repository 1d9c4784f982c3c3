#!/usr/bin/env python3
"""Writes tests/golden/*.json, what real Keras gives, for tests/golden/test_keras.c.

    make goldens, or: pip install -r tests/golden/requirements.txt
    KERAS_BACKEND=tensorflow python tests/golden/make_goldens.py

Every case holds a chain of layers, its parameters in Keras' order and layout, flat, and calls on it. Sequences
are time-major here, [steps x rows x width], as the engine has them.
"""
import json
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

HERE = pathlib.Path(__file__).parent


def flat(array):
    """Shortest decimals that give the same float32 back."""
    return [float(str(np.float32(v))) for v in np.asarray(array).ravel()]


def build(n_in, rows, spec, seed, stateful):
    """The Keras layers of spec, a list of ("lstm", units) or ("dense", units, activation), with random weights."""
    rng = np.random.default_rng(seed)
    layers = []
    width = n_in
    for kind, units, *activation in spec:
        if kind == "lstm":
            layer = keras.layers.LSTM(units, return_sequences=True, stateful=stateful)
        else:
            layer = keras.layers.Dense(units, activation=activation[0])
        layer.build((rows, None, width))
        layer.set_weights([rng.uniform(-0.8, 0.8, w.shape).astype("float32") for w in layer.get_weights()])
        layers.append(layer)
        width = units
    return layers


def header(name, n_in, spec, layers):
    return {
        "name": name,
        "inputs": n_in,
        "layers": [{"kind": s[0], "units": s[1], "activation": s[2] if len(s) > 2 else ""} for s in spec],
        "params": flat(np.concatenate([w.ravel() for layer in layers for w in layer.get_weights()])),
    }


def run(layers, x, mask):
    for layer in layers:
        x = layer(x, mask=mask) if isinstance(layer, keras.layers.LSTM) and mask is not None else layer(x)
    return np.array(x)


def forward_case(name, n_in, spec, seed, rows=3, calls=((4, False),), masks=None):
    """calls: (steps, whether all states are reset before). masks: one [rows x steps] per call."""
    layers = build(n_in, rows, spec, seed, stateful=True)
    case = header(name, n_in, spec, layers)
    rng = np.random.default_rng(seed + 1)
    case["calls"] = []
    for i, (steps, reset) in enumerate(calls):
        if reset:
            for layer in layers:
                if isinstance(layer, keras.layers.LSTM):
                    layer.reset_states()
        x = rng.uniform(-2, 2, (rows, steps, n_in)).astype("float32")
        mask = np.array(masks[i], dtype=bool) if masks else None
        y = run(layers, x, mask)
        case["calls"].append({
            "reset": reset,
            "steps": steps,
            "rows": rows,
            "x": flat(x.swapaxes(0, 1)),
            "mask": [int(v) for v in mask.T.ravel()] if masks else None,
            "y": flat(y.swapaxes(0, 1)),
        })
    return case


def adam_case(name, n_in, spec, seed, loss, rows=4, steps=6, clip=0.0):
    """Ten steps on one batch from zero states; the loss is the mean over all elements."""
    layers = build(n_in, rows, spec, seed, stateful=False)
    case = header(name, n_in, spec, layers)
    rng = np.random.default_rng(seed + 1)
    x = rng.uniform(-2, 2, (rows, steps, n_in)).astype("float32")
    answer = rng.uniform(-2, 2, (rows, steps, spec[-1][1])).astype("float32")
    model = keras.Sequential([keras.Input((steps, n_in))] + layers)
    optimizer = keras.optimizers.Adam(learning_rate=0.01, epsilon=1e-3, global_clipnorm=clip or None)
    model.compile(optimizer=optimizer, loss=loss)
    for _ in range(10):
        model.train_on_batch(x, answer)
    case.update({
        "loss": loss,
        "learning_rate": 0.01,
        "epsilon": 1e-3,
        "clip_norm": clip,
        "updates": 10,
        "steps": steps,
        "rows": rows,
        "x": flat(x.swapaxes(0, 1)),
        "answer": flat(answer.swapaxes(0, 1)),
        "params_after": flat(np.concatenate([w.ravel() for layer in layers for w in layer.get_weights()])),
    })
    return case


def write(file, cases):
    text = json.dumps({"keras": keras.__version__, "cases": cases}, separators=(",", ":"))
    (HERE / file).write_text(text.replace('{"name"', '\n{"name"') + "\n")


def main():
    write("stateful.json", [
        forward_case("three calls, state carried", 2, [("lstm", 5)], 1,
                     calls=((4, False), (1, False), (3, False))),
        forward_case("three calls, reset before the second", 2, [("lstm", 5)], 2,
                     calls=((3, False), (4, True), (2, False))),
        forward_case("three calls of one step, two layers", 3, [("lstm", 6), ("lstm", 4)], 3,
                     calls=((1, False),) * 3),
    ])
    write("chains.json", [
        forward_case("lstm, lstm, dense", 3, [("lstm", 7), ("lstm", 5), ("dense", 2, "linear")], 11,
                     calls=((12, False),)),
        forward_case("dense, lstm, dense", 4, [("dense", 6, "relu"), ("lstm", 9), ("dense", 1, "tanh")], 12,
                     calls=((5, False), (5, False))),
        forward_case("a wider one", 8, [("lstm", 17), ("lstm", 16), ("dense", 3, "linear")], 13, rows=2,
                     calls=((8, False),)),
    ])
    write("dense.json", [
        forward_case("dense " + a, 5, [("dense", 4, a)], 20 + i, calls=((3, False),))
        for i, a in enumerate(("linear", "tanh", "sigmoid", "relu"))
    ])
    # A step that is masked before anything has come out gives zeros in Keras, and the carried h here: none begins so.
    masks = [[[1, 0, 1, 1, 0, 1], [1, 1, 0, 0, 0, 1], [1, 1, 1, 1, 1, 0]], [[1, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1]]]
    write("mask.json", [
        forward_case("masked lstm, state carried", 2, [("lstm", 6)], 31, calls=((6, False), (4, False)), masks=masks),
        forward_case("masked lstm, lstm, dense", 3, [("lstm", 5), ("lstm", 4), ("dense", 2, "linear")], 32,
                     calls=((6, False), (4, False)), masks=masks),
    ])
    write("adam.json", [
        adam_case("mse", 3, [("lstm", 6), ("lstm", 4), ("dense", 2, "linear")], 41, "mse"),
        adam_case("huber, clipped", 2, [("lstm", 5), ("dense", 3, "tanh")], 42, "huber", clip=0.1),
    ])


if __name__ == "__main__":
    main()
