"""Every layer that is not recurrent, alone, with its options."""
import itertools

from cases_recurrent import ACTIVATIONS
from golden_box import BOTH, K2, K2_KERAS, K3, K3_H5, chain, graph, ids, uniform

ROWS, STEPS, WIDTH = 3, 7, 4


def alone(box, name, layer, files=BOTH, shape=(STEPS, WIDTH), scale=0.8):
    """layer(L): the one layer."""
    box.add(name, chain(shape, lambda L: [layer(L)]), uniform(name, ROWS, *shape), files, scale)


def dense(box):
    for activation in ACTIVATIONS:
        files = (K3, K2, K3_H5, K2_KERAS) if activation == "hard_sigmoid" else BOTH
        alone(box, f"Dense-{activation}", lambda L: L.Dense(5, activation=activation), files)
        alone(box, f"Activation-{activation}", lambda L: L.Activation(activation), files)
    alone(box, "Dense-use_bias-False", lambda L: L.Dense(5, use_bias=False))
    alone(box, "Dense-without-time", lambda L: L.Dense(5, activation="relu"), shape=(WIDTH,))
    alone(box, "TimeDistributed-Dense", lambda L: L.TimeDistributed(L.Dense(5, activation="tanh")))
    alone(box, "TimeDistributed-Activation", lambda L: L.TimeDistributed(L.Activation("softmax")))
    alone(box, "TimeDistributed-Dropout", lambda L: L.TimeDistributed(L.Dropout(0.5)))
    alone(box, "TimeDistributed-LayerNormalization", lambda L: L.TimeDistributed(L.LayerNormalization()))
    alone(box, "TimeDistributed-BatchNormalization", lambda L: L.TimeDistributed(L.BatchNormalization()))


def slopes(box):
    alone(box, "LeakyReLU", lambda L: L.LeakyReLU())
    alone(box, "PReLU", lambda L: L.PReLU())
    alone(box, "PReLU-shared_axes", lambda L: L.PReLU(shared_axes=[1]))
    alone(box, "PReLU-without-time", lambda L: L.PReLU(), shape=(WIDTH,))
    box.add("LeakyReLU-slope", lambda k: k.Sequential([
        k.Input((STEPS, WIDTH)),
        k.layers.LeakyReLU(**{"negative_slope" if hasattr(k, "ops") else "alpha": 0.1})]),
        uniform("LeakyReLU-slope", ROWS, STEPS, WIDTH), BOTH)


def nothing_when_serving(box):
    for name, layer in {
            "Dropout": lambda L: L.Dropout(0.4), "SpatialDropout1D": lambda L: L.SpatialDropout1D(0.4),
            "GaussianDropout": lambda L: L.GaussianDropout(0.4), "GaussianNoise": lambda L: L.GaussianNoise(0.3),
            "AlphaDropout": lambda L: L.AlphaDropout(0.2),
            "ActivityRegularization": lambda L: L.ActivityRegularization(0.1)}.items():
        alone(box, name, layer)


def shapes(box):
    alone(box, "RepeatVector", lambda L: L.RepeatVector(5), shape=(WIDTH,))
    alone(box, "Flatten", lambda L: L.Flatten())
    alone(box, "Flatten-without-time", lambda L: L.Flatten(), shape=(WIDTH,))
    alone(box, "Reshape-steps", lambda L: L.Reshape((14, 2)))
    alone(box, "Reshape-unknown", lambda L: L.Reshape((-1, 7)))
    alone(box, "Reshape-flat", lambda L: L.Reshape((28,)))
    alone(box, "Reshape-from-flat", lambda L: L.Reshape((2, 2)), shape=(WIDTH,))
    alone(box, "Reshape-scalar-steps", lambda L: L.Reshape((4, 1)), shape=(WIDTH,))
    alone(box, "Permute", lambda L: L.Permute((2, 1)))
    alone(box, "Permute-same", lambda L: L.Permute((1, 2)))


def embedding(box):
    for name, options in {"Embedding": {}, "Embedding-mask_zero": {"mask_zero": True}}.items():
        box.add(name, chain((STEPS,), lambda L: [L.Embedding(9, 4, **options)], dtype="int32"),
                ids(name, 9, ROWS, STEPS), BOTH)
    name = "Embedding-input_length"
    box.add(name, lambda k: k.Sequential([k.layers.Embedding(9, 4, input_length=STEPS)]), ids(name, 9, ROWS, STEPS),
            (K2,))


def normalization(box):
    for shape, without in (((STEPS, WIDTH), ""), ((WIDTH,), "-without-time")):
        for name, layer in {
                "BatchNormalization": lambda L: L.BatchNormalization(),
                "BatchNormalization-epsilon": lambda L: L.BatchNormalization(epsilon=0.1, momentum=0.9),
                "BatchNormalization-no-center": lambda L: L.BatchNormalization(center=False),
                "BatchNormalization-no-scale": lambda L: L.BatchNormalization(scale=False),
                "BatchNormalization-neither": lambda L: L.BatchNormalization(center=False, scale=False),
                "LayerNormalization": lambda L: L.LayerNormalization(),
                "LayerNormalization-epsilon": lambda L: L.LayerNormalization(epsilon=0.1),
                "LayerNormalization-no-center": lambda L: L.LayerNormalization(center=False),
                "LayerNormalization-no-scale": lambda L: L.LayerNormalization(scale=False)}.items():
            alone(box, name + without, layer, shape=shape)


def convolution(box):
    def conv(name, files=BOTH, **options):
        alone(box, "Conv1D-" + name, lambda L: L.Conv1D(6, **{"kernel_size": 3, **options}), files)

    for padding in ("valid", "same", "causal"):
        conv(padding, padding=padding)
        conv(padding + "-strides", padding=padding, strides=2)
        conv(padding + "-strides-3", padding=padding, strides=3, kernel_size=2)
        conv(padding + "-dilation", padding=padding, dilation_rate=2)
        conv(padding + "-kernel-4", padding=padding, kernel_size=4)
        conv(padding + "-groups", padding=padding, groups=2)
    conv("kernel-1", kernel_size=1)
    conv("kernel-7", kernel_size=7)
    conv("use_bias-False", use_bias=False)
    for activation in ("relu", "tanh", "swish"):
        conv(activation, activation=activation, padding="causal")


def pooling(box):
    for kind, padding in itertools.product(("MaxPooling1D", "AveragePooling1D"), ("valid", "same")):
        for size, strides in ((2, None), (3, None), (3, 1), (2, 3), (3, 2)):
            alone(box, f"{kind}-{padding}-{size}-strides-{strides}",
                  lambda L: getattr(L, kind)(size, strides=strides, padding=padding))
    for kind, keep in itertools.product(("GlobalMaxPooling1D", "GlobalAveragePooling1D"), (False, True)):
        alone(box, f"{kind}-keepdims-{keep}", lambda L: getattr(L, kind)(keepdims=keep))


def merging(box):
    for kind in ("Add", "Multiply", "Concatenate"):
        for shape, without in (((STEPS, WIDTH), ""), ((WIDTH,), "-without-time")):
            name = kind + without
            box.add(name, graph(shape, lambda L, x: getattr(L, kind)()([L.Dense(5)(x), L.Dense(5)(x)])),
                    uniform(name, ROWS, *shape), BOTH)
        name = kind + "-of-three"
        box.add(name, graph((STEPS, WIDTH), lambda L, x: getattr(L, kind)()([x, L.Dense(4)(x), L.Dense(4)(x)])),
                uniform(name, ROWS, STEPS, WIDTH), BOTH)
    name = "Concatenate-widths"
    box.add(name, graph((STEPS, WIDTH), lambda L, x: L.Concatenate(axis=-1)([L.Dense(2)(x), x, L.Dense(3)(x)])),
            uniform(name, ROWS, STEPS, WIDTH), (K3, K2, K3_H5, K2_KERAS))
    name = "Concatenate-axis-2"
    box.add(name, graph((STEPS, WIDTH), lambda L, x: L.Concatenate(axis=2)([L.Dense(2)(x), x])),
            uniform(name, ROWS, STEPS, WIDTH), BOTH)
    name = "Add-of-itself"
    box.add(name, graph((STEPS, WIDTH), lambda L, x: L.Add()([x, x])), uniform(name, ROWS, STEPS, WIDTH), BOTH)


def graphs(box):
    def several(L, x):
        common = L.Dense(5, activation="tanh")(x)
        return [L.Dense(1)(common), L.GlobalMaxPooling1D()(common), L.LSTM(3)(common)]

    def not_in_order(L, x):
        a, b = L.Dense(3, name="zz")(x), L.Dense(3, name="aa")(x)
        return [L.Add(name="mm")([b, a]), b]

    def shared(L, x):
        layer = L.Dense(4, activation="tanh")
        return L.Add()([layer(x), layer(L.Activation("relu")(x))])

    def input_too(L, x):
        y = L.Dense(2)(x)
        return [x, y, y]

    for wiring in (several, not_in_order, shared, input_too):
        name = "outputs-" + wiring.__name__
        box.add(name, graph((STEPS, WIDTH), wiring), uniform(name, ROWS, STEPS, WIDTH), BOTH)


def write(box):
    for family in (dense, slopes, nothing_when_serving, shapes, embedding, normalization, convolution, pooling,
                   merging, graphs):
        family(box)
