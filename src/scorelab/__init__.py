"""scorelab: a laboratory for diffusion models on distributions whose answer is known.

import scorelab
result = scorelab.run(["denoiser=tanh", "training.N=5000"])
result.metrics["projection"]["w1"], result.figures["projection"]
"""

from scorelab._lazy import lazy_exports

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "lab.app": ["load", "run"],
        "lab.multirun": ["sweep"],
        "lab.finding": ["runs"],
        "lab.status": ["Status", "status"],
        "lab.comparing": ["diff"],
        "lab.runs": ["Run"],
        "evaluation": ["evaluate"],
        "suites.named": ["suite"],
        "errors": ["ScorelabError"],
    },
)
