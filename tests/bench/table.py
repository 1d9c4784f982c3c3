"""The README's tables of speed: JSON lines of the benches on standard input become Markdown.

    make bench-kernels JSON=1 | python3 tests/bench/table.py

In parentheses: how many times as fast forecastd is.
"""

import json
import sys


NAMES = {"onednn": "oneDNN", "openblas": "OpenBLAS", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO",
         "pytorch": "PyTorch", "tensorflow": "TensorFlow", "pytorch_train": "PyTorch",
         "keras_train": "Keras on TensorFlow", "zeromq": "ZeroMQ echo"}


def digits(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def short(value):
    """Rates to three digits: 2.31M, 850k; latencies: p50 / p99."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " to ".join(map(short, value))
    if isinstance(value, dict):
        return f"{digits(value['p50_us'])} / {digits(value['p99_us'])}"
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{digits(value / size)}{unit}"
    return digits(value)


# What tells the rows of a table apart; what a title says, or a cell.
KEYS = ("hidden", "layers", "ready", "steps", "precision", "horizon", "what", "streams", "bundle", "part", "peer")
TOLD = ("bench", "inputs", "outputs", "features", "model", "carried", "level", "batch", "peers", "ratios",
        "best_peer", "peak_share")


def beside(value, ratio):
    return f"{short(value)} ({ratio:.2f})" if value else "-"


def table(title, rows):
    names = list(rows[0].get("peers", {}))
    keys = [key for key in KEYS if key in rows[0] and len({row[key] for row in rows}) > 1]
    ratio = ["ratio"] if names else []  # to the best peer: stands beside it
    shown = [key for key in rows[0]
             if key not in KEYS + TOLD and key not in ratio and not key.startswith("ratio_to_")]
    measured = shown[0] == "latency" or shown[0].endswith("per_s")
    heads = keys + ["forecastd"] * measured + shown[measured:]
    heads += ["of the peak"] * ("peak_share" in rows[0]) + [NAMES.get(name, name) for name in names]
    print(f"\n{title}\n\n| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    for row in rows:
        cells = [str(row[key]) for key in keys]
        cells += [beside(row[key], row["ratio_to_" + key]) if "ratio_to_" + key in row else short(row[key])
                  for key in shown]
        if "peak_share" in row:
            cells.append(f"{100 * row['peak_share']:.0f} %")
        cells += [beside(row["peers"][name], row["ratios"].get(name)) for name in names]
        print("| " + " | ".join(cells) + " |")


def main():
    tables = {}
    for line in sys.stdin:
        if line.startswith("{"):
            row = json.loads(line)
            unit = next((key for key in row if key.endswith("per_s") or key == "latency"), "")
            batch = [f"batch {row['batch']}"] if "batch" in row else []
            precision = [row["precision"]] if "precision" in row else []
            title = ", ".join([row.get("model", row["bench"])] + batch + precision + [unit] * (unit != ""))
            tables.setdefault((title, tuple(row)), []).append(row)
    for (title, _), rows in tables.items():
        table(title, rows)


main()
