"""Commands about laws, which need a table and no device: fit, predict, recommend."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lbscale.cli.arguments import as_mapping, number, number_pair, pair, print_json
from lbscale.errors import check


def add(commands: argparse._SubParsersAction) -> None:
    """Register the commands."""
    _add_fit(commands)
    _add_predict(commands)
    _add_recommend(commands)


def _add_fit(commands: Any) -> None:
    text = "fit a law to a run table"
    fit = commands.add_parser("fit", help=text, description=text)
    fit.add_argument("table", type=Path, help="CSV or parquet, a row a run")
    fit.add_argument("--law", required=True, help="a law's name")
    fit.add_argument("--where", metavar="EXPR", help="rows to use, as a pandas query")
    fit.add_argument("--holdout", metavar="EXPR", help="rows to predict instead of fitting, as a pandas query")
    fit.add_argument(
        "--map", nargs="+", type=pair, metavar="NAME=COLUMN", help="the table's names for the law's columns"
    )
    fit.add_argument("--loss", choices=("squares", "huber", "lad"), help="default: the law's own")
    fit.add_argument("--delta", type=number, help="where the Huber loss turns linear")
    fit.add_argument("--residual", choices=("log", "linear"), help="default: the law's own")
    fit.add_argument("--params-convention", choices=("total", "non_embedding", "active"), help="what n_params counts")
    fit.add_argument("--bootstrap", type=int, default=200, metavar="K", help="resamples (default 200)")
    fit.add_argument("--seed", type=int, default=0, metavar="S", help="of the resamples (default 0)")
    fit.add_argument("--out", type=Path, metavar="FIT.json", help="write the fit, for predict and recommend")
    fit.add_argument("--json", action="store_true", help="print one JSON document")
    fit.set_defaults(handle=_fit)


def _fit(options: argparse.Namespace) -> None:
    from lbscale import laws

    if options.out:
        check(options.out.parent.is_dir(), "out", str(options.out), "a path in a folder that exists is needed")
    fitted = laws.fit(
        options.table,
        options.law,
        where=options.where,
        holdout=options.holdout,
        map=as_mapping("map", options.map) or None,
        loss=options.loss,
        delta=options.delta,
        residual=options.residual,
        params_convention=options.params_convention,
        bootstrap=options.bootstrap,
        seed=options.seed,
    )
    if options.out:
        fitted.save(options.out)
    if options.json:
        print_json(fitted.document())
    else:
        print(fitted.summary())


def _add_predict(commands: Any) -> None:
    text = "predict a run's loss from a fit"
    predict = commands.add_parser("predict", help=text, description=text)
    predict.add_argument("fit", type=Path, metavar="FIT.json", help="a fit that `lbscale fit --out` wrote")
    predict.add_argument(
        "--set", nargs="+", type=number_pair, required=True, metavar="NAME=VALUE", help="where to predict"
    )
    predict.add_argument("--json", action="store_true", help="print one JSON document")
    predict.set_defaults(handle=_predict)


def _predict(options: argparse.Namespace) -> None:
    from lbscale import laws

    prediction = laws.Fit.load(options.fit).predict(**as_mapping("set", options.set))
    if options.json:
        print_json(prediction.document())
        return
    print(f"loss {prediction.value:.4f} nats per token")
    print(f"  95 % of the law's mean  {_interval(prediction.interval_mean)}")
    print(f"  95 % of one new run     {_interval(prediction.interval_new_run)}")
    for warning in prediction.warnings:
        print(f"  warning: {warning}")


def _add_recommend(commands: Any) -> None:
    text = "recommend settings for a size and a token budget, or for a compute budget"
    recommend = commands.add_parser("recommend", help=text, description=text)
    recommend.add_argument("--n-params", type=number, metavar="N", help="non-embedding parameters")
    recommend.add_argument("--n-tokens", type=number, metavar="D", help="training tokens")
    recommend.add_argument("--flops", type=number, metavar="C", help="instead of both: training FLOPs, counted as 6ND")
    recommend.add_argument(
        "--from", dest="fits", nargs="+", type=Path, default=[], metavar="FIT.json", help="fitted laws"
    )
    recommend.add_argument("--json", action="store_true", help="print one JSON document")
    recommend.set_defaults(handle=_recommend)


def _recommend(options: argparse.Namespace) -> None:
    from lbscale import laws

    check(bool(options.fits), "from", options.fits, "at least one fit that `lbscale fit --out` wrote is needed")
    fits = [laws.Fit.load(path) for path in options.fits]
    answer = laws.recommend(fits, n_params=options.n_params, n_tokens=options.n_tokens, flops=options.flops)
    if options.json:
        print_json(answer)
        return
    for name, field in answer.items():
        if name == "warnings":
            continue
        if field["value"] is None:
            print(f"{name:28} -  ({field['source']})")
        else:
            interval = f"  95 %: {_interval(field['interval'])}" if field["interval"] else ""
            bound = f" {field['bound']}" if field.get("bound") else ""
            print(f"{name:28}{bound} {field['value']:.4g}{interval}  ({field['source']})")
    for warning in answer["warnings"]:
        print(f"warning: {warning}")


def _interval(interval: list[float | None]) -> str:
    low, high = ("unknown" if end is None else f"{end:.4g}" for end in interval)
    return f"[{low}, {high}]"
