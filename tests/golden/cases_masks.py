"""Masks: leading, trailing, inside a sequence and over all of it; through every layer that passes one on or uses
it."""
import itertools

import numpy as np

from cases_recurrent import KINDS
from golden_box import BOTH, chain, graph, ids, uniform

MASK_VALUE = -1.0
STEPS, WIDTH, UNITS = 7, 3, 4
# One row each: none, leading, inside, trailing, several, all.
MASKED = np.array([[0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1, 1],
                   [1, 0, 0, 1, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1]], dtype=bool)
# Three calls of a stateful model: steps are masked at the start of a call, at its end, and in all of it.
MASKED_CALLS = np.array([[0, 0, 0, 1, 1, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 1, 1, 0], [1, 0, 0, 1, 1, 1, 0, 0, 1]],
                        dtype=bool)


def masked_input(name, masked=MASKED):
    x = uniform(name, *masked.shape, WIDTH)
    x[masked] = MASK_VALUE
    return x


def one(box, name, layers, rows=len(MASKED)):
    """layers(L): those behind a Masking."""
    build = chain((STEPS, WIDTH), lambda L: [L.Masking(MASK_VALUE)] + layers(L))
    box.add("mask-" + name, build, masked_input(name)[:rows], BOTH)


def recurrent(box):
    for kind, sequences, backwards in itertools.product(KINDS, (False, True), (False, True)):
        one(box, f"{kind}-sequences-{sequences}-backwards-{backwards}", lambda L: [
            getattr(L, kind)(UNITS, return_sequences=sequences, go_backwards=backwards)])
    for kind in KINDS:
        one(box, f"{kind}-unroll", lambda L: [getattr(L, kind)(UNITS, return_sequences=True, unroll=True)])
        one(box, f"{kind}-zero_output_for_mask", lambda L: [
            getattr(L, kind)(UNITS, return_sequences=True, zero_output_for_mask=True)])
        one(box, f"{kind}-{kind}", lambda L: [getattr(L, kind)(5, return_sequences=True), getattr(L, kind)(UNITS)])
        name = f"mask-{kind}-return_state"
        build = graph((STEPS, WIDTH), lambda L, x: getattr(L, kind)(
            UNITS, return_sequences=True, return_state=True)(L.Masking(MASK_VALUE)(x)))
        box.add(name, build, masked_input(name), BOTH)
    one(box, "GRU-reset_after-False", lambda L: [L.GRU(UNITS, reset_after=False, return_sequences=True)])
    one(box, "RNN-StackedRNNCells", lambda L: [L.RNN([L.LSTMCell(5), L.GRUCell(UNITS)], return_sequences=True)])
    one(box, "RNN-StackedRNNCells-last", lambda L: [L.RNN([L.GRUCell(5), L.LSTMCell(UNITS)])])


def bidirectional(box):
    for kind, merge, sequences in itertools.product(KINDS, ("concat", "sum", "mul", "ave"), (False, True)):
        if kind == "LSTM" or merge == "concat":
            one(box, f"Bidirectional-{kind}-{merge}-sequences-{sequences}", lambda L: [
                L.Bidirectional(getattr(L, kind)(UNITS, return_sequences=sequences), merge_mode=merge)])
    one(box, "Bidirectional-Bidirectional", lambda L: [
        L.Bidirectional(L.LSTM(UNITS, return_sequences=True)), L.Bidirectional(L.GRU(UNITS))])


def embedding(box):
    for kind in KINDS:
        name = f"mask-Embedding-{kind}"
        x = ids(name, 8, *MASKED.shape)
        x[MASKED] = 0
        box.add(name, chain((STEPS,), lambda L: [L.Embedding(8, 5, mask_zero=True), getattr(L, kind)(UNITS)],
                            dtype="int32"), x, BOTH)


def passed_on(box):
    for name, layers in {
            "alone": lambda L: [],
            "Dense": lambda L: [L.Dense(4)],
            "Dropout": lambda L: [L.Dropout(0.3)],
            "SpatialDropout1D": lambda L: [L.SpatialDropout1D(0.3)],
            "GaussianNoise": lambda L: [L.GaussianNoise(0.3)],
            "Activation": lambda L: [L.Activation("tanh")],
            "LeakyReLU": lambda L: [L.LeakyReLU()],
            "PReLU": lambda L: [L.PReLU(shared_axes=[1])],
            "BatchNormalization": lambda L: [L.BatchNormalization()],
            "LayerNormalization": lambda L: [L.LayerNormalization()],
            "TimeDistributed": lambda L: [L.TimeDistributed(L.Dense(4, activation="tanh"))],
            "Masking": lambda L: [L.Dense(4), L.Masking(0.0)]}.items():
        one(box, f"through-{name}", lambda L: layers(L) + [L.LSTM(UNITS, return_sequences=True)])
    # What destroys it.
    for name, layers in {
            "Conv1D": lambda L: [L.Conv1D(4, 2, padding="causal")],
            "MaxPooling1D": lambda L: [L.MaxPooling1D(2, strides=1, padding="same")],
            "Reshape": lambda L: [L.Reshape((STEPS, WIDTH))],
            "Permute": lambda L: [L.Permute((2, 1))]}.items():
        one(box, f"lost-in-{name}", lambda L: layers(L) + [L.LSTM(UNITS, return_sequences=True)])


def used(box):
    some = len(MASKED) - 1  # the mean of no steps is no number
    one(box, "GlobalAveragePooling1D", lambda L: [L.GlobalAveragePooling1D()], some)
    one(box, "GlobalMaxPooling1D", lambda L: [L.GlobalMaxPooling1D()])
    one(box, "LSTM-GlobalAveragePooling1D", lambda L: [L.LSTM(UNITS, return_sequences=True),
                                                       L.GlobalAveragePooling1D(), L.Dense(2)], some)
    one(box, "LSTM-GlobalAveragePooling1D-keepdims", lambda L: [L.LSTM(UNITS, return_sequences=True),
                                                                L.GlobalAveragePooling1D(keepdims=True)], some)
    one(box, "Flatten", lambda L: [L.LSTM(UNITS, return_sequences=True), L.Flatten(), L.Dense(2)])
    one(box, "RepeatVector", lambda L: [L.LSTM(UNITS), L.RepeatVector(3), L.LSTM(UNITS, return_sequences=True)])
    one(box, "TimeDistributed", lambda L: [L.LSTM(UNITS, return_sequences=True), L.TimeDistributed(L.Dense(2))])


def branches(box):
    def add(L, x):
        return L.LSTM(UNITS)(L.Add()([x, L.LSTM(WIDTH, return_sequences=True)(x)]))

    def concatenate(L, x):
        return L.LSTM(UNITS)(L.Concatenate()([x, L.GRU(2, return_sequences=True)(x)]))

    def multiply(L, x):
        return L.LSTM(UNITS)(L.Multiply()([x, L.Dense(WIDTH, activation="sigmoid")(x)]))

    def add_two_masks(L, x):
        return L.LSTM(UNITS)(L.Add()([x, L.Masking(0.0)(L.Activation("relu")(L.Dense(WIDTH)(x)))]))

    def add_without(L, x):
        return L.LSTM(UNITS)(L.Add()([x, L.Conv1D(WIDTH, 2, padding="causal")(x)]))

    def concatenate_without(L, x):
        return L.LSTM(UNITS)(L.Concatenate()([x, L.Conv1D(WIDTH, 2, padding="causal")(x)]))

    def initial_state(L, x):
        _, *state = L.LSTM(UNITS, return_state=True)(x)
        return L.LSTM(UNITS, return_sequences=True)(x, initial_state=state)

    for wiring in (add, concatenate, multiply, add_two_masks, add_without, concatenate_without, initial_state):
        name = "mask-branch-" + wiring.__name__
        build = graph((STEPS, WIDTH), lambda L, x: wiring(L, L.Masking(MASK_VALUE)(x)))
        box.add(name, build, masked_input(name), BOTH)


def stateful(box):
    for kind, sequences in itertools.product(KINDS, (False, True)):
        name = f"mask-stateful-{kind}-sequences-{sequences}"
        build = chain((3, WIDTH), lambda L: [L.Masking(MASK_VALUE), getattr(L, kind)(
            UNITS, return_sequences=sequences, stateful=True)], batch=3)
        box.add(name, build, masked_input(name, MASKED_CALLS), BOTH, calls=3)
    name = "mask-stateful-LSTM-GRU-Dense"
    build = chain((3, WIDTH), lambda L: [
        L.Masking(MASK_VALUE), L.LSTM(UNITS, return_sequences=True, stateful=True),
        L.GRU(UNITS, return_sequences=True, stateful=True), L.Dense(2)], batch=3)
    box.add(name, build, masked_input(name, MASKED_CALLS), BOTH, calls=3, reset_rows=[(2, 0)])


def write(box):
    for family in (recurrent, bidirectional, embedding, passed_on, used, branches, stateful):
        family(box)
