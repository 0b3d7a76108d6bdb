"""The tables and the picture of `benchmarks.gpu`."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from benchmarks.gpu_network import KINDS

TARGET_SHARE, TARGET_CYCLE = 0.80, 2.3


def as_table(report: Mapping[str, Any]) -> str:
    lines = [f"{report['machine']}, torch {report['torch']}, {report['dtype']}, random weights"]
    shown = {
        "one": _one,
        "compiled": _compiled,
        "concurrency": _concurrency,
        "attention": _attention,
        "correctness": _correctness,
    }
    for label, parts in report["results"].items():
        lines += ["", f"== {label}"]
        for name, part in parts.items():
            if part and "failed" in part:
                lines.append(f"{name}: failed, {part['failed']}")
            elif part:
                lines += shown[name](part)
    if report["left_out"]:
        lines += ["", "left out: " + "; ".join(report["left_out"])]
    return "\n".join(lines)


def _one(part: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"weights {part['weight_gb']:.2f} GB at {part['copy_gb_per_second']:.0f} GB/s (copy): "
        f"floor {part['floor_ms']:.2f} ms, reached {part['share_of_floor']:.0%} "
        f"(target {TARGET_SHARE:.0%})"
    )
    yield (
        f"draft + verify over one step: {part['cycle_over_ar']:.2f} (target at most {TARGET_CYCLE})"
    )
    yield f"{'ms':10}" + "".join(f"{kind:>9}" for kind in KINDS)
    for name in ("captured", "plain"):
        yield f"{name:10}" + "".join(f"{part[f'{name}_ms'][kind]:9.2f}" for kind in KINDS)


def _compiled(part: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'compiled':10}" + "".join(f"{part['ms'][kind]:9.2f}" for kind in KINDS)
    yield f"{'  error':10}" + "".join(f"{part['errors'][kind]:9.1e}" for kind in KINDS)


def _concurrency(part: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'sequences':24}" + "".join(f"{count:>9}" for count in part["sequences"])
    for kind in KINDS:
        yield f"{kind + ' ms':24}" + "".join(f"{each[kind]:9.2f}" for each in part["ms"])
    for name, rates in part["tokens_per_second"].items():
        yield f"{name + ', tokens/s':24}" + "".join(f"{rate:9.0f}" for rate in rates)
    for tokens, at in part["crossover"].items():
        yield f"autoregressive overtakes {tokens} tokens per cycle: {_crossing(part, at)}"


def _crossing(part: Mapping[str, Any], at: float | None) -> str:
    if at is None:
        return f"not up to {part['sequences'][-1]} sequences"
    return f"from {at:.0f} sequences on" if at else "from the start"


def _attention(part: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'attention':12}{'sequences':>10}{'context':>9}" + "".join(
        f"{kind + ' ms':>11}" for kind in KINDS
    )
    for count, variants in part.items():
        for name, contexts in variants.items():
            for context, times in contexts.items():
                yield f"{name:12}{count:>10}{context:>9}" + "".join(
                    f"{times[kind]:11.2f}" for kind in KINDS
                )


def _correctness(part: Mapping[str, Any]) -> Iterator[str]:
    exact, whole, texts = part["float32"], part["whole"], part["texts"]
    yield (
        f"captured equals plain: {'yes' if part['is_right'] else 'NO'} (float32, 2 layers, "
        f"{exact['forwards']} forwards: largest error {exact['largest_error']:.1e}, "
        f"foreign slots changed {exact['others_changed']}, adapter {exact['adapter_effect']:.1e})"
    )
    yield (
        f"whole network: largest error {whole['largest_error']:.1e}, "
        f"same picks {whole['same_picks']:.1%}, adapter {whole['adapter_effect']:.1e}"
    )
    yield f"self-speculation equals autoregressive in {texts['equal_tokens']:.1%} of tokens"
    for name, taken in texts["engine_ms_per_forward"].items():
        yield f"engine, {name}: {taken:.2f} ms per forward"


def plot(report: dict[str, Any], file: str) -> None:
    """Throughput over concurrency, one picture per size. Needs matplotlib."""
    pyplot = import_module("matplotlib.pyplot")
    measured = {
        label: parts["concurrency"]
        for label, parts in report["results"].items()
        if parts.get("concurrency")
    }
    if not measured:
        raise ValueError("nothing to plot: the part 'concurrency' was not measured")
    figure, axes = pyplot.subplots(1, len(measured), squeeze=False, figsize=(6 * len(measured), 5))
    for axis, (label, part) in zip(axes[0], measured.items(), strict=True):
        for name, rates in part["tokens_per_second"].items():
            axis.plot(part["sequences"], rates, marker="o", label=name)
        axis.set(xscale="log", yscale="log", xlabel="sequences", title=label)
        axis.set_ylabel("tokens per second, all sequences")
        axis.legend()
    figure.suptitle(f"{report['machine']}, random weights, assumed acceptance")
    figure.savefig(file)
