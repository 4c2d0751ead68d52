"""`lbscale recommend`: its flags, the budget that days on devices stand for, and the answer as text."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import Any

from lbscale.cli.arguments import number, positive, print_json
from lbscale.cli.hardware import PEAK_FLOPS, SECONDS_PER_DAY, Devices, parse_devices
from lbscale.cli.shape import Shapes
from lbscale.errors import InputError, check

VOCABULARY_OF_BYTES, PUBLISHED_VOCABULARY = 257, 32_000
ROUNDS, CLOSE = 12, 1e-3
FIGURES = (".png", ".svg", ".pdf")


def add(commands: argparse._SubParsersAction) -> None:
    """Register the command."""
    text = "recommend shape, tokens, learning rate and batch for a size, a compute budget, or days on devices"
    command = commands.add_parser("recommend", help=text, description=text)
    command.add_argument("--n-params", type=number, metavar="N", help="parameters, counted as the laws count them")
    command.add_argument("--n-tokens", type=number, metavar="D", help="training tokens")
    command.add_argument("--flops", type=number, metavar="C", help="instead of both: training FLOPs, counted as 6ND")
    command.add_argument("--days", type=positive, metavar="T", help="instead: days on --devices at --mfu, exact FLOPs")
    kinds = ", ".join(sorted(PEAK_FLOPS))
    command.add_argument("--devices", metavar="NxKIND", help=f"such as 8xh200; kinds: {kinds}")
    command.add_argument("--mfu", type=positive, help="share of the devices' dense bfloat16 peak, such as 0.4")
    command.add_argument("--from", dest="fits", nargs="+", type=Path, metavar="FIT.json", help="fitted laws")
    command.add_argument(
        "--published", nargs="+", metavar="NAME", help="published laws, after those of --from (default without --from)"
    )
    command.add_argument("--batch-size-tokens", type=positive, metavar="B", help="train at this batch")
    command.add_argument("--give-up", type=positive, metavar="PERCENT", help="of the reducible loss (default 1)")
    command.add_argument("--give-up-nats", type=positive, metavar="X", help="instead: nats per token")
    command.add_argument(
        "--schedule", metavar="KIND", help="the run's learning-rate schedule: laws of others are named"
    )
    command.add_argument("--params-convention", choices=("total", "non_embedding", "active"), help="what N counts")
    command.add_argument("--aspect", type=positive, metavar="X", help="d_model over n_layers (default: the ladder's)")
    command.add_argument("--vocab-size", type=int, metavar="V", help="default: 32,000, or 257 (bytes) with --from")
    command.add_argument("--seq-len", type=int, default=2048, metavar="L", help="positions a row (default 2048)")
    command.add_argument("--figure", type=Path, metavar="PATH", help="draw the plateau (png, svg or pdf)")
    command.add_argument("--json", action="store_true", help="print one JSON document")
    command.set_defaults(handle=_recommend)


def _recommend(options: argparse.Namespace) -> None:
    import numpy as np

    from lbscale.laws.text import plain

    check_figure(options.figure)
    devices = _devices(options)
    with np.errstate(all="ignore"):  # what is not finite is said to be unknown
        answer = _answer(options, devices)
    if options.figure is not None:
        _draw(answer, options.figure)
    if options.json:
        print_json(plain(answer))
        return
    print("\n".join(_lines(answer)))


def check_figure(figure: Path | None) -> None:
    """Raise InputError for a figure that could not be written, before anything is computed."""
    if figure is not None:
        check(os.path.isdir(figure.parent), "figure", str(figure), "a path in a folder that exists is needed")
        check(figure.suffix in FIGURES, "figure", str(figure), f"a name in {', '.join(FIGURES)}")


def _devices(options: argparse.Namespace) -> Devices | None:
    """The devices, where they are named; raises InputError for flags that contradict one another."""
    check((options.devices is None) == (options.mfu is None), "mfu", options.mfu, "--devices and --mfu go together")
    named = options.devices is not None
    check(named or options.days is None, "days", options.days, "--devices and --mfu say what a day buys")
    budget = {"n_params": options.n_params, "n_tokens": options.n_tokens, "flops": options.flops}
    others = sorted(name for name, value in budget.items() if value is not None)
    check(options.days is None or not others, "days", others, "--days alone, without a size or another budget")
    twice = options.give_up is not None and options.give_up_nats is not None
    check(not twice, "give_up", options.give_up, "--give-up or --give-up-nats, not both")
    return parse_devices(options.devices, options.mfu) if named else None


def _answer(options: argparse.Namespace, devices: Devices | None) -> dict[str, Any]:
    """The document: the laws' answer, with shape and wall time."""
    from lbscale import laws
    from lbscale.laws.published_table import DEFAULTS

    fits: list[Any] = [laws.Fit.load(path) for path in options.fits or []]
    usual = VOCABULARY_OF_BYTES if fits else PUBLISHED_VOCABULARY
    vocabulary = usual if options.vocab_size is None else options.vocab_size
    for field, value in (("vocab_size", vocabulary), ("seq_len", options.seq_len)):
        check(1 <= value <= 10_000_000, field, value, "a whole number from 1 to 10,000,000")
    shapes = Shapes(vocabulary, options.seq_len, options.aspect)
    fits += options.published or (() if fits else DEFAULTS)
    mixed = any(isinstance(fit, str) for fit in fits)
    given = {
        "batch_size_tokens": options.batch_size_tokens,
        "give_up_percent": options.give_up,
        "give_up": options.give_up_nats,
        "schedule": options.schedule,
        "params_convention": options.params_convention,
        "recount": shapes.recount if mixed else None,
    }
    if options.days is not None:
        assert devices is not None
        return _in_days(fits, given, shapes, devices, options.days)
    sizes = {"n_params": options.n_params, "n_tokens": options.n_tokens, "flops": options.flops}
    answer = laws.recommend(fits, **sizes, **given)
    check(
        answer["n_params"]["value"] is not None,
        "flops",
        options.flops,
        f"a budget that laws can split: {answer['n_params']['source']}",
    )
    return _with_shape(answer, shapes, options.params_convention, devices)


def _in_days(fits: list[Any], given: dict[str, Any], shapes: Shapes, devices: Devices, days: float) -> dict[str, Any]:
    """The answer whose exact FLOPs take that long: its 6ND is moved until they do."""
    from lbscale import laws

    budget = flops = days * SECONDS_PER_DAY * devices.flops_per_second
    for _ in range(ROUNDS):
        answer = _with_shape(laws.recommend(fits, flops=flops, **given), shapes, None, devices)
        check(
            answer["n_params"]["value"] is not None,
            "days",
            days,
            f"a budget that laws can split: {answer['n_params']['source']}",
        )
        spent = answer["shape"].get("train_flops")
        if spent is None:
            raise InputError("days", days, f"a budget that some decoder fits: {answer['shape']['source']}")
        flops *= budget / spent
        if abs(spent / budget - 1.0) < CLOSE:
            break
    # Decoders come in steps: what the last of them leaves of the budget, or lacks, is made good in tokens.
    n_params, n_tokens = answer["n_params"], answer["n_tokens"]
    exact = n_tokens["value"] * budget / spent
    given |= {"params_convention": _convention(answer)}
    sized = laws.recommend(fits, n_params=n_params["value"], n_tokens=exact, **given)
    ends = [end and end * budget / spent for end in n_tokens["interval"] or ()] or None
    sized |= {"n_params": n_params, "n_tokens": {**n_tokens, "value": exact, "interval": ends}}
    return _with_shape(sized, shapes, None, devices)


def _with_shape(
    answer: dict[str, Any], shapes: Shapes, convention: str | None, devices: Devices | None
) -> dict[str, Any]:
    """The answer with the decoder of its size, and the time that takes on the devices."""
    n_params, n_tokens = answer["n_params"]["value"], answer["n_tokens"]["value"]
    nothing = {"value": None, "interval": None, "valid_for": None}
    if n_params is None or n_tokens is None:
        reason = "no size is known"
        return {**answer, "shape": {"source": reason}, "wall_seconds": {**nothing, "source": reason}}
    shape = shapes.document(n_params, convention or _convention(answer), n_tokens)
    wall = {**nothing, "source": "no devices are named"}
    if devices is not None and "train_flops" in shape:
        wall |= {"value": shape["train_flops"] / devices.flops_per_second, "source": devices.said}
    elif devices is not None:
        wall["source"] = "no shape is known"
    return {**answer, "shape": shape, "wall_seconds": wall}


def _convention(answer: dict[str, Any]) -> str:
    """What the answer's n_params counts: as its own law does, else as the first field's law that reads it."""
    fields = [answer["n_params"], answer["loss"], answer["learning_rate"]]
    said = [field["valid_for"]["params_convention"] for field in fields if field["valid_for"]]
    return next((kind for kind in said if kind in ("total", "non_embedding", "active")), "non_embedding")


def _draw(answer: dict[str, Any], path: Path) -> None:
    check(
        answer["plateau"].get("boundary") is not None, "figure", str(path), f"a plateau: {answer['plateau']['source']}"
    )
    from lbscale.report.panels import figure_of
    from lbscale.report.plateau_figure import plateau_figure

    figure = figure_of(plateau_figure(answer))
    try:
        figure.savefig(path)
    except OSError as error:
        raise InputError("figure", str(path), f"a file that can be written is needed: {error.strerror}") from error


def _lines(answer: dict[str, Any]) -> list[str]:
    """The answer for a reader, one line a field."""
    lines = []
    for name, field in answer.items():
        if not isinstance(field, dict) or "value" not in field:
            continue
        if field["value"] is None:
            lines.append(f"{name:28} -  ({field['source']})")
            continue
        interval = f"  95 %: {_interval(field['interval'])}" if field["interval"] else ""
        bound = f" {field['bound']}" if field.get("bound") else ""
        lines.append(f"{name:28}{bound} {field['value']:.4g}{interval}  ({field['source']})")
        uncertain = (field["valid_for"] or {}).get("uncertainty")
        if uncertain and not interval:
            lines.append(f"{'':29}no interval: {uncertain}")
    lines += [_shape_line(answer["shape"]), *_plateau_lines(answer["plateau"])]
    lines += [f"note: {note}" for note in answer["notes"]]
    return lines + [f"warning: {warning}" for warning in answer["warnings"]]


def _shape_line(shape: dict[str, Any]) -> str:
    if "d_model" not in shape:
        return f"{'shape':28} -  ({shape['source']})"
    sizes = ", ".join(f"{name} {shape[name]}" for name in ("d_model", "n_layers", "n_heads", "d_ff", "vocab_size"))
    counts = f"{shape['n_params_non_embedding']:.4g} non-embedding and {shape['n_params_total']:.4g} total params"
    return f"{'shape':28} {sizes}; {counts}; {shape['train_flops']:.4g} exact FLOPs  ({shape['source']})"


def _plateau_lines(plateau: dict[str, Any]) -> list[str]:
    lines = []
    if plateau["give_up"] is None:
        lines.append(f"{'plateau':28} -  ({plateau['source']})")
    else:
        lines.append(
            f"{'plateau':28} settings that give up at most {plateau['give_up']:.3g} nats per token of "
            f"{plateau['reducible_loss']:.3g} reducible ({plateau['reducible_loss_is']}; {plateau['source']})"
        )
        rates = plateau["learning_rate"]
        said = _ends(rates, plateau["learning_rate_intervals"]) if rates else "none"
        lines.append(f"{'  learning_rate at the batch':28} {said}")
        batches = _ends(plateau["batch_size_tokens"], plateau["batch_size_tokens_intervals"])
        lines.append(f"{'  batch_size_tokens':28} {batches}")
    largest = plateau.get("largest_batch_size_tokens")
    if largest:
        interval = f"  95 %: {_interval(largest['interval'])}" if largest["interval"] else ""
        rate = f" at a learning rate of {largest['learning_rate']:.4g}" if "learning_rate" in largest else ""
        lines.append(f"{'  largest batch':28} {largest['value']:.4g}{rate}{interval}")
    return lines


def _ends(ends: list[float], intervals: list[list[float | None] | None]) -> str:
    known = [f"{_interval(interval)}" for interval in intervals if interval]
    return f"{ends[0]:.4g} to {ends[1]:.4g}" + (f"  95 % of either end: {', '.join(known)}" if known else "")


def _interval(interval: list[float | None]) -> str:
    low, high = (f"{end:.4g}" if end is not None and math.isfinite(end) else "unknown" for end in interval)
    return f"[{low}, {high}]"
