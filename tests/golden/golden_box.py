"""How a golden is written: a model file as Keras writes it, beside it what Keras gives for an input.

A box is a compressed tar of goldens, or a folder of them. A golden NAME is two files of it:

    NAME        the model; it ends with the Keras that wrote it and the format: .k3.keras, .k3.h5 (Keras 3), .k2.h5,
                .k2.keras (tf-keras, which is Keras 2)
    NAME.npz    x           the input: float32 [batch, time, features] or [batch, features], int32 [batch, time]
                            of ids
                y           what predict gives, or y0, y1, ... of several outputs
                calls       K, and stateful 1: the time axis of x is cut into K equal pieces, one predict for each
                            on a model whose state goes on; their outputs are stacked on a new first axis
                reset_before    calls before which all states are reset
                reset_rows      [n x 2]: before a call (first column) the state of one row (second) is set to zero
                architecture    1: NAME has weights only; NAME.json is the architecture
"""
import contextlib
import datetime
import lzma
import pathlib
import shutil
import tarfile
import tempfile
import time
import unittest.mock
import zlib

import keras
import numpy as np
import tensorflow as tf
import tf_keras

KERAS = {"k3": keras, "k2": tf_keras}
K3, K3_H5, K2, K2_KERAS = "k3.keras", "k3.h5", "k2.h5", "k2.keras"
BOTH = (K3, K2)


class FixedDate(datetime.datetime):
    """.keras files tell when they were saved; these are to be the same bytes every time."""

    @classmethod
    def now(cls, tz=None):
        return cls(2026, 1, 1, tzinfo=tz)


class Numbers:
    """Instead of id(): files number the objects that are shared in them."""

    def __init__(self):
        self.seen = []

    def __call__(self, thing):
        if not any(thing is one for one in self.seen):
            self.seen.append(thing)
        return next(i for i, one in enumerate(self.seen) if thing is one)


@contextlib.contextmanager
def reproducible():
    numbers = Numbers()
    with (unittest.mock.patch("datetime.datetime", FixedDate),
          unittest.mock.patch("time.localtime", lambda seconds=0: time.struct_time((2026, 1, 1, 0, 0, 0, 3, 1, 0))),
          unittest.mock.patch.object(keras.src.saving.serialization_lib, "id", numbers, create=True),
          unittest.mock.patch.object(tf_keras.src.saving.serialization_lib, "id", numbers, create=True)):
        yield


def randomize(model, rng, scale):
    """Weights without a pattern: uniform in [-scale, scale]; what multiplies (gamma, a variance) is around one."""
    for weight in model.weights:
        name = weight.name.split("/")[-1].split(":")[0]
        low, high = {"gamma": (0.5, 1.5), "moving_variance": (0.5, 2)}.get(name, (-scale, scale))
        weight.assign(rng.uniform(low, high, weight.shape).astype("float32"))


def recurrent_layers(model):
    for layer in model.layers:
        for part in (layer, getattr(layer, "forward_layer", None), getattr(layer, "backward_layer", None)):
            if hasattr(part, "cell"):
                yield part


def states_of(model):
    return [state for layer in recurrent_layers(model) if layer.stateful for state in tf.nest.flatten(layer.states)]


def as_list(y):
    return [np.asarray(v) for v in tf.nest.flatten(y)]


def predict(model, x, calls=1, reset_before=(), reset_rows=()):
    """The outputs; with calls, stacked."""
    results = []
    for call, piece in enumerate(np.split(x, calls, axis=1) if calls > 1 else [x]):
        for state in states_of(model) if call in reset_before else ():
            state.assign(np.zeros(state.shape, "float32"))
        for at, row in reset_rows:
            for state in states_of(model) if at == call else ():
                value = np.array(state)
                value[row] = 0
                state.assign(value)
        results.append(as_list(model.predict(piece, verbose=0, batch_size=len(piece))))
    return [np.stack(y) if calls > 1 else y[0] for y in zip(*results)]


class Box:
    def __init__(self, path):
        self.path = path
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.names = set()

    def new_model(self, name, file, build, scale):
        """The model of build(k) for the kind of file, its random weights drawn from the name."""
        k = KERAS[file[:2]]
        keras.utils.clear_session()
        tf_keras.backend.clear_session()
        model = build(k)
        randomize(model, np.random.default_rng(zlib.crc32(name.encode())), scale)
        return model

    def add(self, name, build, x, files=(K3,), scale=0.8, **how):
        """build(k) makes the model with Keras k; x: the input. how: see predict."""
        for file in files:
            model = self.new_model(name, file, build, scale)
            self.save(f"{name}.{file}", model)
            self.add_arrays(f"{name}.{file}", model, x, **how)

    def add_arrays(self, name, model, x, more=None, **how):
        """What the model of that name gives; more: further arrays."""
        y = predict(model, x, **how)
        for value in y:
            assert np.isfinite(value).all() and 1e-3 < np.abs(value).max() < 1e3, f"{name}: {np.abs(value).max()}"
        arrays = {"x": x, "y": y[0]} if len(y) == 1 else {"x": x, **{f"y{i}": v for i, v in enumerate(y)}}
        if how:
            arrays["stateful"] = np.int32(1)
        for key, value in how.items():
            arrays[key] = np.array(value, "int32")
        self.write_npz(name, **arrays, **(more or {}))

    def save(self, name, model, include_optimizer=False):
        """As Keras does it; a model that was not compiled has no optimizer anyway."""
        options = {"include_optimizer": include_optimizer} if name.endswith(".h5") else {}
        with reproducible():
            model.save(self.reserve(name), **options)

    def reserve(self, name):
        assert name not in self.names, name
        self.names.add(name)
        return self.folder / name

    def write_npz(self, name, **arrays):
        np.savez(self.reserve(name + ".npz"), **arrays)

    def close(self):
        """Writes the box: a tar where its path ends so, else a folder."""
        if self.path.suffix == ".xz":
            with tarfile.open(self.path, "w:xz", preset=9 | lzma.PRESET_EXTREME) as box:
                for name in sorted(self.names):
                    member = tarfile.TarInfo(name)
                    member.size = (self.folder / name).stat().st_size
                    with open(self.folder / name, "rb") as data:
                        box.addfile(member, data)
        else:
            self.path.mkdir(exist_ok=True)
            for path in self.path.iterdir():
                path.unlink()
            for name in self.names:
                shutil.copyfile(self.folder / name, self.path / name)
        shutil.rmtree(self.folder)


# ---- short words for the cases -------------------------------------------------------------------


def uniform(name, *shape):
    return np.random.default_rng(zlib.crc32(b"x" + name.encode())).uniform(-2, 2, shape).astype("float32")


def ids(name, vocabulary, *shape):
    return np.random.default_rng(zlib.crc32(b"x" + name.encode())).integers(0, vocabulary, shape).astype("int32")


def chain(shape, layers, batch=None, dtype="float32"):
    """build() of a Sequential model; shape: of a sample; layers(L): its layers, from the module L."""
    return lambda k: k.Sequential([k.Input(batch_shape=(batch, *shape), dtype=dtype)] + layers(k.layers))


def graph(shape, outputs, batch=None, dtype="float32"):
    """build() of a Functional model; outputs(L, x): a tensor or a list of them."""

    def build(k):
        x = k.Input(batch_shape=(batch, *shape), dtype=dtype)
        return k.Model(x, outputs(k.layers, x))

    return build
