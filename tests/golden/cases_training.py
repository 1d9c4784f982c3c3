"""Ten Adam steps of Keras: NAME is the model before, NAME.after the model after, NAME.npz x and answer (or answer0,
answer1, ...), each [batches, ...]; step i is made on batch i modulo their number. The loss is the mean squared error,
summed over the outputs, or Huber's (huber 1), or one of LOSSES (loss: its place in enum loss; of
probabilities and not of logits, probabilities 1), the gradient clipped to the norm clip_norm where the npz has one.
What else the npz has is of the optimizer: its kind (optimizer, by its place in KINDS_OF_OPTIMIZERS) and its options. Epsilon
is 1e-3, so that rounding noise is not normalised into full steps.
write_curves: a hundred steps of Adam as Keras has it by itself; losses [100] are the mean squared errors before each of them."""
import contextlib
import itertools
import unittest.mock

import keras
import numpy as np
import tensorflow as tf

from cases_masks import MASK_VALUE, MASKED, masked_input
from cases_recurrent import ACTIVATIONS, KINDS, UNBOUNDED
from golden_box import K2, K3, KERAS, as_list, chain, graph, ids, uniform

BATCHES, UPDATES = 2, 10
ROWS, STEPS, WIDTH, UNITS = 4, 6, 3, 4


class Drawn:
    """The numbers of engine/random, and what Keras draws in training by them: in the engine's order of axes, and from the
    beginning at each step, seeded by its number (from 1)."""

    def __init__(self):
        self.state = 0

    def uniform(self):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9e3779b97f4a7c15) & mask
        z = self.state
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9 & mask
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb & mask
        return ((z ^ (z >> 31)) >> 11) * 2.0 ** -53

    def normal(self):
        while True:
            u, v = 2 * self.uniform() - 1, 2 * self.uniform() - 1
            square = u * u + v * v
            if 0 < square < 1:
                return u * np.sqrt(-2 * np.log(square) / square)

    def array(self, draw, shape):
        shape = [int(n) for n in shape]
        if len(shape) == 3:
            steps_first = np.array([draw() for _ in range(np.prod(shape))]).reshape(shape[1], shape[0], shape[2])
            return steps_first.transpose(1, 0, 2).astype("float32")
        return np.array([draw() for _ in range(np.prod(shape))]).reshape(shape).astype("float32")

    def dropout(self, inputs, rate, noise_shape=None, seed=None):
        shape = [n or m for n, m in zip(noise_shape, inputs.shape)] if noise_shape is not None else inputs.shape
        return inputs * self.array(lambda: (self.uniform() >= rate) / (1 - rate), shape)

    def patched(self):
        at = keras.src.backend.random
        mine = {
            "dropout": self.dropout,
            "uniform": lambda shape, **_: tf.constant(self.array(self.uniform, shape)),
            "normal": lambda shape, mean, stddev, **_: tf.constant(mean + stddev * self.array(self.normal, shape)),
        }
        patches = [unittest.mock.patch.object(at, name, function) for name, function in mine.items()]
        stack = contextlib.ExitStack()
        for patch in patches + [unittest.mock.patch.object(keras.src.ops.random, "uniform", mine["uniform"])]:
            stack.enter_context(patch)
        return stack


# As enum optimizer_kind has them.
KINDS_OF_OPTIMIZERS = ("Adam", "AdamW", "SGD", "RMSprop")


def new_optimizer(k, kind="Adam", clip_norm=None, clip_value=None, **options):
    if kind != "SGD":
        options["epsilon"] = 1e-3
    return getattr(k.optimizers, kind)(
        learning_rate=0.01, global_clipnorm=clip_norm, clipvalue=clip_value, **options)


def softplus(x):
    return tf.math.softplus(x)


def quantile(a, y):
    """Of the levels 50 and 90."""
    p = np.array([0.5, 0.25, 0.75, 0.05, 0.95], "float32")[:, None]
    d = a[..., None, :] - y
    return 2 * tf.reduce_mean(tf.maximum(p * d, (p - 1) * d), axis=-2)


def gaussian(a, y):
    scale = softplus(y[..., 1, :]) + 1e-3
    return 0.5 * np.log(2 * np.pi) + tf.math.log(scale) + 0.5 * ((a - y[..., 0, :]) / scale) ** 2


def student_t(a, y):
    scale, nu = softplus(y[..., 1, :]) + 1e-3, 2 + softplus(y[..., 2, :])
    z = (a - y[..., 0, :]) / scale
    return (tf.math.lgamma(nu / 2) - tf.math.lgamma((nu + 1) / 2) + 0.5 * tf.math.log(np.pi * nu) + tf.math.log(scale)
            + 0.5 * (nu + 1) * tf.math.log1p(z ** 2 / nu))


def binary_crossentropy(a, y):
    return keras.losses.binary_crossentropy(tf.cast(a > 0, "float32")[..., None], tf.linalg.matrix_transpose(y), from_logits=True)


def categorical_crossentropy(a, y):
    return keras.losses.sparse_categorical_crossentropy(tf.cast(tf.floor(a + 2), "int32"), tf.linalg.matrix_transpose(y), from_logits=True)


def binary_of_probability(a, y):
    return keras.losses.binary_crossentropy(tf.cast(a > 0, "float32")[..., None], tf.linalg.matrix_transpose(y))


def categorical_of_probability(a, y):
    return keras.losses.sparse_categorical_crossentropy(tf.cast(tf.floor(a + 2), "int32"), tf.linalg.matrix_transpose(y))


# Losses of heads by their place in enum loss, and how many numbers they take for each answer.
LOSSES = {quantile: (3, 5), gaussian: (4, 2), student_t: (5, 3), binary_crossentropy: (6, 1), categorical_crossentropy: (7, 4)}
OF_PROBABILITIES = {binary_of_probability: ("sigmoid", 6, 1, 3), categorical_of_probability: ("softmax", 7, 4, 1)}
LOSSES.update({loss: (number, width) for loss, (_, number, width, _) in OF_PROBABILITIES.items()})


def loss_of(element_loss):
    """Of y [..., width n], whose first numbers of all answers [..., n] come first."""

    def loss(a, y):
        width = LOSSES[element_loss][1]
        return tf.reduce_mean(element_loss(a, tf.reshape(y, [*y.shape[:-1], width, y.shape[-1] // width])))

    return loss


def train(box, name, build, x, scale=0.8, huber=False, loss=None, file=K3, **optimizing):
    """x: [batches, rows, ...]; loss: of LOSSES; optimizing: what new_optimizer takes."""
    k = KERAS[file[:2]]
    model = box.new_model(name, file, build, scale)
    box.save(f"{name}.{file}", model)
    shapes = [y.shape for y in as_list(model(x[0]))]
    answers = [uniform(f"{name}-answer{i}", len(x), *shape) for i, shape in enumerate(shapes)]
    if loss:
        answers = [answers[0][..., :answers[0].shape[-1] // LOSSES[loss][1]]]
    losses = [loss_of(loss)] if loss else ["huber" if huber else "mse"] * len(shapes)
    model.compile(new_optimizer(k, **optimizing), loss=losses, jit_compile=False)
    drawn, train_step = Drawn(), model.train_step

    def seeded_step(*data):
        drawn.state = seeded_step.n = seeded_step.n + 1
        return train_step(*data)

    seeded_step.n = 0
    model.train_step = seeded_step
    with drawn.patched() if file == K3 else contextlib.nullcontext():
        for step in range(UPDATES):
            model.train_on_batch(x[step % len(x)], [answer[step % len(x)] for answer in answers])
    after = build(k)
    after.set_weights(model.get_weights())
    box.save(f"{name}.after.{file}", after)
    several = {f"answer{i}": answer for i, answer in enumerate(answers)}
    arrays = several if len(answers) > 1 else {"answer": answers[0]}
    if huber:
        arrays["huber"] = np.int32(1)
    if loss:
        arrays["loss"] = np.int32(LOSSES[loss][0])
    if loss in OF_PROBABILITIES:
        arrays["probabilities"] = np.int32(1)
    for option, value in optimizing.items():
        if option == "kind":
            arrays["optimizer"] = np.int32(KINDS_OF_OPTIMIZERS.index(value))
        else:
            arrays[option] = np.float32(value)
    box.write_npz(f"{name}.{file}", x=x, **arrays)


def one(box, name, layers, shape=(STEPS, WIDTH), scale=0.8, **loss):
    train(box, name, chain(shape, layers), uniform(name, BATCHES, ROWS, *shape), scale, **loss)


def recurrent(box):
    for kind, sequences in itertools.product(KINDS, (False, True)):
        one(box, f"{kind}-sequences-{sequences}", lambda L: [getattr(L, kind)(UNITS, return_sequences=sequences)])
    for kind in KINDS:
        one(box, f"{kind}-backwards", lambda L: [getattr(L, kind)(UNITS, go_backwards=True, return_sequences=True)])
        one(box, f"{kind}-use_bias-False", lambda L: [getattr(L, kind)(UNITS, use_bias=False)])
        for activation in ("relu", "hard_sigmoid", "softmax", "swish", "elu"):
            one(box, f"{kind}-{activation}", lambda L: [getattr(L, kind)(UNITS, activation=activation)],
                scale=UNBOUNDED.get(activation, 0.8))
        one(box, f"{kind}-{kind}-Dense", lambda L: [
            getattr(L, kind)(5, return_sequences=True), getattr(L, kind)(UNITS), L.Dense(2)])
    for sequences in (False, True):
        one(box, f"GRU-reset_after-False-sequences-{sequences}", lambda L: [
            L.GRU(UNITS, reset_after=False, return_sequences=sequences)])
    for kind in ("LSTM", "GRU"):
        for activation in ("hard_sigmoid", "softmax"):
            one(box, f"{kind}-gates-{activation}", lambda L: [
                getattr(L, kind)(UNITS, recurrent_activation=activation)])
    one(box, "StackedRNNCells", lambda L: [L.RNN([L.LSTMCell(5), L.GRUCell(4), L.SimpleRNNCell(3)])])
    for kind, merge in itertools.product(KINDS, ("concat", "sum", "mul", "ave")):
        if kind == "LSTM" or merge == "concat":
            one(box, f"Bidirectional-{kind}-{merge}", lambda L: [
                L.Bidirectional(getattr(L, kind)(UNITS, return_sequences=True), merge_mode=merge)])
    one(box, "Bidirectional-last", lambda L: [L.Bidirectional(L.LSTM(UNITS)), L.Dense(2)])


def wired(box):
    def initial_state(L, x, kind):
        y, *state = getattr(L, kind)(UNITS, return_state=True)(x)
        return L.Dense(2)(getattr(L, kind)(UNITS, return_sequences=True)(L.RepeatVector(4)(y), initial_state=state))

    def return_state(L, x, kind):
        return getattr(L, kind)(UNITS, return_sequences=True, return_state=True)(x)

    def bidirectional_state(L, x, kind):
        y, *state = L.Bidirectional(getattr(L, kind)(UNITS, return_state=True))(x)
        return L.Dense(2)(L.Concatenate()(state))

    for kind, wiring in itertools.product(KINDS, (initial_state, return_state, bidirectional_state)):
        name = f"{kind}-{wiring.__name__}"
        train(box, name, graph((STEPS, WIDTH), lambda L, x: wiring(L, x, kind)),
              uniform(name, BATCHES, ROWS, STEPS, WIDTH))


def masked(box):
    def one_masked(name, layers, rows=len(MASKED)):
        """Without a mask at the output, for Keras would take it into the loss: a convolution ends it."""
        x = np.stack([masked_input(f"{name}-{batch}")[:rows] for batch in range(BATCHES)])
        train(box, "mask-" + name, chain((MASKED.shape[1], WIDTH), lambda L: [L.Masking(MASK_VALUE)] + layers(L)), x)

    for kind, sequences in itertools.product(KINDS, (False, True)):
        one_masked(f"{kind}-sequences-{sequences}", lambda L: [
            getattr(L, kind)(5, return_sequences=True), getattr(L, kind)(UNITS, return_sequences=sequences),
            L.Conv1D(2, 1) if sequences else L.Dense(2)])
    one_masked("GRU-reset_after-False", lambda L: [
        L.GRU(UNITS, reset_after=False, return_sequences=True), L.Conv1D(2, 1)])
    one_masked("Bidirectional", lambda L: [L.Bidirectional(L.LSTM(UNITS, return_sequences=True)), L.LSTM(3)])
    one_masked("backwards", lambda L: [L.LSTM(UNITS, return_sequences=True, go_backwards=True), L.Conv1D(2, 1)])
    one_masked("GlobalAveragePooling1D", lambda L: [
        L.LSTM(UNITS, return_sequences=True), L.GlobalAveragePooling1D(), L.Dense(2)], rows=len(MASKED) - 1)
    one_masked("BatchNormalization", lambda L: [L.BatchNormalization(), L.LSTM(UNITS)])


def embedding(box):
    """By tf-keras: where an id comes twice in a batch, Keras 3.15 on TensorFlow squares the parts of its gradient,
    not their sum, for Adam's second moment."""
    for mask in (False, True):
        name = f"Embedding-mask_zero-{mask}"
        train(box, name, chain((STEPS,), lambda L: [L.Embedding(6, 4, mask_zero=mask), L.LSTM(UNITS), L.Dense(1)],
                               dtype="int32"), ids(name, 5, BATCHES, ROWS, STEPS), file=K2)


def elementwise(box):
    for activation in ACTIVATIONS:
        one(box, f"Dense-{activation}", lambda L: [L.Dense(5, activation=activation), L.Dense(2)],
            scale=UNBOUNDED.get(activation, 0.8))
        one(box, f"Activation-{activation}", lambda L: [L.Dense(5), L.Activation(activation), L.Dense(2)],
            scale=UNBOUNDED.get(activation, 0.8))
    one(box, "Dense-without-time", lambda L: [L.Dense(5, activation="tanh"), L.Dense(2, use_bias=False)], (WIDTH,))
    one(box, "TimeDistributed-Dense", lambda L: [L.TimeDistributed(L.Dense(5, activation="relu")), L.LSTM(3)])
    one(box, "LeakyReLU", lambda L: [L.Dense(5), L.LeakyReLU(), L.Dense(2)])
    one(box, "PReLU", lambda L: [L.Dense(5), L.PReLU(), L.Dense(2)])
    one(box, "PReLU-shared_axes", lambda L: [L.Dense(5), L.PReLU(shared_axes=[1]), L.LSTM(3)])
    one(box, "PReLU-without-time", lambda L: [L.Dense(5), L.PReLU(), L.Dense(2)], (WIDTH,))


def normalization(box):
    for kind in ("BatchNormalization", "LayerNormalization"):
        for name, options in {"": {}, "-no-center": {"center": False}, "-no-scale": {"scale": False}}.items():
            one(box, kind + name, lambda L: [L.Dense(5), getattr(L, kind)(**options), L.LSTM(3)])
        one(box, kind + "-first", lambda L: [getattr(L, kind)(), L.GRU(3), L.Dense(2)])
        one(box, kind + "-without-time", lambda L: [L.Dense(5), getattr(L, kind)(), L.Dense(2)], (WIDTH,))
    one(box, "BatchNormalization-momentum", lambda L: [
        L.Conv1D(4, 2), L.BatchNormalization(momentum=0.8, epsilon=0.01)])


def convolution(box):
    for padding in ("valid", "same", "causal"):
        for name, options in {"": {}, "-strides": {"strides": 2}, "-dilation": {"dilation_rate": 2}}.items():
            one(box, f"Conv1D-{padding}{name}", lambda L: [
                L.Conv1D(4, 3, padding=padding, activation="tanh", **options), L.Conv1D(2, 2, padding=padding)],
                (9, WIDTH))
    one(box, "Conv1D-use_bias-False", lambda L: [L.Conv1D(4, 3, use_bias=False), L.LSTM(3)])
    for kind, padding in itertools.product(("MaxPooling1D", "AveragePooling1D"), ("valid", "same")):
        for size, strides in ((2, None), (3, 2), (2, 1)):
            one(box, f"{kind}-{padding}-{size}-{strides}", lambda L: [
                L.Conv1D(4, 2, padding="causal"), getattr(L, kind)(size, strides=strides, padding=padding),
                L.LSTM(3)], (9, WIDTH))
    for kind, keep in itertools.product(("GlobalMaxPooling1D", "GlobalAveragePooling1D"), (False, True)):
        one(box, f"{kind}-keepdims-{keep}", lambda L: [
            L.LSTM(UNITS, return_sequences=True), getattr(L, kind)(keepdims=keep), L.Dense(2)])


def shapes(box):
    one(box, "Flatten", lambda L: [L.LSTM(UNITS, return_sequences=True), L.Flatten(), L.Dense(2)])
    one(box, "Reshape", lambda L: [L.LSTM(UNITS, return_sequences=True), L.Reshape((8, 3)), L.LSTM(2)])
    one(box, "Permute", lambda L: [L.LSTM(UNITS, return_sequences=True), L.Permute((2, 1)), L.LSTM(2)])
    one(box, "RepeatVector", lambda L: [
        L.LSTM(UNITS), L.RepeatVector(4), L.LSTM(UNITS, return_sequences=True), L.TimeDistributed(L.Dense(2))])

    def merged(L, x, kind):
        y = getattr(L, kind)()([L.Dense(WIDTH, activation="tanh")(x), x, L.LSTM(WIDTH, return_sequences=True)(x)])
        return L.Dense(2)(L.LSTM(UNITS)(y))

    def shared(L, x):
        layer = L.LSTM(WIDTH, return_sequences=True)
        return [layer(layer(x)), L.Dense(2)(x)]

    for kind in ("Add", "Multiply", "Concatenate"):
        train(box, kind, graph((STEPS, WIDTH), lambda L, x: merged(L, x, kind)),
              uniform(kind, BATCHES, ROWS, STEPS, WIDTH))
    one(box, "Huber-clipped", lambda L: [L.LSTM(5, return_sequences=True), L.Dense(3, activation="tanh")], huber=True,
        clip_norm=0.1)
    train(box, "shared-layer", graph((STEPS, WIDTH), shared), uniform("shared", BATCHES, ROWS, STEPS, WIDTH))


def write(box):
    for family in (recurrent, wired, masked, embedding, elementwise, normalization, convolution, shapes):
        family(box)


def write_optimizers(box):
    """A network with what is not trained (a moving mean and variance), which does not decay."""
    cases = {
        "Adam-clip_value": {"clip_value": 0.02},
        "Adam-weight_decay": {"weight_decay": 0.5},
        "AdamW": {"kind": "AdamW", "weight_decay": 0.004},
        "AdamW-more": {"kind": "AdamW", "weight_decay": 0.9, "clip_norm": 0.1},
        "SGD": {"kind": "SGD"},
        "SGD-momentum": {"kind": "SGD", "momentum": 0.9},
        "SGD-nesterov": {"kind": "SGD", "momentum": 0.8, "nesterov": True},
        "SGD-weight_decay": {"kind": "SGD", "momentum": 0.5, "weight_decay": 0.3, "clip_value": 0.05},
        "RMSprop": {"kind": "RMSprop"},
        "RMSprop-momentum": {"kind": "RMSprop", "momentum": 0.7, "rho": 0.8},
        "RMSprop-clip_norm": {"kind": "RMSprop", "clip_norm": 0.1, "weight_decay": 0.2},
    }
    for name, optimizing in cases.items():
        one(box, name, lambda L: [L.LSTM(UNITS, return_sequences=True), L.BatchNormalization(momentum=0.8), L.GRU(3),
                                  L.Dense(2)], **optimizing)


def write_dropout(box):
    rates = {"dropout": {"dropout": 0.3}, "recurrent": {"recurrent_dropout": 0.4},
             "both": {"dropout": 0.5, "recurrent_dropout": 0.25}}
    for kind, (name, options) in itertools.product(KINDS, rates.items()):
        one(box, f"{kind}-{name}", lambda L: [
            getattr(L, kind)(UNITS, return_sequences=True, **options), getattr(L, kind)(UNITS, **options)])
    one(box, "GRU-reset_after-False", lambda L: [L.GRU(UNITS, reset_after=False, **rates["both"])])
    one(box, "LSTM-use_bias-False", lambda L: [L.LSTM(UNITS, use_bias=False, **rates["both"])])
    one(box, "Bidirectional", lambda L: [L.Bidirectional(L.GRU(UNITS, return_sequences=True, **rates["both"])), L.Dense(2)])
    x = np.stack([masked_input(f"dropout-{batch}") for batch in range(BATCHES)])
    train(box, "mask", chain((MASKED.shape[1], WIDTH), lambda L: [
        L.Masking(MASK_VALUE), L.LSTM(5, return_sequences=True, **rates["both"]), L.GRU(UNITS, **rates["both"])]), x)
    for name, layer in {"Dropout": lambda L: L.Dropout(0.4), "SpatialDropout1D": lambda L: L.SpatialDropout1D(0.4),
                        "Dropout-noise_shape": lambda L: L.Dropout(0.4, noise_shape=(None, 1, None)),
                        "GaussianNoise": lambda L: L.GaussianNoise(0.3), "GaussianDropout": lambda L: L.GaussianDropout(0.3),
                        "AlphaDropout": lambda L: L.AlphaDropout(0.2)}.items():
        one(box, name, lambda L: [L.Dense(5), layer(L), L.LSTM(UNITS)])
    one(box, "Dropout-without-time", lambda L: [L.LSTM(5), L.Dropout(0.5), L.Dense(2)])


def write_losses(box):
    for loss, (activation, _, width, n) in OF_PROBABILITIES.items():
        one(box, loss.__name__, lambda L: [L.LSTM(UNITS), L.Dense(n * width, activation=activation)], loss=loss)
    for loss, (_, width) in LOSSES.items():
        if loss in OF_PROBABILITIES:
            continue
        name = loss.__name__
        one(box, name, lambda L: [L.LSTM(UNITS), L.Dense(3 * width)], loss=loss)
        one(box, f"{name}-sequences", lambda L: [L.GRU(UNITS, return_sequences=True), L.Dense(2 * width)], loss=loss)


def write_curves(box):
    cases = {
        "LSTM": lambda L: [L.LSTM(32), L.Dense(24)],
        "LSTM-LSTM": lambda L: [L.LSTM(20, return_sequences=True), L.LSTM(17), L.Dense(5)],
        "GRU-GRU": lambda L: [L.GRU(16, return_sequences=True), L.GRU(16), L.Dense(8)],
    }
    steps, width, rows, batches = 60, 7, 8, 3
    tf.config.run_functions_eagerly(False)
    for name, layers in cases.items():
        model = box.new_model(name, K3, chain((steps, width), layers), 0.3)
        box.save(f"{name}.{K3}", model)
        x = np.round(16 * uniform(name, batches, rows, steps, width)) / 16  # few digits, for a small file
        answer = np.round(16 * uniform(f"{name}-answer", batches, rows, model.output_shape[-1])) / 16
        optimizer = keras.optimizers.Adam(1e-3)
        optimizer.build(model.trainable_variables)

        @tf.function
        def train_step(x, answer):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(x, training=True) - answer) ** 2)
            optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
            return loss

        losses = [float(train_step(x[step % batches], answer[step % batches])) for step in range(100)]
        box.write_npz(f"{name}.{K3}", x=x, answer=answer, losses=np.array(losses, "float32"),
                      learning_rate=np.float32(1e-3), epsilon=np.float32(1e-7))
    tf.config.run_functions_eagerly(True)
