"""Steps of a stack of networks of algorithm 1 by the kernels of `scorelab.training.kernels`, as CUDA graphs."""

import torch

from scorelab.training import adam, kernels
from scorelab.training.optimizer import BETAS, EPSILON

#: steps of the longer one of the two graphs
_GRAPH = 10
#: sizes of the tiles of each kernel of a step, in their order, with its warps and the stages of its pipeline
TILES = {
    "hidden": {"TM": 32, "TK": 64, "num_warps": 4, "num_stages": 3},
    "output": {"TN": 32, "TK": 64, "num_warps": 4, "num_stages": 3},
    "error": {"TK": 64, "num_warps": 4, "num_stages": 3},
    "backward": {"TM": 32, "TK": 64, "num_warps": 4, "num_stages": 3},
    "small": {"num_warps": 4},
    "large": {"TI": 32, "TK": 128, "num_warps": 4, "num_stages": 2},
}
#: programs of the kernel `output` up to which the features are divided among more of them
_FEW = 64
#: numbers, or samples, of a program that draws
_DRAWN = 1024


class FusedSteps:
    """R networks, their batch and their optimisers.

    rows: `scorelab.training.rows.Rows`, whose matrices change. denoiser: one of the networks. batch: samples of a step.
    steps: the most steps of a segment. precision: of the products, `float32` or `tf32`. tiles: changes of `TILES`.
    On a GPU of CUDA the kernels are captured as graphs.
    """

    def __init__(self, rows, denoiser, batch: int, steps: int, precision: str = "float32", tiles=None):
        self.rows, self.batch, self.steps = rows, batch, steps
        R, device = len(rows.values), rows.values.device
        n, m, L = denoiser.linear_2.out_features, denoiser.m, denoiser.L
        E = denoiser.linear_0.in_features
        BB = max(16, 1 << (batch - 1).bit_length())
        self.tiles = {name: dict(own, **(tiles or {}).get(name, {})) for name, own in TILES.items()}
        TN, TM = self.tiles["output"]["TN"], self.tiles["backward"]["TM"]
        TI, TK = self.tiles["large"]["TI"], self.tiles["large"]["TK"]
        split = L if R * -(-n // TN) <= _FEW else 1
        tiles = -(-m // TM)

        def empty(*shape):
            return torch.empty(R, *shape, device=device)

        self.u, self.e, self.rest = (empty(steps, batch, size) for size in (n, E, n))
        self.factor, self.table, self.losses = empty(steps, batch), empty(steps, len(adam.COLUMNS)), empty(steps)
        self.h, self.s, self.d, self.dh = empty(batch, m), empty(batch, L), empty(batch, n), empty(batch, m)
        self.outputs, self.ds = empty(split, batch, n), empty(tiles, batch, L)
        self.pairs, self.norms, self.scales = empty(2, BB, BB), empty(tiles + 1), empty()
        self.position = torch.zeros((), dtype=torch.int64, device=device)
        self.at = {
            f"{letter}{k}": rows.lead + rows.places[f"linear_{k}.{kind}"][0]
            for k in range(3)
            for letter, kind in (("w", "weight"), ("b", "bias"))
        }
        # three products in tf32 are as exact as one in float32
        products = {"PRECISION": {"float32": "tf32x3", "tf32": "tf32"}[precision]}
        adams = {"AVERAGED": rows.average is not None, "COLUMNS": len(adam.COLUMNS), "BETA1": BETAS[0]}
        adams |= {"BETA2": BETAS[1], "EPS": EPSILON}
        of_d, sizes = {"L": L, "B": batch, "BB": BB}, {"n": n, "m": m, "L": L, "B": batch, "BB": BB}
        kind = {"KIND": denoiser.activation.__name__}
        self.options = {
            "hidden": sizes | products | kind | {"E": E},
            "output": sizes | products | {"SPLIT": split},
            "error": of_d | products | {"n": n, "SPLIT": split, "TILES": tiles},
            "backward": sizes | products | kind | {"TILES": tiles},
            "small": of_d | adams | {"E": E, "TE": max(16, 1 << (E - 1).bit_length()), "TILES": tiles},
            "large": sizes | products | adams,
        }
        large = -(-n // TI) * L * -(-m // TK) + -(-m // TI) * -(-n // TK)
        self.programs = {"hidden": (R, -(-m // self.tiles["hidden"]["TM"])), "output": (R, -(-n // TN), split)}
        self.programs |= {"error": (R,), "backward": (R, tiles), "small": (R,), "large": (R, large)}
        average = rows.values if rows.average is None else rows.average
        self.memory = [_whole(each, rows.lead) for each in (rows.values, rows.first, rows.second, average)]
        self.graphs = (
            {count: self._captured(count) for count in (_GRAPH, 1) if count <= steps} if device.type == "cuda" else {}
        )

    def launch(self, name: str, first: int = 0):
        """Launch a kernel, for the step that is so many steps behind `position`."""
        arguments = getattr(self, f"_{name}")((self.position, first), (self.memory[0].stride(0), self.steps), self.at)
        getattr(kernels, name)[self.programs[name]](*arguments, **self.options[name], **self.tiles[name])

    # The arguments of the kernels. ----------------------------------------------------------------------------------

    def _hidden(self, step, sizes, at):
        return self.memory[0], self.u, self.e, *step, self.h, self.s, *sizes, at["w0"], at["b0"], at["w1"], at["b1"]

    def _output(self, step, sizes, at):
        return self.memory[0], self.h, self.s, self.outputs, sizes[0], at["w2"]

    def _error(self, step, sizes, at):
        of_batch = self.u, self.s, self.rest, self.factor
        return (
            *(self.memory[0], self.outputs, *of_batch, *step, self.d, self.losses),
            *(self.pairs, self.norms, *sizes, at["b2"]),
        )

    def _backward(self, step, sizes, at):
        made = self.dh, self.ds
        return self.memory[0], self.h, self.s, self.d, *made, self.pairs, self.norms, sizes[0], at["w2"]

    def _small(self, step, sizes, at):
        given = self.e, self.ds, self.norms, self.table
        return *self.memory, *given, *step, self.scales, *sizes, at["w0"], at["b0"]

    def _large(self, step, sizes, at):
        given = self.u, self.h, self.s, self.d, self.dh, self.table
        return *self.memory, *given, *step, self.scales, *sizes, at["w1"], at["b1"], at["w2"], at["b2"]

    # Steps. ---------------------------------------------------------------------------------------------------------

    def _many(self, count: int):
        for first in range(count):
            for name in TILES:
                self.launch(name, first)
        self.position.add_(count)

    def _captured(self, count: int):
        """The graph of so many steps. The kernels are compiled before, by steps whose effects are taken back."""
        rows = self.rows
        kept = [each.clone() for each in rows.matrices]
        for each in (self.u, self.e, self.rest, self.factor, self.table):
            each.zero_()
        self._many(1)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._many(count)
        for each, before in zip(rows.matrices, kept, strict=True):
            each.copy_(before)
        return graph

    def __call__(self, columns, table):
        """Take a step for each batch of the columns (R, count, ...) of a segment, and return the losses (R, steps).

        count: a multiple of the batch, not more than the steps of a segment. table: of `scorelab.training.adam`.
        """
        steps = columns[0].shape[1] // self.batch
        for own, values in zip((self.u, self.e, self.rest, self.factor), columns, strict=True):
            own[:, :steps].copy_(values.reshape(len(values), steps, *own.shape[2:]))
        self.table[:, :steps].copy_(table, non_blocking=True)
        self.position.zero_()
        left = steps
        while left:
            count = _GRAPH if left >= _GRAPH else 1
            self.graphs[count].replay() if self.graphs else self._many(count)
            left -= count
        return self.losses[:, :steps] / self.rest[0, 0].numel()


class Draws:
    """The random numbers of R trainings, each a function of the training's seed, the epoch and the sample alone.

    seeds: one for each row. samples (R, N, *shape).
    """

    def __init__(self, seeds, samples):
        self.samples, device = samples, samples.device
        self.seeds = torch.tensor(seeds, dtype=torch.int64).to(device)
        self.row = torch.arange(len(seeds), device=device).unsqueeze(1)
        self.epoch = torch.zeros((), dtype=torch.int64, device=device)

    def __call__(self, epoch: int, size: int):
        """Yield (samples, share, noise) of an epoch, at most `size` samples of each row at a time: (R, count, *shape),
        uniform numbers (R, count), float64, and standard normal ones (R, count, *shape)."""
        R, N, *shape = self.samples.shape
        self.epoch.fill_(epoch)
        keys, shares = (torch.empty(R, N, dtype=torch.int64, device=self.samples.device) for _ in range(2))
        kernels.draw_samples[R, -(-N // _DRAWN)](self.seeds, self.epoch, keys, shares, N, BLOCK=_DRAWN)
        order, shares = keys.argsort(dim=1, stable=True), (shares + 0.5) / 2**32
        for first in range(0, N, size):
            turn = order[:, first : first + size]
            count = turn.shape[1]
            noise = torch.empty(R, count, *shape, device=self.samples.device)
            n = noise[0, 0].numel()
            programs = R, -(-count * -(-n // 4) // _DRAWN)
            kernels.draw_noise[programs](self.seeds, self.epoch, first, noise, count, n=n, BLOCK=_DRAWN)
            yield self.samples[self.row, turn], shares[:, first : first + size], noise


def _whole(matrix, lead: int):
    """The memory of a matrix of `Rows`, of which its columns are a part; it begins at a multiple of 16 bytes."""
    rows, stride = len(matrix), matrix.stride(0)
    return torch.as_strided(matrix, (rows, stride), (stride, 1), matrix.storage_offset() - lead)
