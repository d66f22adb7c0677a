"""A training step of many networks of algorithm 1 in six kernels, and its random numbers, in Triton's language.

The kernels compute what `scorelab.denoisers.outer_product_gradient` and `scorelab.training.adam` compute, with their
names; this module is their twin for a GPU, and `tests/test_kernels.py` holds them together. A step of a network with P
parameters has to read and write them and their two moments, 24 P bytes. So the gradient of a large matrix is never
stored: with d the derivative of the loss in the output of a layer and z its input, it is the product d^T z over the
samples of the batch, and the kernel that moves the parameters makes it anew where it is needed. Its length, which
clipping asks for, follows from products of small matrices,

    |d^T z|^2 = sum over pairs of samples of (d d^T) (z z^T),        z z^T = (s s^T) (h h^T) for z = s outer h.

A kernel has one program for each network and tile. `first` and `position` give the step within the arrays of a segment.
"""

import triton
import triton.language as tl


@triton.jit
def _activation(x, KIND: tl.constexpr):
    if KIND == "relu":
        y = tl.maximum(x, 0.0)
    else:  # tanh: 1 - 2/(e^{2x} + 1), with the sign taken out so that nothing overflows
        e = tl.exp(-2 * tl.abs(x))
        y = (1 - e) / (1 + e)
        y = tl.where(x < 0, -y, y)
    return y


@triton.jit
def _slope(y, KIND: tl.constexpr):
    return tl.where(y > 0, 1.0, 0.0) if KIND == "relu" else 1 - y * y


@triton.jit
def _tile(base, rows, columns, stride, ROWS, COLUMNS):
    """A tile of a matrix (ROWS, COLUMNS), zero outside of it."""
    here = (rows[:, None] < ROWS) & (columns[None, :] < COLUMNS)
    return tl.load(base + rows[:, None] * stride + columns[None, :], mask=here, other=0.0)


@triton.jit
def _gram(gram, base, b, width, B: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr):
    """gram + A A^T for a matrix A (B, width)."""
    for k in range(0, width, TILE):
        a = _tile(base, b, k + tl.arange(0, TILE), width, B, width)
        gram = tl.dot(a, tl.trans(a), gram, input_precision=PRECISION)
    return gram


@triton.jit(do_not_specialize=["first"])
def hidden(
    values, u, e, position, first, h, s, stride, segment, w0, b0, w1, b1,
    n: tl.constexpr, m: tl.constexpr, L: tl.constexpr, E: tl.constexpr,
    B: tl.constexpr, BB: tl.constexpr, TM: tl.constexpr, TK: tl.constexpr,
    KIND: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """h = activation(W1 u + b1) (R, B, m), and by the first tile of a network s = W0 e + b0 (R, B, L)."""
    row, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    at = row * segment + tl.load(position) + first
    b, column = tl.arange(0, BB), tile * TM + tl.arange(0, TM)
    values += row * stride
    sums = tl.zeros((BB, TM), tl.float32)
    for k in range(0, n, TK):
        i = k + tl.arange(0, TK)
        x = _tile(u + at * B * n, b, i, n, B, n)
        w = _tile(values + w1, column, i, n, m, n)
        sums = tl.dot(x, tl.trans(w), sums, input_precision=PRECISION)
    sums += tl.load(values + b1 + column, mask=column < m, other=0.0)[None, :]
    inside = (b[:, None] < B) & (column[None, :] < m)
    tl.store(h + row * B * m + b[:, None] * m + column[None, :], _activation(sums, KIND), mask=inside)
    if tile == 0:
        for l in range(L):
            total = tl.zeros((BB,), tl.float32) + tl.load(values + b0 + l)
            for k in range(0, E, TK):
                i = k + tl.arange(0, TK)
                seen = _tile(e + at * B * E, b, i, E, B, E)
                total += tl.sum(seen * tl.load(values + w0 + l * E + i, mask=i < E, other=0.0)[None, :], 1)
            tl.store(s + row * B * L + b * L + l, total, mask=b < B)


@triton.jit
def output(
    values, h, s, parts, stride, w2,
    n: tl.constexpr, m: tl.constexpr, L: tl.constexpr,
    B: tl.constexpr, BB: tl.constexpr, TN: tl.constexpr, TK: tl.constexpr, SPLIT: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """W2 (s outer h), in SPLIT parts (R, SPLIT, B, n) that add up to it; each has L / SPLIT of the features."""
    row, tile, part = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    b, i = tl.arange(0, BB), tile * TN + tl.arange(0, TN)
    values += row * stride
    total = tl.zeros((BB, TN), tl.float32)
    for each in range(L // SPLIT):
        l = part * (L // SPLIT) + each
        factors = tl.load(s + row * B * L + b * L + l, mask=b < B, other=0.0)
        for k in range(0, m, TK):
            column = k + tl.arange(0, TK)
            z = _tile(h + row * B * m, b, column, m, B, m) * factors[:, None]
            here = (i[:, None] < n) & (column[None, :] < m)
            w = tl.load(values + w2 + i[:, None] * (L * m) + l * m + column[None, :], mask=here, other=0.0)
            total = tl.dot(z, tl.trans(w), total, input_precision=PRECISION)
    inside = (b[:, None] < B) & (i[None, :] < n)
    tl.store(parts + (row * SPLIT + part) * B * n + b[:, None] * n + i[None, :], total, mask=inside)


@triton.jit(do_not_specialize=["first"])
def error(
    values, parts, u, s, rest, factor, position, first, d, losses, pairs, norms, stride, segment, b2,
    n: tl.constexpr, L: tl.constexpr,
    B: tl.constexpr, BB: tl.constexpr, TK: tl.constexpr, SPLIT: tl.constexpr, TILES: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """d, the derivative in the output of the network (R, B, n); the sum of squares (R, segment); and for the length of
    the gradient `pairs` (R, 2, BB, BB), (d d^T) (s s^T) and 1 + u u^T, and its square for b2 in the last of `norms`."""
    row = tl.program_id(0).to(tl.int64)
    at = row * segment + tl.load(position) + first
    b = tl.arange(0, BB)
    scale = tl.load(factor + at * B + b, mask=b < B, other=0.0)[:, None]
    squares = tl.zeros((BB,), tl.float32)
    of_d, of_s = tl.zeros((BB, BB), tl.float32), tl.zeros((BB, BB), tl.float32)
    for k in range(0, n, TK):
        i = k + tl.arange(0, TK)
        inside = (b[:, None] < B) & (i[None, :] < n)
        total = tl.zeros((BB, TK), tl.float32) + tl.load(values + row * stride + b2 + i, mask=i < n, other=0.0)[None, :]
        for part in range(SPLIT):
            total += _tile(parts + (row * SPLIT + part) * B * n, b, i, n, B, n)
        wrong = _tile(rest + at * B * n, b, i, n, B, n) + total * scale
        wrong = tl.where(inside, wrong, 0.0)
        squares += tl.sum(wrong * wrong, 1)
        slope = wrong * scale * (2 / (B * n))
        tl.store(d + row * B * n + b[:, None] * n + i[None, :], slope, mask=inside)
        of_d = tl.dot(slope, tl.trans(slope), of_d, input_precision=PRECISION)
    tl.store(losses + at, tl.sum(squares))
    for l in range(L):
        factors = tl.load(s + row * B * L + b * L + l, mask=b < B, other=0.0)
        of_s += factors[:, None] * factors[None, :]
    place = pairs + row * 2 * BB * BB + b[:, None] * BB + b[None, :]
    tl.store(place, of_d * of_s)
    of_u = _gram(tl.zeros((BB, BB), tl.float32), u + at * B * n, b, n, B, TK, PRECISION)
    tl.store(place + BB * BB, 1 + of_u)
    tl.store(norms + row * (TILES + 1) + TILES, tl.sum(of_d))


@triton.jit
def backward(
    values, h, s, d, dh, parts, pairs, norms, stride, w2,
    n: tl.constexpr, m: tl.constexpr, L: tl.constexpr,
    B: tl.constexpr, BB: tl.constexpr, TM: tl.constexpr, TK: tl.constexpr, TILES: tl.constexpr,
    KIND: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """dh, the derivative before the activation (R, B, m); the parts of ds of each tile (R, TILES, B, L); and the tile's
    part of the square of the gradient's length, in `norms` (R, TILES + 1)."""
    row, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    b, column = tl.arange(0, BB), tile * TM + tl.arange(0, TM)
    values += row * stride
    mine = _tile(h + row * B * m, b, column, m, B, m)
    total = tl.zeros((BB, TM), tl.float32)
    for l in range(L):
        of_z = tl.zeros((BB, TM), tl.float32)
        for k in range(0, n, TK):
            i = k + tl.arange(0, TK)
            here = (i[:, None] < n) & (column[None, :] < m)
            w = tl.load(values + w2 + i[:, None] * (L * m) + l * m + column[None, :], mask=here, other=0.0)
            of_z = tl.dot(_tile(d + row * B * n, b, i, n, B, n), w, of_z, input_precision=PRECISION)
        factors = tl.load(s + row * B * L + b * L + l, mask=b < B, other=0.0)
        total += of_z * factors[:, None]
        tl.store(parts + ((row * TILES + tile) * B + b) * L + l, tl.sum(of_z * mine, 1), mask=b < B)
    inside = (b[:, None] < B) & (column[None, :] < m)
    total *= _slope(mine, KIND)
    tl.store(dh + row * B * m + b[:, None] * m + column[None, :], total, mask=inside)
    pair = tl.arange(0, BB)
    place = pairs + row * 2 * BB * BB + pair[:, None] * BB + pair[None, :]
    zero = tl.zeros((BB, BB), tl.float32)
    square = tl.sum(tl.load(place) * tl.dot(mine, tl.trans(mine), zero, input_precision=PRECISION))
    square += tl.sum(tl.load(place + BB * BB) * tl.dot(total, tl.trans(total), zero, input_precision=PRECISION))
    tl.store(norms + row * (TILES + 1) + tile, square)


@triton.jit
def _of_feature(parts, b, l, L: tl.constexpr, B: tl.constexpr, BB: tl.constexpr, TILES: tl.constexpr):
    """ds of a feature (BB,), the sum of the parts of all tiles."""
    tile = tl.arange(0, triton.next_power_of_2(TILES))
    here = (tile[:, None] < TILES) & (b[None, :] < B)
    return tl.sum(tl.load(parts + (tile[:, None] * B + b[None, :]) * L + l, mask=here, other=0.0), 0)


@triton.jit
def _adam(values, first_moment, second_moment, average, place, gradient, table, inside, AVERAGED: tl.constexpr,
          BETA1: tl.constexpr, BETA2: tl.constexpr, EPS: tl.constexpr):  # fmt: skip
    """Move the parameters at a place along their gradient; `table` is the row of `scorelab.training.adam.table`."""
    value = tl.load(values + place, mask=inside, other=0.0)
    gradient += tl.load(table + 3) * value
    moment = tl.load(first_moment + place, mask=inside, other=0.0)
    moment += (1 - BETA1) * (gradient - moment)
    square = BETA2 * tl.load(second_moment + place, mask=inside, other=0.0) + (1 - BETA2) * gradient * gradient
    value = value * tl.load(table) - tl.load(table + 1) * moment / (tl.sqrt(square) * tl.load(table + 2) + EPS)
    tl.store(values + place, value, mask=inside)
    tl.store(first_moment + place, moment, mask=inside)
    tl.store(second_moment + place, square, mask=inside)
    if AVERAGED:
        old = tl.load(average + place, mask=inside, other=0.0)
        tl.store(average + place, old + tl.load(table + 5) * (value - old), mask=inside)


@triton.jit(do_not_specialize=["first"])
def small(
    values, first_moment, second_moment, average, e, parts, norms, table, position, first, scales,
    stride, segment, w0, b0,
    L: tl.constexpr, E: tl.constexpr,
    B: tl.constexpr, BB: tl.constexpr, TE: tl.constexpr, TILES: tl.constexpr, COLUMNS: tl.constexpr,
    AVERAGED: tl.constexpr, BETA1: tl.constexpr, BETA2: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """The factor of the gradient that clipping leaves (R,), and the step of W0 and b0. TE: a power of 2, E at least."""
    row = tl.program_id(0).to(tl.int64)
    at = row * segment + tl.load(position) + first
    b, i = tl.arange(0, BB), tl.arange(0, TE)
    table += at * COLUMNS
    parts += row * TILES * B * L
    seen = _tile(e + at * B * E, b, i, E, B, E)
    square = tl.load(norms + row * (TILES + 1) + TILES)
    for tile in range(TILES):
        square += tl.load(norms + row * (TILES + 1) + tile)
    for l in range(L):
        ds = _of_feature(parts, b, l, L, B, BB, TILES)
        slope = tl.sum(ds[:, None] * seen, 0)
        square += tl.sum(slope * slope) + tl.sum(ds) * tl.sum(ds)
    scale = tl.minimum(tl.load(table + 4) / (tl.sqrt(square) + 1e-6), 1.0)
    tl.store(scales + row, scale)
    for l in range(L):
        ds = _of_feature(parts, b, l, L, B, BB, TILES)
        slope = tl.sum(ds[:, None] * seen, 0) * scale
        _adam(values, first_moment, second_moment, average, row * stride + w0 + l * E + i, slope, table, i < E,
              AVERAGED, BETA1, BETA2, EPS)  # fmt: skip
        slope = tl.where(i == 0, tl.sum(ds), 0.0) * scale
        _adam(values, first_moment, second_moment, average, row * stride + b0 + l + i, slope, table, i < 1,
              AVERAGED, BETA1, BETA2, EPS)  # fmt: skip


@triton.jit(do_not_specialize=["first"])
def large(
    values, first_moment, second_moment, average, u, h, s, d, dh, table, position, first, scales,
    stride, segment, w1, b1, w2, b2,
    n: tl.constexpr, m: tl.constexpr, L: tl.constexpr,
    B: tl.constexpr, BB: tl.constexpr, TI: tl.constexpr, TK: tl.constexpr, COLUMNS: tl.constexpr,
    AVERAGED: tl.constexpr, BETA1: tl.constexpr, BETA2: tl.constexpr, EPS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The step of W2 and b2, and in the tiles after those that of W1 and b1."""
    row, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    at = row * segment + tl.load(position) + first
    b = tl.arange(0, BB)
    table += at * COLUMNS
    across: tl.constexpr = (m + TK - 1) // TK
    of_w2: tl.constexpr = ((n + TI - 1) // TI) * L * across
    if tile < of_w2:
        block, l = tile % (across * L), (tile // across) % L
        i = tile // (across * L) * TI + tl.arange(0, TI)
        column = tile % across * TK + tl.arange(0, TK)
        left = _tile(d + row * B * n, b, i, n, B, n)
        factors = tl.load(s + row * B * L + b * L + l, mask=b < B, other=0.0)
        right = _tile(h + row * B * m, b, column, m, B, m) * factors[:, None]
        place = row * stride + w2 + i[:, None] * (L * m) + l * m + column[None, :]
        inside = (i[:, None] < n) & (column[None, :] < m)
        bias, end = b2, n
    else:
        across_w1: tl.constexpr = (n + TK - 1) // TK
        block = (tile - of_w2) % across_w1
        i = (tile - of_w2) // across_w1 * TI + tl.arange(0, TI)
        column = block * TK + tl.arange(0, TK)
        left = _tile(dh + row * B * m, b, i, m, B, m)
        right = _tile(u + at * B * n, b, column, n, B, n)
        place = row * stride + w1 + i[:, None] * n + column[None, :]
        inside = (i[:, None] < m) & (column[None, :] < n)
        bias, end = b1, m
    scale = tl.load(scales + row)
    slope = tl.dot(tl.trans(left), right, input_precision=PRECISION) * scale
    _adam(values, first_moment, second_moment, average, place, slope, table, inside, AVERAGED, BETA1, BETA2, EPS)
    if block == 0:
        of_bias = tl.sum(left, 0) * scale
        _adam(values, first_moment, second_moment, average, row * stride + bias + i, of_bias, table, i < end, AVERAGED,
              BETA1, BETA2, EPS)  # fmt: skip


@triton.jit(do_not_specialize=["first"])
def draw_noise(seeds, epoch, first, noise, count, n: tl.constexpr, BLOCK: tl.constexpr):
    """Standard normal numbers (R, count, n) for the samples `first` ... of an epoch, by Philox: four numbers of a
    sample at a time, whose counter is the sample, the epoch and the place of the four."""
    row = tl.program_id(0).to(tl.int64)
    fours: tl.constexpr = (n + 3) // 4
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    sample, four = place // fours, place % fours
    zero = tl.zeros((BLOCK,), tl.uint32)
    one, two, three, four_th = tl.philox(
        tl.load(seeds + row),
        (first + sample).to(tl.uint32),
        zero + tl.load(epoch).to(tl.uint32),
        four.to(tl.uint32),
        zero,
    )
    one, two = tl.pair_uniform_to_normal(tl.uint_to_uniform_float(one), tl.uint_to_uniform_float(two))
    three, four_th = tl.pair_uniform_to_normal(tl.uint_to_uniform_float(three), tl.uint_to_uniform_float(four_th))
    base = noise + row * count * n + sample * n + four * 4
    inside = sample < count
    tl.store(base, one, mask=inside)
    tl.store(base + 1, two, mask=inside & (four * 4 + 1 < n))
    tl.store(base + 2, three, mask=inside & (four * 4 + 2 < n))
    tl.store(base + 3, four_th, mask=inside & (four * 4 + 3 < n))


@triton.jit
def draw_samples(seeds, epoch, keys, shares, count, BLOCK: tl.constexpr):
    """For each sample of an epoch (R, count) a key that says when its turn is, and a number of 32 bits, both int64."""
    row = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    zero = tl.zeros((BLOCK,), tl.uint32)
    one, two, _, _ = tl.philox(
        tl.load(seeds + row), place.to(tl.uint32), zero + tl.load(epoch).to(tl.uint32), zero, zero + 1
    )
    tl.store(keys + row * count + place, one.to(tl.int64), mask=place < count)
    tl.store(shares + row * count + place, two.to(tl.int64), mask=place < count)
