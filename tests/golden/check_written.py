"""Real Keras against the files that build/tests/golden/write_models wrote: it loads each, and predicts what this engine says;
what it saves again has, read and written here once more, the same weights bit for bit.

Usage: check_written.py FOLDER keras|tf_keras FORECAST. FORECAST is the command. Exits with 1 where an error is above 1e-5 of an
output's scale, or a weight differs.
"""

import glob
import io
import os
import subprocess
import sys
import zipfile

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
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


def arrays(path):
    """All weights of a file by their paths."""
    if path.endswith(".keras"):
        with zipfile.ZipFile(path) as members:
            file = h5py.File(io.BytesIO(members.read("model.weights.h5")), "r")
    else:
        file = h5py.File(path, "r")
    found = {}
    file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    file.close()
    return found


def check_round(model, path, forecast):
    """Here to Keras to here."""
    stem, ending = os.path.splitext(path)
    saved, back = stem + ".saved" + ending, stem + ".back" + ending
    model.save(saved)
    subprocess.run([forecast, "model", "convert", saved, back], check=True)
    before, after = arrays(path), arrays(back)
    if sorted(before) != sorted(after):
        raise ValueError(f"weights {sorted(after)}, not {sorted(before)}")
    for name, array in before.items():
        if array.tobytes() != after[name].tobytes():
            raise ValueError(f"weight {name} is not the same")
    os.remove(saved)
    os.remove(back)


def check(load, path, forecast):
    stem = os.path.splitext(path)[0]
    model = load(path)
    check_round(model, path, forecast)
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
    folder, which, forecast = sys.argv[1:]
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
            worst = check(load, path, forecast)
        except Exception as error:  # whatever Keras throws
            print(f"{which}: {name}: FAIL {type(error).__name__}: {str(error)[:2000]}")
            bad += 1
            continue
        print(f"{which}: {name}: worst {worst:.3g} of the scale" + ("" if worst <= TOLERANCE else " FAIL"))
        bad += not worst <= TOLERANCE
    print(f"{which}: {len(paths)} files, {bad} failed")
    sys.exit(bad > 0 or not paths)


main()
