"""The dense decoder's description: shape, block choices and precision."""

from __future__ import annotations

from dataclasses import dataclass, field

from lbscale.errors import InputError, check, check_choice
from lbscale.spec.coerce import as_bool, as_float, as_int
from lbscale.spec.neutral import neutral
from lbscale.spec.parameterization import MuP, Parameterization, Standard


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """A pre-norm causal decoder: RMSNorm, RoPE, grouped-query attention, SwiGLU or GELU.

    `head_dim` is `d_model / n_heads`. `init_scale` multiplies every matrix's standard deviation
    `1/sqrt(fan_in)`. `z_loss` weighs the squared log-sum-exp of the logits (PaLM, arXiv 2204.02311,
    section 5). Parameters and accumulation are float32 whatever `compute_dtype` says. `parameterization`
    says how initial values, learning rates and decay go with width.
    """

    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int
    n_kv_heads: int | None = None
    vocab_size: int = 257
    mlp: str = "swiglu"
    qk_norm: bool = True
    tied_head: bool = False
    z_loss: float = 0.0
    rope_base: float = 10_000.0
    init_scale: float = 1.0
    compute_dtype: str = "float32"
    parameterization: Parameterization = field(default=Standard(), metadata=neutral(Standard()))

    kind = "decoder"

    def __post_init__(self) -> None:
        if self.n_kv_heads is None:
            object.__setattr__(self, "n_kv_heads", self.n_heads)
        for name in ("d_model", "n_layers", "n_heads", "d_ff", "n_kv_heads"):
            as_int(self, name, lowest=1)
        as_int(self, "vocab_size", lowest=2)
        as_float(self, "z_loss")
        as_float(self, "rope_base", open_low=True)
        as_float(self, "init_scale", open_low=True)
        for name in ("qk_norm", "tied_head"):
            as_bool(self, name)
        check_choice("mlp", self.mlp, ("swiglu", "gelu"))
        check_choice("compute_dtype", self.compute_dtype, ("float32", "bfloat16"))
        if not isinstance(self.parameterization, Standard | MuP):
            raise InputError("parameterization", self.parameterization, "a Standard or a MuP is needed")
        divides = self.d_model % self.n_heads == 0
        check(divides, "n_heads", self.n_heads, f"a divisor of d_model = {self.d_model} is needed")
        check(self.head_dim % 2 == 0, "n_heads", self.n_heads, "d_model / n_heads must be even, for rotary pairs")
        shared = self.n_heads % self.kv_heads == 0
        check(shared, "n_kv_heads", self.n_kv_heads, f"a divisor of n_heads = {self.n_heads} is needed")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads

    @property
    def kv_heads(self) -> int:
        """Number of key-value heads, never None."""
        return self.n_kv_heads or self.n_heads
