"""Keras' stateful training: NAME is the model before, NAME.after the model after EPOCHS epochs, NAME.npz series
[streams x steps x features] and batch. As many streams as a batch has rows are trained together, CHUNKS chunks of UNROLL
steps one after another, the states carried; then they are reset, and the next streams follow. Where the last ones do not
fill the batch, the other rows weigh nothing. An answer is the first feature at the next two steps."""
import keras
import numpy as np

from cases_recurrent import KINDS
from golden_box import K3, chain, states_of, uniform

UNROLL, CHUNKS, HORIZON, WIDTH, EPOCHS, REST = 5, 4, 2, 2, 2, 7
STEPS = UNROLL * CHUNKS + REST + HORIZON


def reset(model):
    for state in states_of(model):
        state.assign(np.zeros(state.shape, "float32"))


def fit(box, name, layers, streams, batch):
    file = K3
    model = box.new_model(name, file, chain((UNROLL, WIDTH), layers, batch=batch), 0.8)
    box.save(f"{name}.{file}", model)
    series = uniform(name, streams, STEPS, WIDTH)
    y = np.stack([series[:, h:STEPS - HORIZON + h, 0] for h in range(1, HORIZON + 1)], axis=-1)
    loss = keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")
    model.compile(keras.optimizers.SGD(learning_rate=0.1, momentum=0.9), loss=loss, jit_compile=False)
    for _ in range(EPOCHS):
        for first in range(0, streams, batch):
            rows = [min(first + row, streams - 1) for row in range(batch)]
            weight = np.array([first + row < streams for row in range(batch)], "float32")
            reset(model)
            for chunk in range(CHUNKS):
                steps = slice(chunk * UNROLL, (chunk + 1) * UNROLL)
                model.train_on_batch(series[rows, steps], y[rows, steps],
                                     sample_weight=np.repeat(weight[:, None], UNROLL, axis=1))
    reset(model)
    after = box.new_model(name, file, chain((UNROLL, WIDTH), layers, batch=batch), 0.8)
    after.set_weights(model.get_weights())
    box.save(f"{name}.after.{file}", after)
    box.write_npz(f"{name}.{file}", series=series, batch=np.int32(batch))


def write(box):
    for kind in KINDS:
        for streams, batch in ((3, 3), (5, 2)):
            fit(box, f"{kind}-{streams}-streams-by-{batch}", lambda L: [
                getattr(L, kind)(4, stateful=True, return_sequences=True), L.Dense(HORIZON)], streams, batch)
    fit(box, "LSTM-GRU", lambda L: [
        L.LSTM(5, stateful=True, return_sequences=True), L.GRU(4, stateful=True, return_sequences=True),
        L.Dense(HORIZON)], 4, 3)
