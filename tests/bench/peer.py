"""A peer in Python (tests/support/peers.h): serve() reads cases and answers rounds of them."""

import json
import os
import sys
import time


class NotHad(Exception):
    """A case that this peer does not have; says why."""


def run(work, seconds):
    """Calls work() for so long; returns what it says it did, a second of processor time."""
    began = time.process_time()
    n, calls, took = 0, 1, 0.0
    while took < seconds:
        for _ in range(calls):
            n += work()
        took = time.process_time() - began
        if took < seconds / 64:
            calls *= 2
    return n / took


def latency(work, seconds):
    """Calls work() for so long; returns p50 and p99 of a call, in microseconds."""
    took = []
    before = began = time.perf_counter()
    while before - began < seconds:
        work()
        after = time.perf_counter()
        took.append(after - before)
        before = after
    took.sort()
    return took[len(took) // 2] * 1e6, took[len(took) * 99 // 100] * 1e6


def serve(make_case):
    """make_case(row) returns work() for a row's members, or raises NotHad. work.ask(line), where a bench has
    questions of its own, answers them."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries say is no answer
    work = None
    for line in sys.stdin:
        word, _, seconds = line.partition(" ")
        try:
            if word == "run":
                answer = f"{run(work, float(seconds)):.9g}"
            elif word == "latency":
                answer = "%.6f %.6f" % latency(work, float(seconds))
            elif line.startswith("{"):
                work = make_case(json.loads(line))
                answer = "ok"
            else:
                answer = work.ask(line)
        except NotHad as why:
            answer = f"no {why}"
        except Exception as error:  # of a library that cannot; other cases go on
            answer = "no " + " ".join(repr(error).split())[:500]
        print(answer, file=answers, flush=True)


def shape(row):
    """The members of a row of recurrent layers, with what is left out."""
    if row["bench"] not in ("lstm_step", "gru_step", "lstm_model"):
        raise NotHad("not measured")
    return {"layers": 1, "outputs": 0, "steps": 1, "is_gru": row["bench"] == "gru_step", **row}
