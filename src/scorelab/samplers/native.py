"""The native clock of a schedule, for the rules that work in it."""


class Native:
    """Native quantities at the angles of a grid under a schedule, float64 tensors (steps + 1,), made once a run.

    sin, cos of the angles; time; scale, the factor from x to the native state; drift f and diffusion g of the noising
    SDE; length of the steps (steps,), in native time.
    """

    def __init__(self, schedule, angles):
        import torch

        self.angles = angles
        grid = torch.tensor(angles, dtype=torch.float64)
        self.sin, self.cos, self.time = grid.sin(), grid.cos(), schedule.time(grid)
        self.scale = schedule.scale(self.time)
        self.drift, self.diffusion = schedule.drift(self.time), schedule.diffusion(self.time)
        self.length = self.time.diff().abs()

    def of_score(self, weight):
        """The factors of x and of m in weight * score of the native state, which is (sin m - x)/(scale cos^2).

        weight: a tensor with one number for each of the first angles.
        """
        count = len(weight)
        weight = weight / (self.scale * self.cos.square())[:count]
        return -weight, weight * self.sin[:count]

    def table(self, *columns) -> dict[float, list[float]]:
        """angle -> the numbers that the columns, tensors of one length, hold for it."""
        return dict(zip(self.angles, zip(*(column.tolist() for column in columns), strict=True), strict=False))


def require_positive_start(rule: str, schedule):
    """Raise ValueError for a clock that starts at angle 0, where the native state holds no noise or infinite noise."""
    if schedule.start_angle == 0:
        raise ValueError(
            f"{rule} cannot run on {type(schedule).__name__}, whose clock starts at angle 0, where its native state is "
            "not a multiple of x; euler_maruyama is its own rule, or take schedule ou, vp, ve, edm or ddpm"
        )
