"""Parameters and FLOPs under every convention in use, memory, all analytic; the ladder from a size to a shape."""

from lbscale.count.flops import forward_flops_per_token, training_flops, training_flops_per_token
from lbscale.count.memory import ProgramMemory, program_memory
from lbscale.count.params import ModelCount, ParamCounts, count_params
from lbscale.count.shape import decoder_of_size

__all__ = [
    "ModelCount",
    "ParamCounts",
    "ProgramMemory",
    "count_params",
    "decoder_of_size",
    "forward_flops_per_token",
    "program_memory",
    "training_flops",
    "training_flops_per_token",
]
