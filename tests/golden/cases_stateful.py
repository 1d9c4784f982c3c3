"""Stateful models over three calls: the state carried, reset before a call, and one row of it set to zero."""
import itertools

from cases_recurrent import KINDS
from golden_box import BOTH, chain, graph, ids, uniform

ROWS, WIDTH, UNITS = 3, 2, 4
RESETS = {
    "carried": {},
    "reset": {"reset_before": [1]},
    "one-slot-reset": {"reset_rows": [(1, 0), (2, 2)]},
}


def calls(box, name, layers, resets=("carried",), steps=4):
    for reset in resets:
        build = chain((steps, WIDTH), layers, batch=ROWS)
        box.add(f"stateful-{name}-{reset}", build, uniform(name, ROWS, 3 * steps, WIDTH), BOTH, calls=3,
                **RESETS[reset])


def write(box):
    for kind, sequences in itertools.product(KINDS, (False, True)):
        calls(box, f"{kind}-sequences-{sequences}", lambda L: [
            getattr(L, kind)(UNITS, return_sequences=sequences, stateful=True)], RESETS)
    for kind in KINDS:
        calls(box, f"{kind}-one-step", lambda L: [getattr(L, kind)(UNITS, stateful=True)], RESETS, steps=1)
        calls(box, f"{kind}-{kind}-Dense", lambda L: [
            getattr(L, kind)(5, return_sequences=True, stateful=True), getattr(L, kind)(UNITS, stateful=True),
            L.Dense(1)], RESETS)
        calls(box, f"{kind}-backwards", lambda L: [
            getattr(L, kind)(UNITS, return_sequences=True, go_backwards=True, stateful=True)])
    calls(box, "GRU-reset_after-False", lambda L: [L.GRU(UNITS, reset_after=False, stateful=True)], RESETS)
    calls(box, "RNN-cells", lambda L: [
        L.RNN([L.LSTMCell(5), L.GRUCell(UNITS)], return_sequences=True, stateful=True)], RESETS)
    calls(box, "Bidirectional", lambda L: [L.Bidirectional(L.LSTM(UNITS, return_sequences=True, stateful=True))])
    # Only the first of them carries its state.
    calls(box, "LSTM-and-LSTM-not-stateful", lambda L: [
        L.LSTM(UNITS, return_sequences=True, stateful=True), L.LSTM(UNITS, return_sequences=True)], RESETS)
    calls(box, "encoder-decoder", lambda L: [
        L.LSTM(UNITS, stateful=True), L.RepeatVector(3), L.LSTM(UNITS, return_sequences=True),
        L.TimeDistributed(L.Dense(2))], RESETS)
    calls(box, "causal-Conv1D-LSTM", lambda L: [
        L.Conv1D(4, 2, padding="causal"), L.LSTM(UNITS, return_sequences=True, stateful=True)])
    name = "stateful-LSTM-return_state"
    box.add(name, graph((4, WIDTH), lambda L, x: L.LSTM(
        UNITS, return_sequences=True, return_state=True, stateful=True)(x), batch=ROWS),
        uniform(name, ROWS, 12, WIDTH), BOTH, calls=3, reset_rows=[(1, 1)])
    name = "stateful-Embedding-GRU"
    box.add(name, chain((4,), lambda L: [L.Embedding(7, 3), L.GRU(UNITS, stateful=True)], batch=ROWS, dtype="int32"),
            ids(name, 7, ROWS, 12), BOTH, calls=3)
