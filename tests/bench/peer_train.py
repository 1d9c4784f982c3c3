"""PyTorch and Keras on TensorFlow as peers of bench_train.c, by the first argument: pytorch_train or keras_train. They
begin with the same weights and take the same batches. "losses N" asks for those of the first N steps."""
import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np

import peer

STEPS, INPUTS, ROWS, OUTPUTS, BATCHES = 60, 7, 64, 168, 4
RATE, EPSILON = 1e-3, 1e-7


def uniform(seed, n):
    """n numbers of engine/random from a seed, in [-1, 1)."""
    at = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9e3779b97f4a7c15)
    at = (at ^ (at >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
    at = (at ^ (at >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
    at = (at ^ (at >> np.uint64(31))) >> np.uint64(11)
    return (2 * (at * 2.0 ** -53) - 1).astype("float32")


def weights(hidden, layers):
    """Of each layer kernel, recurrent kernel and bias, then the head's; as Keras has them."""
    shapes = []
    for layer in range(layers):
        shapes += [(hidden if layer else INPUTS, 4 * hidden), (hidden, 4 * hidden), (4 * hidden,)]
    shapes += [(hidden, OUTPUTS), (OUTPUTS,)]
    drawn = uniform(1, sum(int(np.prod(shape)) for shape in shapes)) * np.float32(hidden ** -0.5)
    arrays = []
    for shape in shapes:
        n = int(np.prod(shape))
        arrays.append(drawn[:n].reshape(shape))
        drawn = drawn[n:]
    return arrays


def batches():
    """x [batches x rows x steps x inputs], drawn with the steps before the rows; answers [batches x rows x outputs]."""
    x = uniform(2, BATCHES * STEPS * ROWS * INPUTS).reshape(BATCHES, STEPS, ROWS, INPUTS)
    answers = uniform(3, BATCHES * ROWS * OUTPUTS).reshape(BATCHES, ROWS, OUTPUTS)
    return np.ascontiguousarray(x.swapaxes(1, 2)), answers


class Torch:
    def __init__(self, hidden, layers):
        import torch
        torch.set_num_threads(1)
        self.torch = torch
        self.lstm = torch.nn.LSTM(INPUTS, hidden, layers)  # takes the steps first, which is its quickest form
        self.head = torch.nn.Linear(hidden, OUTPUTS)
        arrays = weights(hidden, layers)
        with torch.no_grad():
            for layer in range(layers):
                for name, value in zip(("weight_ih", "weight_hh", "bias_ih"), arrays[3 * layer:]):
                    getattr(self.lstm, f"{name}_l{layer}").copy_(torch.from_numpy(value.T.copy()))
                # Keras has one bias for both products: this one stays zero, and is not trained
                getattr(self.lstm, f"bias_hh_l{layer}").zero_().requires_grad_(False)
            self.head.weight.copy_(torch.from_numpy(arrays[-2].T.copy()))
            self.head.bias.copy_(torch.from_numpy(arrays[-1]))
        trained = [p for module in (self.lstm, self.head) for p in module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=RATE, eps=EPSILON, fused=True)  # its quickest form
        x, answers = batches()
        self.x = [torch.from_numpy(b.swapaxes(0, 1).copy()) for b in x]
        self.answers = [torch.from_numpy(b) for b in answers]
        self.made = 0

    def step(self, batch):
        self.optimizer.zero_grad()
        y, _ = self.lstm(self.x[batch])
        loss = self.torch.nn.functional.mse_loss(self.head(y[-1]), self.answers[batch])
        loss.backward()
        self.made += 1
        for group in self.optimizer.param_groups:  # Keras' epsilon stands beside the root before its correction
            group["eps"] = EPSILON / (1 - 0.999 ** self.made) ** 0.5
        self.optimizer.step()
        return loss.detach()


class Keras:
    def __init__(self, hidden, layers):
        import keras
        import tensorflow as tf
        model = keras.Sequential([keras.Input((STEPS, INPUTS))]
                                 + [keras.layers.LSTM(hidden, return_sequences=i < layers - 1) for i in range(layers)]
                                 + [keras.layers.Dense(OUTPUTS)])
        model.set_weights(weights(hidden, layers))
        optimizer = keras.optimizers.Adam(RATE, epsilon=EPSILON)
        optimizer.build(model.trainable_variables)
        x, answers = (tf.constant(array) for array in batches())

        @tf.function
        def step(batch):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(x[batch], training=True) - answers[batch]) ** 2)
            optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
            return loss

        self.tf_step, self.constant = step, tf.constant

    def step(self, batch):
        return self.tf_step(self.constant(batch))


class Training:
    def __init__(self, new):
        self.new, self.network, self.made = new, new(), 0

    def __call__(self):
        self.network.step(self.made % BATCHES)
        self.made += 1
        return STEPS * ROWS

    def ask(self, line):
        network = self.new()
        return " ".join(f"{float(network.step(i % BATCHES)):.9g}" for i in range(int(line.split()[1])))


def make_case(row):
    if row["bench"] != "train":
        raise peer.NotHad("not measured")
    return Training(lambda: PEERS[sys.argv[1]](row["hidden"], row["layers"]))


PEERS = {"pytorch_train": Torch, "keras_train": Keras}
peer.serve(make_case)
