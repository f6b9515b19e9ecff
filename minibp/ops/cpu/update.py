"""Eq. 3, and every V after its W, in one pass over memory."""

from typing import Any

import numpy as np

from minibp.ops.cpu.jit import kernel
from minibp.ops.cpu.philox import signs, uniform
from minibp.ops.update import CONSTANT, FLIPPED, KEEP, Feedback, Formula, Update

PIECE = 2048  # elements at a time, which stay in the first-level cache
SMALL = 4096  # elements that one thread does alone
NO_STREAM = (np.zeros(2, np.uint64), -1)


@kernel
def update(setting, g, w, memory, m, d, rate, a, e):
    """w += rate ∘ τ and memory = τ or κ, elements a … e of 1-D arrays (Eq. 3)."""
    g, w, memory = g[a:e], w[a:e], memory[a:e]
    one, zero = w.dtype.type(1), w.dtype.type(0)
    if setting == 0:
        for i in range(w.size):
            memory[i] = m * memory[i] - g[i] - d * w[i]
        for i in range(w.size):
            w[i] += rate * memory[i]
        return
    for i in range(w.size):
        s = one if g[i] > zero else (-one if g[i] < zero else g[i])
        memory[i] = m * memory[i] - s - d * w[i]
    if setting == 2:
        for i in range(w.size):
            t = memory[i]
            memory[i] = one if t > zero else (-one if t < zero else t)
    if setting == 3:
        for i in range(w.size):
            t = memory[i]
            w[i] += rate * (one if t > zero else (-one if t < zero else t))
    else:
        for i in range(w.size):
            w[i] += rate * memory[i]


@kernel
def refresh(kind, w, M, S, c, V, a, e):
    """V of its W by the rule, elements a … e of 1-D arrays (Sec. 2)."""
    w, V = w[a:e], V[a:e]
    one, zero = w.dtype.type(1), w.dtype.type(0)
    if kind == CONSTANT:
        for i in range(w.size):
            V[i] = c if w[i] > zero else (-c if w[i] < zero else w[i])
        return
    M = M[a:e]
    for i in range(w.size):
        V[i] = M[i] * (one if w[i] > zero else (-one if w[i] < zero else w[i]))
    if kind == FLIPPED:
        S = S[a:e]
        for i in range(w.size):
            V[i] *= S[i]


@kernel
def redraw(M, S, p, key, step, a, e):
    """M ~ U[0, 1) and S_p anew, elements a … e of 1-D arrays (Sec. 2, items 2 and 4)."""
    uniform(a, key, step, M[a:e])
    if p > 0:
        signs(M.size + a, key, step, p, S[a:e])


@kernel
def update_and_refresh(setting, g, w, memory, m, d, rate, kind, M, S, c, V, p, key, step, a, e):
    """All of it, elements a … e; setting < 0: W stays; step < 0: M and S stay."""
    for begin in range(a, e, PIECE):
        end = min(begin + PIECE, e)
        if setting >= 0:
            update(setting, g, w, memory, m, d, rate, begin, end)
        if step >= 0:
            redraw(M, S, p, key, step, begin, end)
        if kind != KEEP:
            refresh(kind, w, M, S, c, V, begin, end)


def arguments(update: Update) -> tuple[Any, ...]:
    """Return what `update_and_refresh` takes of an update, but for a and e."""
    kind = update.w.dtype.type
    g, w, memory = (array.reshape(-1) for array in (update.g, update.w, update.memory))
    feedback = update.feedback or Feedback(Formula(KEEP), memory)
    formula = feedback.formula
    V = feedback.V.reshape(-1)
    M, S = (V if array is None else array.reshape(-1) for array in (formula.M, formula.S))
    drawing = (np.float32(formula.p), *(feedback.stream or NO_STREAM))
    hyper = (kind(update.m), kind(update.d), kind(update.rate * update.multiplier))
    return (
        *(update.setting, g, w, memory, *hyper),
        *(formula.kind, M, S, kind(formula.c), V, *drawing),
    )


def part(size: int, worker: int, threads: int) -> tuple[int, int]:
    """Return a worker's share of an array, in whole blocks of eight random numbers."""
    if size < SMALL:
        return (0, size) if worker == 0 else (size, size)
    bounds = [size * k // threads // 8 * 8 for k in range(threads)] + [size]
    return bounds[worker], bounds[worker + 1]
