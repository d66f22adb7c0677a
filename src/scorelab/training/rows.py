"""The parameters of many trainings as the rows of one matrix."""

import torch

#: rows begin so that the large matrices of algorithm 1 lie at multiples of so many numbers, for wide reads
_ALIGNED = 32


class Rows:
    """What the optimisers of R trainings change: `values`, `first`, `second` and `average` (R, P), and `gradient`.

    The trainings keep their own vectors, which become views of the rows. first, second: the moments of Adam and AdamW;
    None for another optimiser. average: None where no training has one. places: name of a parameter -> its first column
    and its shape. lead: columns of the memory of a matrix before its first column. matrices: those that are there.
    """

    def __init__(self, trainers):
        first = trainers[0]
        self.places, offset = {}, 0
        for name, parameter in first.denoiser.named_parameters():
            if parameter.requires_grad:
                self.places[name] = offset, parameter.shape
                offset += parameter.numel()
        large = max(self.places.values(), key=lambda place: place[1].numel())[0] if self.places else 0
        self.lead = -large % _ALIGNED
        stride = self.lead + offset + -(self.lead + offset) % _ALIGNED

        def matrix():
            return torch.zeros(len(trainers), stride, device=first.device)[:, self.lead : self.lead + offset]

        self.values, self.gradient, self.average = matrix(), matrix(), None
        for own, each, gradient in zip(self.values, trainers, self.gradient, strict=True):
            own.copy_(each.flat.value.detach())
            each.flat.place(own, gradient)
        if any(each.average is not None for each in trainers):
            self.average = matrix()
            for own, each in zip(self.average, trainers, strict=True):
                if each.average is not None:
                    each.average = own.copy_(each.average)
        self.first = self.second = self.steps = None
        if first.options.optimizer != "sgd":
            self._moments(trainers, matrix)

    def _moments(self, trainers, matrix):
        self.first, self.second = matrix(), matrix()
        self.steps = torch.tensor([float(each.step) for each in trainers]).to(trainers[0].device)
        for own, first, second, step in zip(trainers, self.first, self.second, self.steps, strict=True):
            for name, row in (("exp_avg", first), ("exp_avg_sq", second)):
                if name in own.optimizer.state:
                    row.copy_(own.optimizer.state[name])
            own.optimizer.state = {"step": step, "exp_avg": first, "exp_avg_sq": second}

    def named(self, matrix) -> dict:
        """The parameters of all rows of such a matrix, name -> (R, *shape), views of it."""
        return {
            name: matrix[:, place : place + shape.numel()].unflatten(1, shape or (1,)).view(len(matrix), *shape)
            for name, (place, shape) in self.places.items()
        }

    @property
    def matrices(self):
        return [each for each in (self.values, self.first, self.second, self.average) if each is not None]
