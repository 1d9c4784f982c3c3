#!/usr/bin/env python3
"""Writes the goldens, what real Keras 3 and tf-keras give, for the C tests of this folder.

    make goldens, or: pip install -r tests/golden/requirements.txt; python tests/golden/make_goldens.py [BOX...]

Everything is drawn from fixed seeds: a second run writes the same bytes. What a golden holds: golden_box.py.
"""
import gc
import logging
import os
import pathlib
import sys
import warnings

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # float32 as everywhere

import keras
import tensorflow as tf
import tf_keras

sys.dont_write_bytecode = True

import cases_fit
import cases_layers
import cases_legacy
import cases_masks
import cases_models
import cases_recurrent
import cases_stateful
import cases_training
from golden_box import Box

HERE = pathlib.Path(__file__).parent
BOXES = {
    "recurrent.tar.xz": cases_recurrent.write,
    "layers.tar.xz": cases_layers.write,
    "masks.tar.xz": cases_masks.write,
    "stateful.tar.xz": cases_stateful.write,
    "models": cases_models.write_named,
    "whole.tar.xz": cases_models.write,
    "legacy.tar.xz": cases_legacy.write,
    "training.tar.xz": cases_training.write,
    "optimizers.tar.xz": cases_training.write_optimizers,
    "dropout.tar.xz": cases_training.write_dropout,
    "losses.tar.xz": cases_training.write_losses,
    "curves.tar.xz": cases_training.write_curves,
    "fit.tar.xz": cases_fit.write,
}


def main(names):
    logging.disable(logging.WARNING)  # of retracing, of HDF5, of masks that end
    warnings.simplefilter("ignore")
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(1)
    # Thousands of small models: tracing graphs, and looking for garbage among TensorFlow's own, takes most of the time.
    tf.config.run_functions_eagerly(True)
    gc.freeze()
    for name in names or BOXES:
        box = Box(HERE / name)
        BOXES[name](box)
        box.close()
        print(f"{name}: {len(box.names)} files; Keras {keras.__version__}, tf-keras {tf_keras.__version__}")


if __name__ == "__main__":
    main(sys.argv[1:])
