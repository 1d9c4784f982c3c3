"""Older forms of files, and weights beside an architecture. What tf-keras makes of the weights is the golden: it
still turns those of Keras 1 and of the CuDNN layers into its own when it loads them."""
import json

import h5py
import numpy as np
import tf_keras
from tf_keras.src.layers.rnn.cudnn_gru import CuDNNGRU
from tf_keras.src.layers.rnn.cudnn_lstm import CuDNNLSTM

from golden_box import BOTH, K2, K3, KERAS, chain, graph, ids, reproducible, uniform

ROWS, STEPS, WIDTH, UNITS = 3, 6, 3, 4


def cudnn(box):
    """Layers that only a graphics card runs; the same weights in layers that any machine runs."""

    class Layers:
        """tf_keras.layers with the CuDNN layers among them."""
        LSTM, GRU = CuDNNLSTM, CuDNNGRU
        Dense, Bidirectional = tf_keras.layers.Dense, tf_keras.layers.Bidirectional

    for name, layers in {
            "CuDNNLSTM": lambda L: [L.LSTM(UNITS)],
            "CuDNNLSTM-CuDNNLSTM-Dense": lambda L: [L.LSTM(5, return_sequences=True), L.LSTM(UNITS), L.Dense(2)],
            "CuDNNGRU": lambda L: [L.GRU(UNITS, return_sequences=True)],
            "Bidirectional-CuDNNLSTM": lambda L: [L.Bidirectional(L.LSTM(UNITS, return_sequences=True))],
            "Bidirectional-CuDNNGRU": lambda L: [L.Bidirectional(L.GRU(UNITS))]}.items():
        def build(k):
            return k.Sequential([k.Input((STEPS, WIDTH))] + layers(Layers))

        box.save(f"{name}.{K2}", box.new_model(name, K2, build, 0.8))
        same = chain((STEPS, WIDTH), layers)(tf_keras)
        same.load_weights(box.folder / f"{name}.{K2}")
        box.add_arrays(f"{name}.{K2}", same, uniform(name, ROWS, STEPS, WIDTH))


# ---- Keras 1 -------------------------------------------------------------------------------------

# A layer of Keras 1: class, configuration, names and shapes of its weights; and the layer of tf-keras that it is.
COMMON_1 = {"trainable": True}


def gates(names, n_in, units):
    """Keras 1 has three arrays for each gate."""
    return [(f"{part}_{gate}", shape) for gate in names
            for part, shape in (("W", (n_in, units)), ("U", (units, units)), ("b", (units,)))]


def recurrent_1(kind, n_in, units, **options):
    """The defaults of Keras 1 among them: hard sigmoid gates, and a GRU whose reset gate acts before the product."""
    weights = {"LSTM": lambda: gates("icfo", n_in, units), "GRU": lambda: gates("zrh", n_in, units),
               "SimpleRNN": lambda: [("W", (n_in, units)), ("U", (units, units)), ("b", (units,))]}[kind]()
    config = {"output_dim": units, "init": "glorot_uniform", "inner_init": "orthogonal", "activation": "tanh",
              "return_sequences": False, "go_backwards": False, "stateful": False, "unroll": False,
              "consume_less": "cpu", "input_dim": n_in, "input_length": None, "W_regularizer": None,
              "U_regularizer": None, "b_regularizer": None, "dropout_W": 0.1, "dropout_U": 0.2}
    if kind == "LSTM":
        config["forget_bias_init"] = "one"
    if kind != "SimpleRNN":
        config["inner_activation"] = "hard_sigmoid"
    config.update(options)
    now = {"return_sequences": config["return_sequences"], "go_backwards": config["go_backwards"],
           "activation": config["activation"]}
    if kind != "SimpleRNN":
        now["recurrent_activation"] = config["inner_activation"]
    if kind == "GRU":
        now["reset_after"] = False
    return kind, config, weights, getattr(tf_keras.layers, kind)(units, **now)


def dense_1(n_in, units, activation):
    config = {"output_dim": units, "init": "glorot_uniform", "activation": activation, "bias": True,
              "input_dim": n_in,
              "W_regularizer": None, "b_regularizer": None, "activity_regularizer": None, "W_constraint": None,
              "b_constraint": None}
    weights = [("W", (n_in, units)), ("b", (units,))]
    return "Dense", config, weights, tf_keras.layers.Dense(units, activation=activation)


def bidirectional_1(kind, n_in, units, merge):
    kind, inner, weights, layer = recurrent_1(kind, n_in, units, return_sequences=True)
    config = {"layer": {"class_name": kind, "config": {"name": f"{kind.lower()}_inner", **COMMON_1, **inner}},
              "merge_mode": merge}
    both = [(f"{side}_{name}", shape) for side in ("forward", "backward") for name, shape in weights]
    return "Bidirectional", config, both, tf_keras.layers.Bidirectional(layer, merge_mode=merge)


def distributed_1(n_in, units):
    kind, inner, weights, layer = dense_1(n_in, units, "tanh")
    config = {"layer": {"class_name": kind, "config": {"name": "dense_inner", **COMMON_1, **inner}}}
    return "TimeDistributed", config, weights, tf_keras.layers.TimeDistributed(layer)


def convolution_1(n_in, filters, length):
    config = {"nb_filter": filters, "filter_length": length, "init": "glorot_uniform", "activation": "relu",
              "border_mode": "same", "subsample_length": 1, "bias": True, "input_dim": n_in, "input_length": None,
              "W_regularizer": None, "b_regularizer": None, "activity_regularizer": None, "W_constraint": None,
              "b_constraint": None}
    weights = [("W", (length, 1, n_in, filters)), ("b", (filters,))]
    layer = tf_keras.layers.Conv1D(filters, length, padding="same", activation="relu")
    return "Convolution1D", config, weights, layer


def embedding_1(vocabulary, units):
    config = {"input_dim": vocabulary, "output_dim": units, "init": "uniform", "input_length": STEPS,
              "mask_zero": True,
              "activity_regularizer": None, "W_regularizer": None, "W_constraint": None, "dropout": 0.0}
    layer = tf_keras.layers.Embedding(vocabulary, units, mask_zero=True)
    return "Embedding", config, [("W", (vocabulary, units))], layer


def keras_1(box, name, shape, layers, x):
    """Writes such a file by hand, and loads it with tf-keras into the same model."""
    rng = np.random.default_rng(len(name))
    configs = []
    with h5py.File(box.reserve(f"{name}.k1.h5"), "w") as file:
        group = file.create_group("model_weights")
        labels = [f"{kind.lower()}_{i + 1}" for i, (kind, *_) in enumerate(layers)]
        group.attrs["layer_names"] = np.array(labels, dtype="S")
        for label, (kind, config, weights, _) in zip(labels, layers):
            first = {"batch_input_shape": [None, *shape], "input_dtype": str(x.dtype)} if not configs else {}
            configs.append({"class_name": kind, "config": {"name": label, **COMMON_1, **first, **config}})
            names = [f"{label}_{weight}" for weight, _ in weights]
            group.create_group(label).attrs["weight_names"] = np.array(names, dtype="S")
            for weight, (_, size) in zip(names, weights):
                group[label][weight] = rng.uniform(-0.8, 0.8, size).astype("float32")
        config = json.dumps({"class_name": "Sequential", "config": configs})
        file.attrs["model_config"], file.attrs["keras_version"] = np.bytes_(config), np.bytes_("1.2.2")
    model = tf_keras.Sequential([tf_keras.Input(shape, dtype=str(x.dtype))] + [layer for *_, layer in layers])
    model.load_weights(box.folder / f"{name}.k1.h5")
    box.add_arrays(f"{name}.k1.h5", model, x)


def old_files(box):
    for kind in ("LSTM", "GRU", "SimpleRNN"):
        for backwards in (False, True):
            name = f"Keras-1-{kind}-backwards-{backwards}"
            keras_1(box, name, (STEPS, WIDTH), [recurrent_1(kind, WIDTH, UNITS, go_backwards=backwards)],
                    uniform(name, ROWS, STEPS, WIDTH))
        name = f"Keras-1-Bidirectional-{kind}"
        keras_1(box, name, (STEPS, WIDTH), [bidirectional_1(kind, WIDTH, UNITS, "sum")],
                uniform(name, ROWS, STEPS, WIDTH))
    name = "Keras-1-TimeDistributed-LSTM-LSTM-Dense"
    keras_1(box, name, (STEPS, WIDTH), [
        distributed_1(WIDTH, 5), recurrent_1("LSTM", 5, 6, return_sequences=True, inner_activation="sigmoid"),
        recurrent_1("LSTM", 6, UNITS, activation="relu"), dense_1(UNITS, 2, "sigmoid")],
        uniform(name, ROWS, STEPS, WIDTH))
    name = "Keras-1-Convolution1D-GRU"
    keras_1(box, name, (STEPS, WIDTH), [convolution_1(WIDTH, 5, 3), recurrent_1("GRU", 5, UNITS)],
            uniform(name, ROWS, STEPS, WIDTH))
    name = "Keras-1-Embedding-LSTM"
    keras_1(box, name, (STEPS,), [embedding_1(9, 5), recurrent_1("LSTM", 5, UNITS)], ids(name, 9, ROWS, STEPS))


# ---- other forms ---------------------------------------------------------------------------------


def architectures(box):
    """Weights alone, beside model.to_json()."""
    def encoder_decoder(L, x):
        y, *state = L.LSTM(UNITS, return_state=True)(x)
        return L.Dense(2)(L.LSTM(UNITS, return_sequences=True)(L.RepeatVector(5)(y), initial_state=state))

    for name, build in {
            "weights-only-LSTM-Dense": chain((STEPS, WIDTH), lambda L: [
                L.LSTM(6, return_sequences=True), L.LSTM(UNITS, recurrent_activation="hard_sigmoid"), L.Dense(2)]),
            "weights-only-Bidirectional-GRU": chain((STEPS, WIDTH), lambda L: [
                L.Bidirectional(L.GRU(UNITS)), L.BatchNormalization(), L.Dense(2)]),
            "weights-only-encoder-decoder": graph((STEPS, WIDTH), encoder_decoder)}.items():
        for file in (K2, "k3.weights.h5"):
            model = box.new_model(name, file, build, 0.8)
            model.save_weights(box.reserve(f"{name}.{file}"))
            with reproducible():
                box.reserve(f"{name}.{file}.json").write_text(model.to_json())
            box.add_arrays(f"{name}.{file}", model, uniform(name, ROWS, STEPS, WIDTH), {"architecture": 1})


def trained(box):
    """Files with a compiled model and its optimizer's state, as most are."""
    for file in (*BOTH, "k3.h5", "k2.keras"):
        name = f"with-optimizer.{file}"
        k = KERAS[file[:2]]
        model = box.new_model("with-optimizer", file, chain((STEPS, WIDTH), lambda L: [
            L.LSTM(5, return_sequences=True), L.GRU(UNITS), L.Dense(1)]), 0.8)
        model.compile(k.optimizers.Adam(0.001), loss="mse", metrics=["mae"])
        x = uniform(name, ROWS, STEPS, WIDTH)
        model.fit(x, x[:, -1, :1], epochs=1, verbose=0, shuffle=False)
        box.save(name, model, include_optimizer=True)
        box.add_arrays(name, model, x)


def write(box):
    cudnn(box)
    old_files(box)
    architectures(box)
    trained(box)
