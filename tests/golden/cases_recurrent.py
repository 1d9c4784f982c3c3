"""LSTM, GRU and SimpleRNN alone: every option and activation; Bidirectional, RNN of cells, initial states."""
import itertools

from golden_box import BOTH, K2, K2_KERAS, K3, K3_H5, chain, graph, uniform

ACTIVATIONS = ("tanh", "sigmoid", "hard_sigmoid", "relu", "softsign", "softplus", "elu", "selu", "linear", "swish",
               "gelu", "exponential", "softmax")
UNBOUNDED = {"relu": 0.3, "softplus": 0.3, "elu": 0.3, "selu": 0.3, "linear": 0.3, "swish": 0.3, "gelu": 0.3,
             "exponential": 0.15}  # the scale of weights that keeps them tame
KINDS = ("LSTM", "GRU", "SimpleRNN")
ROWS, STEPS, WIDTH, UNITS = 3, 6, 3, 4


def alone(box, name, kind, files=BOTH, scale=0.8, **options):
    build = chain((STEPS, WIDTH), lambda L: [getattr(L, kind)(UNITS, **options)])
    box.add(name, build, uniform(name, ROWS, STEPS, WIDTH), files, scale)


def returns(box):
    for kind, sequences, state in itertools.product(KINDS, (False, True), (False, True)):
        name = f"{kind}-sequences-{sequences}-state-{state}"
        build = graph((STEPS, WIDTH), lambda L, x: getattr(L, kind)(
            UNITS, return_sequences=sequences, return_state=state)(x))
        box.add(name, build, uniform(name, ROWS, STEPS, WIDTH), BOTH)


def activations(box):
    for kind, activation in itertools.product(KINDS, ACTIVATIONS):
        scale = UNBOUNDED.get(activation, 0.8)
        files = (K3, K2, K3_H5, K2_KERAS) if activation == "hard_sigmoid" else BOTH
        alone(box, f"{kind}-activation-{activation}", kind, files, scale, activation=activation)
        if kind != "SimpleRNN":
            alone(box, f"{kind}-gates-{activation}", kind, files, scale, recurrent_activation=activation)


def options(box):
    for kind in KINDS:
        alone(box, f"{kind}-use_bias-False", kind, use_bias=False)
        alone(box, f"{kind}-unroll", kind, unroll=True, return_sequences=True)
        alone(box, f"{kind}-go_backwards", kind, go_backwards=True)
        alone(box, f"{kind}-go_backwards-sequences", kind, go_backwards=True, return_sequences=True)
        alone(box, f"{kind}-dropout", kind, dropout=0.3, recurrent_dropout=0.4, return_sequences=True)
        alone(box, f"{kind}-constraints", kind, kernel_regularizer="l2", bias_constraint="non_neg",
              recurrent_initializer="glorot_uniform")
    alone(box, "LSTM-unit_forget_bias-False", "LSTM", unit_forget_bias=False)
    alone(box, "LSTM-implementation-1", "LSTM", (K2,), implementation=1)
    alone(box, "GRU-implementation-1", "GRU", (K2,), implementation=1, reset_after=False)
    for bias, sequences in itertools.product((True, False), (True, False)):
        name = f"GRU-reset_after-False-use_bias-{bias}-sequences-{sequences}"
        alone(box, name, "GRU", reset_after=False, use_bias=bias, return_sequences=sequences)
    alone(box, "GRU-reset_after-False-backwards-hard_sigmoid", "GRU", (K3, K2), reset_after=False, go_backwards=True,
          recurrent_activation="hard_sigmoid", activation="relu", scale=0.4)
    alone(box, "GRU-reset_after-True-use_bias-False-backwards", "GRU", use_bias=False, go_backwards=True,
          return_sequences=True)


def bidirectional(box):
    def one(name, merge, layer, files=BOTH):
        build = chain((STEPS, WIDTH), lambda L: [L.Bidirectional(layer(L), merge_mode=merge)])
        box.add(name, build, uniform(name, ROWS, STEPS, WIDTH), files)

    for kind, merge, sequences in itertools.product(KINDS, ("concat", "sum", "mul", "ave"), (False, True)):
        one(f"Bidirectional-{kind}-{merge}-sequences-{sequences}", merge,
            lambda L: getattr(L, kind)(UNITS, return_sequences=sequences))
    one("Bidirectional-GRU-reset_after-False", "concat", lambda L: L.GRU(UNITS, reset_after=False))
    one("Bidirectional-LSTM-hard_sigmoid-no-bias", "concat",
        lambda L: L.LSTM(UNITS, recurrent_activation="hard_sigmoid", use_bias=False, return_sequences=True),
        (K3, K2, K3_H5, K2_KERAS))
    one("Bidirectional-of-RNN-of-LSTMCell", "concat", lambda L: L.RNN(L.LSTMCell(UNITS), return_sequences=True))
    for kind in KINDS:
        name = f"Bidirectional-{kind}-return_state"
        build = graph((STEPS, WIDTH), lambda L, x: L.Bidirectional(
            getattr(L, kind)(UNITS, return_state=True, return_sequences=True))(x))
        box.add(name, build, uniform(name, ROWS, STEPS, WIDTH), BOTH)


def cells(box):
    def one(name, make_cells, files=BOTH, **options):
        def outputs(L, x):
            return L.RNN(make_cells(L), **options)(x)

        box.add(name, graph((STEPS, WIDTH), outputs), uniform(name, ROWS, STEPS, WIDTH), files)

    for kind in KINDS:
        one(f"RNN-{kind}Cell", lambda L: getattr(L, kind + "Cell")(UNITS))
        one(f"RNN-{kind}Cell-sequences-state", lambda L: getattr(L, kind + "Cell")(UNITS),
            return_sequences=True, return_state=True)
    one("RNN-GRUCell-reset_after-False", lambda L: L.GRUCell(UNITS, reset_after=False, recurrent_dropout=0.2))
    one("RNN-LSTMCell-backwards", lambda L: L.LSTMCell(UNITS, recurrent_activation="hard_sigmoid"), (K3, K2),
        go_backwards=True, return_sequences=True)
    one("RNN-StackedRNNCells-LSTM", lambda L: [L.LSTMCell(5), L.LSTMCell(4)], return_sequences=True)
    one("RNN-StackedRNNCells-explicit", lambda L: L.StackedRNNCells([L.GRUCell(5), L.GRUCell(3)]))
    one("RNN-StackedRNNCells-mixed", lambda L: [L.LSTMCell(5), L.GRUCell(4, reset_after=False), L.SimpleRNNCell(3)],
        return_sequences=True)
    one("RNN-StackedRNNCells-mixed-state", lambda L: [L.LSTMCell(5), L.GRUCell(4), L.SimpleRNNCell(3)],
        return_state=True)
    one("RNN-StackedRNNCells-backwards", lambda L: [L.SimpleRNNCell(5), L.LSTMCell(4)], go_backwards=True,
        return_sequences=True)


def initial_states(box):
    def repeated(L, x, kind):
        y, *state = getattr(L, kind)(UNITS, return_state=True)(x)
        return getattr(L, kind)(UNITS, return_sequences=True)(L.RepeatVector(5)(y), initial_state=state)

    def same_input(L, x, kind):
        _, *state = getattr(L, kind)(UNITS, return_state=True)(x)
        return getattr(L, kind)(UNITS)(x, initial_state=state)

    def all_outputs(L, x, kind):
        _, *state = getattr(L, kind)(UNITS, return_state=True, return_sequences=True)(x)
        return getattr(L, kind)(UNITS, return_sequences=True, return_state=True, go_backwards=True)(
            x, initial_state=state)

    def dense_state(L, x, kind):
        state = [L.Dense(UNITS, activation="tanh")(L.GlobalAveragePooling1D()(x))
                 for _ in range(2 if kind == "LSTM" else 1)]
        return getattr(L, kind)(UNITS, return_sequences=True)(x, initial_state=state)

    for kind, wiring in itertools.product(KINDS, (repeated, same_input, all_outputs, dense_state)):
        name = f"{kind}-initial_state-{wiring.__name__}"
        build = graph((STEPS, WIDTH), lambda L, x: wiring(L, x, kind))
        box.add(name, build, uniform(name, ROWS, STEPS, WIDTH), BOTH)


def write(box):
    for family in (returns, activations, options, bidirectional, cells, initial_states):
        family(box)
