"""Whole models, as people build them for time series and sequences."""
import numpy as np

from golden_box import BOTH, K2, K2_KERAS, K3, K3_H5, as_list, chain, graph, ids, uniform

ALL = (K3, K3_H5, K2, K2_KERAS)


# ---- (a) to (h), as plain files ------------------------------------------------------------------


def write_named(box):
    """The eight that every part of the project is tried on; their letters are their names' first."""

    def one(name, shape, layers, x, batch=None, dtype="float32", **how):
        box.add(name, chain(shape, layers, batch, dtype), x, BOTH, **how)

    one("a-LSTM-Dense-sigmoid", (12, 3), lambda L: [L.LSTM(8), L.Dense(1, activation="sigmoid")],
        uniform("a", 4, 12, 3))
    one("b-stateful-LSTM-1-1-1", (1, 1), lambda L: [L.LSTM(4, stateful=True), L.Dense(1)], uniform("b", 1, 10, 1),
        batch=1, calls=10)
    one("c-TimeDistributed-Dense-LSTM", (8, 3), lambda L: [
        L.TimeDistributed(L.Dense(5, activation="relu")), L.LSTM(6), L.Dense(1)], uniform("c", 4, 8, 3))
    one("d-Embedding-LSTM", (10,), lambda L: [
        L.Embedding(20, 6), L.LSTM(6), L.Dense(1, activation="sigmoid")], ids("d", 20, 4, 10), dtype="int32")
    one("e-Embedding-Bidirectional-LSTM", (10,), lambda L: [
        L.Embedding(20, 6), L.Bidirectional(L.LSTM(5)), L.Dropout(0.5), L.Dense(1, activation="sigmoid")],
        ids("e", 20, 4, 10), dtype="int32")
    for pooling in ("GlobalAveragePooling1D", "GlobalMaxPooling1D"):
        one(f"e-Embedding-Bidirectional-LSTM-{pooling}", (10,), lambda L: [
            L.Embedding(20, 6), L.Bidirectional(L.LSTM(5, return_sequences=True)), getattr(L, pooling)(),
            L.Dense(6, activation="relu"), L.Dropout(0.3), L.Dense(3, activation="softmax")],
            ids("e" + pooling, 20, 4, 10), dtype="int32")
    one("f-stacked-stateful-LSTM", (3, 2), lambda L: [
        L.LSTM(6, return_sequences=True, stateful=True), L.LSTM(5, stateful=True), L.Dense(4, activation="relu"),
        L.Dense(1)], uniform("f", 2, 12, 2), batch=2, calls=4)
    one("g-LSTM-autoencoder", (9, 2), lambda L: [
        L.LSTM(6), L.RepeatVector(9), L.LSTM(6, return_sequences=True), L.TimeDistributed(L.Dense(2))],
        uniform("g", 4, 9, 2))
    generators(box)


def generators(box):
    """(h) Fed a start of several steps, one in a call, then its own output as the next input: npz key "generated",
    [rows x steps x width] or the ids [rows x steps], the first of it being the output after the start."""
    for file in BOTH:
        name = f"h-generator.{file}"
        model = box.new_model("h-generator", file, chain((1, 1), lambda L: [
            L.LSTM(8, stateful=True), L.Dense(1, activation="tanh")], batch=2), 1.2)
        feed_back(box, name, model, uniform("h", 2, 6, 1), lambda y: y[:, None, :], 20)
        name = f"h-text-generator.{file}"
        model = box.new_model("h-text-generator", file, chain((1,), lambda L: [
            L.Embedding(12, 5), L.LSTM(8, stateful=True), L.Dense(12, activation="softmax")],
            batch=2, dtype="int32"), 2)
        feed_back(box, name, model, ids("h-text", 12, 2, 6), lambda y: y.argmax(axis=-1)[:, None].astype("int32"), 30)


def feed_back(box, name, model, start, to_input, steps):
    box.save(name, model)
    y = [as_list(model.predict(start[:, i:i + 1], verbose=0))[0] for i in range(start.shape[1])]
    fed = [to_input(y[-1])]
    while len(fed) < steps:
        fed.append(to_input(model.predict(fed[-1], verbose=0)))
    calls = np.int32(start.shape[1])
    box.write_npz(name, x=start, y=np.stack(y), stateful=np.int32(1), calls=calls,
                  generated=np.concatenate(fed, axis=1))


# ---- the others ----------------------------------------------------------------------------------


def forecasters(box, one):
    one("airline-LSTM-4", (1, 1), lambda L: [L.LSTM(4), L.Dense(1)])
    one("GRU-many-to-one", (12, 1), lambda L: [L.GRU(8), L.Dense(1)])
    one("LSTM-many-to-many", (10, 3), lambda L: [
        L.LSTM(7, return_sequences=True), L.LSTM(5, return_sequences=True), L.TimeDistributed(L.Dense(2))])
    one("SimpleRNN-classifier", (9, 4), lambda L: [
        L.SimpleRNN(8, return_sequences=True), L.SimpleRNN(6), L.Dense(3, activation="softmax")])
    one("direct-horizons", (12, 2), lambda L: [
        L.LSTM(6), L.Dense(8, activation="relu"), L.Dense(12), L.Reshape((6, 2))])
    one("stacked-LSTM-Dropout", (10, 2), lambda L: [
        L.LSTM(8, return_sequences=True, dropout=0.2), L.Dropout(0.2), L.LSTM(6, recurrent_dropout=0.2),
        L.Dropout(0.2), L.Dense(1)])
    one("old-Keras-LSTM", (10, 3), lambda L: [
        L.LSTM(6, recurrent_activation="hard_sigmoid", activation="relu", return_sequences=True),
        L.LSTM(5, recurrent_activation="hard_sigmoid"), L.Dense(1, activation="hard_sigmoid")], ALL, scale=0.4)
    one("old-Keras-GRU", (10, 3), lambda L: [
        L.GRU(6, recurrent_activation="hard_sigmoid", reset_after=False, return_sequences=True),
        L.GRU(5, recurrent_activation="hard_sigmoid", reset_after=False), L.Dense(1)], ALL)
    one("RNN-of-stacked-cells", (8, 3), lambda L: [L.RNN([L.LSTMCell(6), L.LSTMCell(5)]), L.Dense(2)])
    one("backwards-forecaster", (8, 3), lambda L: [
        L.GRU(6, go_backwards=True, return_sequences=True), L.SimpleRNN(5, go_backwards=True), L.Dense(1)])
    one("normalized-LSTM", (8, 3), lambda L: [
        L.BatchNormalization(), L.LSTM(6, return_sequences=True), L.BatchNormalization(), L.LSTM(5),
        L.BatchNormalization(), L.Dense(1)])
    one("normalized-GRU", (8, 3), lambda L: [
        L.LayerNormalization(), L.GRU(6, return_sequences=True), L.LayerNormalization(), L.GRU(5),
        L.LayerNormalization(), L.Dense(1)])
    one("wider", (8, 8), lambda L: [
        L.LSTM(17, return_sequences=True), L.GRU(16, return_sequences=True), L.SimpleRNN(19), L.Dense(3)], scale=0.4)
    one("heads-of-all-activations", (8, 3), lambda L: [
        L.LSTM(8), L.Dense(8, activation="selu"), L.Dense(8, activation="gelu"), L.Dense(7, activation="swish"),
        L.Dense(6, activation="elu"), L.Dense(5, activation="softplus"), L.Dense(4, activation="softsign"),
        L.Dense(2)])
    one("window-perceptron", (12, 2), lambda L: [
        L.Flatten(), L.Dense(8), L.PReLU(), L.Dropout(0.3), L.Dense(6), L.LeakyReLU(), L.Dense(3)])
    one("perceptron", (5,), lambda L: [L.Dense(8, activation="relu"), L.Dense(4, activation="tanh"), L.Dense(1)])
    one("one-to-many", (4,), lambda L: [
        L.Dense(6, activation="tanh"), L.RepeatVector(7), L.GRU(6, return_sequences=True),
        L.TimeDistributed(L.Dense(2))])


def convolutional(box, one):
    one("Conv1D-LSTM", (16, 2), lambda L: [
        L.Conv1D(6, 3, activation="relu"), L.MaxPooling1D(2), L.LSTM(6), L.Dense(1)])
    one("causal-Conv1D-LSTM", (12, 2), lambda L: [
        L.Conv1D(6, 3, padding="causal", activation="relu"), L.LSTM(6, return_sequences=True), L.LSTM(5), L.Dense(1)])
    one("Conv1D-Bidirectional-GRU", (16, 2), lambda L: [
        L.Conv1D(6, 5, padding="same", activation="relu"), L.BatchNormalization(), L.MaxPooling1D(3),
        L.Bidirectional(L.GRU(5, return_sequences=True)), L.GlobalMaxPooling1D(), L.Dense(2, activation="softmax")])
    one("Conv1D-AveragePooling-GRU", (20, 2), lambda L: [
        L.Conv1D(5, 3, strides=2, padding="same"), L.Activation("relu"), L.AveragePooling1D(2),
        L.GRU(6, return_sequences=True), L.GRU(4), L.Dense(1)])
    one("Conv1D-autoencoder-of-windows", (12, 2), lambda L: [
        L.Conv1D(6, 3, padding="same", activation="relu"), L.MaxPooling1D(2, padding="same"), L.Flatten(), L.Dense(5),
        L.Dense(24), L.Reshape((12, 2))])


def sequences(box, one):
    words = {"dtype": "int32"}
    one("tagger", (10,), lambda L: [
        L.Embedding(20, 6, mask_zero=True), L.Bidirectional(L.LSTM(5, return_sequences=True)),
        L.TimeDistributed(L.Dense(4, activation="softmax"))], **words)
    one("text-classifier", (10,), lambda L: [
        L.Embedding(20, 6), L.SpatialDropout1D(0.2), L.LSTM(6, dropout=0.2, recurrent_dropout=0.2),
        L.Dense(3, activation="softmax")], **words)
    one("text-Conv1D", (10,), lambda L: [
        L.Embedding(20, 6), L.Conv1D(8, 3, activation="relu"), L.GlobalMaxPooling1D(),
        L.Dense(5, activation="relu"), L.Dense(1, activation="sigmoid")], **words)
    one("text-averages", (10,), lambda L: [
        L.Embedding(20, 6, mask_zero=True), L.GlobalAveragePooling1D(), L.Dense(5, activation="relu"),
        L.Dense(1, activation="sigmoid")], **words)
    one("stacked-Bidirectional", (10, 3), lambda L: [
        L.Bidirectional(L.LSTM(5, return_sequences=True), merge_mode="sum"),
        L.Bidirectional(L.GRU(4), merge_mode="ave"), L.Dense(1)])
    one("Bidirectional-autoencoder", (8, 3), lambda L: [
        L.Bidirectional(L.LSTM(4)), L.RepeatVector(8), L.Bidirectional(L.LSTM(4, return_sequences=True)),
        L.TimeDistributed(L.Dense(3))])
    one("deep-autoencoder", (8, 3), lambda L: [
        L.LSTM(8, activation="relu", return_sequences=True), L.LSTM(4, activation="relu"), L.RepeatVector(8),
        L.LSTM(4, activation="relu", return_sequences=True), L.LSTM(8, activation="relu", return_sequences=True),
        L.TimeDistributed(L.Dense(3))], scale=0.4)
    name = "masked-classifier"
    x = uniform(name, 3, 8, 3)
    x[0, 5:], x[1, :2], x[2, 3:5] = -10, -10, -10
    box.add(name, chain((8, 3), lambda L: [
        L.Masking(-10.0), L.LSTM(6, return_sequences=True), L.LSTM(5), L.Dense(3, activation="softmax")]), x, BOTH)


def branched(box, one):
    def encoder_decoder(L, x):
        y, *state = L.LSTM(6, return_state=True)(x)
        y = L.LSTM(6, return_sequences=True)(L.RepeatVector(5)(y), initial_state=state)
        return L.TimeDistributed(L.Dense(2))(y)

    def gru_encoder_decoder(L, x):
        y, state = L.GRU(6, return_state=True)(x)
        y = L.GRU(6, return_sequences=True)(L.RepeatVector(4)(L.Dense(3)(y)), initial_state=state)
        return L.Dense(1)(y)

    def deep_encoder_decoder(L, x):
        y, *first = L.LSTM(6, return_sequences=True, return_state=True)(x)
        y, *second = L.LSTM(5, return_state=True)(y)
        y = L.LSTM(6, return_sequences=True)(L.RepeatVector(4)(y), initial_state=first)
        return L.TimeDistributed(L.Dense(2))(L.LSTM(5, return_sequences=True)(y, initial_state=second))

    def residual(L, x):
        y = L.Dense(6)(x)
        for _ in range(2):
            y = L.Add()([y, L.LSTM(6, return_sequences=True)(y)])
        return L.Dense(1)(L.LSTM(4)(y))

    def forecast_and_class(L, x):
        y = L.LSTM(6, return_sequences=True)(x)
        y = L.LSTM(6)(y)
        return [L.Dense(4, name="forecast")(y), L.Dense(3, activation="softmax", name="regime")(y)]

    def wide_and_deep(L, x):
        y = L.Concatenate()([L.LSTM(5)(x), L.Dense(4, activation="relu")(L.Flatten()(x)),
                             L.GlobalAveragePooling1D()(x)])
        return L.Dense(1)(y)

    def gated(L, x):
        y = L.Multiply()([L.Dense(6, activation="tanh")(x), L.Dense(6, activation="sigmoid")(x)])
        return L.Dense(1)(L.GRU(6)(y))

    def dilated(L, x):
        y = L.Conv1D(6, 1)(x)
        for dilation in (1, 2, 4):
            inner = L.Conv1D(6, 2, padding="causal", dilation_rate=dilation, activation="relu")(y)
            y = L.Add()([y, L.SpatialDropout1D(0.1)(inner)])
        return L.Dense(1)(L.GlobalAveragePooling1D()(y))

    def gated_convolutions(L, x):
        skips, y = [], L.Conv1D(4, 2, padding="causal")(x)
        for dilation in (1, 2):
            gate = L.Multiply()([L.Conv1D(4, 2, padding="causal", dilation_rate=dilation, activation=a)(y)
                                 for a in ("tanh", "sigmoid")])
            skips.append(L.Conv1D(4, 1)(gate))
            y = L.Add()([y, skips[-1]])
        return L.Conv1D(1, 1)(L.Activation("relu")(L.Add()(skips)))

    def lstm_fcn(L, x):
        y = L.Conv1D(6, 5, padding="same")(x)
        y = L.GlobalAveragePooling1D()(L.Activation("relu")(L.BatchNormalization()(y)))
        z = L.Dropout(0.5)(L.LSTM(4)(L.Permute((2, 1))(x)))
        return L.Dense(3, activation="softmax")(L.Concatenate()([z, y]))

    def states_published(L, x):
        y, h, c = L.LSTM(5, return_state=True)(x)
        return [L.Dense(1)(y), h, c]

    def reconstruction_and_forecast(L, x):
        code = L.LSTM(6)(x)
        back = L.LSTM(6, return_sequences=True)(L.RepeatVector(10)(code))
        ahead = L.LSTM(6, return_sequences=True)(L.RepeatVector(4)(code))
        return [L.TimeDistributed(L.Dense(2))(back), L.TimeDistributed(L.Dense(2))(ahead)]

    def twice_the_same(L, x):
        layer = L.Bidirectional(L.GRU(4, return_sequences=True))
        return L.Dense(1)(L.GRU(4)(layer(L.Dense(8)(layer(x)))))

    for wiring in (encoder_decoder, gru_encoder_decoder, deep_encoder_decoder, residual, forecast_and_class,
                   wide_and_deep, gated, dilated, gated_convolutions, lstm_fcn, states_published,
                   reconstruction_and_forecast):
        name = wiring.__name__.replace("_", "-")
        box.add(name, graph((10, 2), wiring), uniform(name, 3, 10, 2), BOTH)
    box.add("twice-the-same", graph((10, 8), twice_the_same), uniform("twice-the-same", 3, 10, 8), BOTH)


def stateful(box):
    for name, shape, layers, calls in (
            ("stateful-GRU", (5, 2), lambda L: [L.GRU(6, stateful=True), L.Dense(1)], 3),
            ("stateful-SimpleRNN", (4, 2), lambda L: [
                L.SimpleRNN(6, return_sequences=True, stateful=True), L.TimeDistributed(L.Dense(1))], 3),
            ("stateful-mixed", (2, 3), lambda L: [
                L.LSTM(6, return_sequences=True, stateful=True), L.GRU(5, return_sequences=True, stateful=True),
                L.SimpleRNN(4, stateful=True), L.Dense(2)], 5),
            ("stateful-normalized", (1, 3), lambda L: [
                L.BatchNormalization(), L.LSTM(6, stateful=True), L.LayerNormalization(), L.Dense(2)], 6)):
        box.add(name, chain(shape, layers, batch=3), uniform(name, 3, shape[0] * calls, shape[1]), BOTH, calls=calls,
                reset_rows=[(2, 1)])
    box.add("stateful-characters", chain((4,), lambda L: [
        L.Embedding(15, 5), L.LSTM(8, return_sequences=True, stateful=True), L.Dense(15, activation="softmax")],
        batch=2, dtype="int32"), ids("stateful-characters", 15, 2, 12), BOTH, calls=3, reset_before=[2])


def write(box):
    def one(name, shape, layers, files=BOTH, dtype="float32", **how):
        x = ids(name, 20, 3, *shape) if dtype == "int32" else uniform(name, 3, *shape)
        box.add(name, chain(shape, layers, dtype=dtype), x, files, **how)

    for family in (forecasters, convolutional, sequences, branched):
        family(box, one)
    stateful(box)
