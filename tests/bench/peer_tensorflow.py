"""TensorFlow as a peer: Keras' stateful LSTM and GRU in a tf.function, one step a call; LSTM over a window."""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf  # noqa: E402

import peer  # noqa: E402

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


def make_case(row):
    shape = peer.shape(row)
    if row["precision"] != "f32":
        raise peer.NotHad("not measured")
    layer = tf.keras.layers.GRU if shape["is_gru"] else tf.keras.layers.LSTM
    carried = shape["steps"] == 1
    model = tf.keras.Sequential([tf.keras.Input(batch_shape=(shape["batch"], shape["steps"], shape["inputs"]))])
    for i in range(shape["layers"]):
        last = i == shape["layers"] - 1
        model.add(layer(shape["hidden"], stateful=carried, unroll=carried, return_sequences=not last))
    if shape["outputs"]:
        model.add(tf.keras.layers.Dense(shape["outputs"]))
    x = tf.random.uniform((shape["batch"], shape["steps"], shape["inputs"]))
    call = tf.function(lambda x: model(x, training=False)).get_concrete_function(x)

    def work():
        call(x)
        return shape["batch"]

    return work


peer.serve(make_case)
