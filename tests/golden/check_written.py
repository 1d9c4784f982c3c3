"""Real Keras against the files that build/tests/golden/write_models wrote: it loads each, and predicts what this engine says.

Usage: check_written.py FOLDER keras|tf_keras. Exits with 1 where an error is above 1e-5 of an output's scale.
"""

import glob
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

TOLERANCE = 1e-5


def forget(model):
    """Zero states, by layer: tf-keras and Keras 3 differ in what models have."""
    for layer in model.layers:
        if getattr(layer, "stateful", False) and hasattr(layer, "reset_states"):
            layer.reset_states()
        elif getattr(layer, "stateful", False):
            layer.reset_state()


def predict(model, x):
    """Outputs of the whole batch. A stateful model is written for a batch of one."""
    if model.input_shape[0] is None:
        y = model.predict(x, verbose=0)
        return y if isinstance(y, list) else [y]
    rows = []
    for row in x:
        forget(model)
        y = model.predict(row[None], batch_size=1, verbose=0)
        rows.append(y if isinstance(y, list) else [y])
    return [np.concatenate(parts) for parts in zip(*rows)]


def check(load, path):
    stem = os.path.splitext(path)[0]
    model = load(path)
    x = np.load(stem + ".x.npy")
    ys = predict(model, x)
    worst = 0.0
    expected = sorted(glob.glob(stem + ".y*.npy"))
    if len(expected) != len(ys):
        raise ValueError(f"{len(ys)} outputs, not {len(expected)}")
    for name, y in zip(expected, ys):
        mine = np.load(name)
        if mine.shape != y.shape:
            raise ValueError(f"shape {y.shape}, not {mine.shape}")
        worst = max(worst, float(np.max(np.abs(mine - y)) / np.max(np.abs(y))))
    return worst


def main():
    folder, which = sys.argv[1:]
    if which == "keras":
        import keras

        load, paths = keras.saving.load_model, glob.glob(folder + "/*.keras")
    else:
        import tf_keras

        load, paths = tf_keras.models.load_model, glob.glob(folder + "/*.h5")
    bad = 0
    for path in sorted(paths):
        name = os.path.basename(path)
        try:
            worst = check(load, path)
        except Exception as error:  # whatever Keras throws
            print(f"{which}: {name}: FAIL {type(error).__name__}: {str(error)[:2000]}")
            bad += 1
            continue
        print(f"{which}: {name}: worst {worst:.3g} of the scale" + ("" if worst <= TOLERANCE else " FAIL"))
        bad += not worst <= TOLERANCE
    print(f"{which}: {len(paths)} files, {bad} failed")
    sys.exit(bad > 0 or not paths)


main()
