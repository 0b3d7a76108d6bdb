"""Trains a diffusion pathway and a sampler for a model that decodes autoregressively.

    python -m decoding.training answers --out answers.jsonl --instructions code:prompts.jsonl.gz
    python -m decoding.training adapter --answers answers.jsonl --held-out held.jsonl --folder run
    python -m decoding.training sampler --answers fresh.jsonl --adapter run/adapter --folder run

    python -m decoding.training ngrams --answers answers.jsonl --folder run
    python -m decoding.training head --answers answers.jsonl --held-out held.jsonl --folder run

    python -m decoding.training demonstrations --out shown.jsonl
    python -m decoding.training tools --demonstrations shown.jsonl --held-out own.jsonl --folder t
    python -m decoding.training merge --adapter t/adapter --out model

`answers` lets the model answer prompts: given ones, synthetic ones and its own. `adapter` learns
drafts from these answers, `sampler` learns which guesses of a denoised block to trust, `ngrams`
counts what the model mostly says, `head` learns to guess the next tokens from the model's vectors.
`tools` learns to call tools from demonstrations, `merge` puts that into the weights: another model
than the published one. Training goes on where it was stopped, except the sampler's and the
head's, which take minutes. See `docs/training.md`.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import chain, islice
from pathlib import Path
from random import Random
from typing import TypeVar

import torch

from decoding.draft_head import DRAFT_HEAD, HeadParameters
from decoding.engine import Engine
from decoding.native.transformer import NativeTransformer, Precision
from decoding.network.transformer import Transformer
from decoding.ngrams import NGRAMS, NgramTable
from decoding.tokenizer import Tokenizer
from decoding.training.answers import (
    Answer,
    Answered,
    Generation,
    begun_answers,
    generate,
    read_answers,
)
from decoding.training.bulk import bulk_answers
from decoding.training.config import AdapterTraining, ToolTraining, Training
from decoding.training.draft_head import HeadTraining, Traces, joined, trace, train_head
from decoding.training.drafting import draft_trainer
from decoding.training.int8 import are_int8_products_quick, with_int8_products
from decoding.training.own_prompts import own_prompts, own_prompts_in_bulk
from decoding.training.sampler import (
    SamplerTraining,
    block_features,
    train_sampler,
    watch,
)
from decoding.training.tasks import Kind, Task, read_instructions
from decoding.training.tool_calling import kept_talk, tool_trainer, written
from decoding.training.tool_tasks import (
    HELD_OUT_DOMAINS,
    TRAINING_DOMAINS,
    demonstrations,
    tool_tasks,
)
from decoding.training.trainer import Progress, Trainer
from decoding.weights import EMBEDDED, load
from decoding.weights.checkpoint import read_network
from decoding.weights.embedded import embedded_directory
from decoding.weights.kept_copy import WEIGHTS
from decoding.weights.merge import merge

_SYSTEMS = (
    None,
    None,
    "You are a helpful assistant.",
    "Answer briefly.",
    "You are a careful assistant. Think step by step.",
    "You are an expert. Answer the user's question.",
)
_LEAST_STATES = 20  # so that some of them can judge
_Config = TypeVar("_Config", bound=Training)
_CPU = torch.device("cpu")
_HEAD_OPTIONS = ("width", "candidates", "epochs", "learning_rate")
_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
_INT8 = "int8"


def main() -> None:
    args = _parser().parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    args.run(args)


def _answers(args: argparse.Namespace) -> None:
    done = begun_answers(args.out) if args.out.exists() else []
    how = replace(
        Generation(),
        max_new_tokens=args.max_new_tokens,
        temperatures=tuple(args.temperatures),
        samples=args.samples,
        at_once=args.at_once or (48 if args.device == "cpu" else 1024),
        seed=args.seed,
    )
    answered = Counter(each.prompt for each in done)
    made = (_by_engine if args.device == "cpu" else _in_bulk)(args, how, answered)
    began, tokens = time.monotonic(), 0
    with args.out.open("a", encoding="utf-8") as file:
        for number, (total, answer) in enumerate(made, 1):
            file.write(answer.to_json() + "\n")
            tokens += len(answer.tokens)
            if number % how.at_once == 0:
                file.flush()
                seconds = time.monotonic() - began
                left = seconds / number * (total - len(done) - number)
                _tell(
                    f"{len(done) + number} of {total} answers, {tokens / seconds:.0f} "
                    f"tokens/s, {left / 60:.0f} min left"
                )


def _by_engine(
    args: argparse.Namespace, how: Generation, answered: Answered
) -> Iterator[tuple[int, Answer]]:
    """Answers, each with the number of all that are wanted."""
    engine = Engine.load(
        args.model,
        profile="fast",
        adapter=None,
        max_live=how.at_once,
        cache_tokens=2048 * how.at_once,
    )
    with engine:
        tasks = _tasks(args, lambda count: own_prompts(engine, count, seed=args.seed))
        for answer in generate(engine, tasks, how, answered):
            yield len(tasks) * how.samples, answer


def _in_bulk(
    args: argparse.Namespace, how: Generation, answered: Answered
) -> Iterator[tuple[int, Answer]]:
    """The same on a GPU."""
    if args.tool_tasks:
        raise SystemExit("--tool-tasks have grammars and are answered on the CPU: no --device")
    network, tokenizer = _network(args), Tokenizer.from_directory(_directory(args))
    tasks = _tasks(
        args, lambda count: own_prompts_in_bulk(network, tokenizer, count, seed=args.seed)
    )
    for answer in bulk_answers(network, tokenizer, tasks, how, answered):
        yield len(tasks) * how.samples, answer


def _tasks(args: argparse.Namespace, own: Callable[[int], Iterator[Task]]) -> list[Task]:
    """Free text under system messages of several kinds, and tools, in random order."""
    random = Random(args.seed)
    tasks = _instructions(args, random)
    domains = HELD_OUT_DOMAINS if args.held_out_tools else TRAINING_DOMAINS
    made = list(tool_tasks(args.seed, args.tool_tasks, domains))
    for number, task in enumerate(own(args.own_prompts), 1):
        tasks.append(task)
        if number % 1000 == 0:
            _tell(f"{number} of {args.own_prompts} prompts of the model's own")
    tasks = [_with_system(task, random.choice(_SYSTEMS)) for task in tasks] + made
    random.shuffle(tasks)
    return tasks


def _instructions(args: argparse.Namespace, random: Random) -> list[Task]:
    tasks: list[Task] = []
    for each in args.instructions:
        kind, file = each.split(":", 1)
        source = Path(file).name.split(".")[0]
        read = list(read_instructions(Path(file), source, Kind(kind)))
        random.shuffle(read)
        tasks += read[: args.limit]
    return tasks


def _with_system(task: Task, system: str | None) -> Task:
    before = () if system is None else (("system", system),)
    return replace(task, messages=(*before, *task.messages))


def _adapter(args: argparse.Namespace) -> None:
    config = _config(args, AdapterTraining)
    answers = [answer for file in args.answers for answer in read_answers(file)]
    held_out = read_answers(args.held_out)
    limits = {"seconds": args.seconds, "workers": args.workers}
    _train(args, draft_trainer(_network(args), config, answers, held_out, args.folder, **limits))


def _ngrams(args: argparse.Namespace) -> None:
    answers = [answer for file in args.answers for answer in read_answers(file)]
    _tell(f"{sum(len(answer.tokens) for answer in answers)} tokens of {len(answers)} answers")
    table = NgramTable.learn(((each.text, len(each.prompt)) for each in answers), args.most)
    args.folder.mkdir(parents=True, exist_ok=True)
    table.save(args.folder / NGRAMS)
    _tell(f"{len(table)} entries, {(args.folder / NGRAMS).stat().st_size} bytes")


def _head(args: argparse.Namespace) -> None:
    given = {name: getattr(args, name) for name in _HEAD_OPTIONS}
    config = HeadTraining(**{name: value for name, value in given.items() if value is not None})
    network = load(
        args.model, device=_CPU, dtype=torch.float32, adapter=None, native=Precision.COARSE
    ).network
    if not isinstance(network, NativeTransformer):
        raise SystemExit("heads are trained for the compiled forward, which is not there")
    args.device = "cpu"
    weights = _network(args).parameters
    start = None
    if args.start_from is not None:
        vocab_size, hidden_size = weights.embedding_VE.shape
        start = HeadParameters.load(args.start_from, hidden_size=hidden_size, vocab_size=vocab_size)
        config = replace(config, width=start.width, candidates=len(start.tokens_C))
    answers = [answer for file in args.answers for answer in read_answers(file)]
    seen = joined(list(_told(trace(network, answers), len(answers))))
    held_out = joined(list(trace(network, read_answers(args.held_out))))
    args.folder.mkdir(parents=True, exist_ok=True)
    written = asdict(config) | {
        "tokens": len(seen.tokens_N),
        "start_from": args.start_from and str(args.start_from),
    }
    text = json.dumps(written, indent=2) + "\n"
    (args.folder / "head.json").write_text(text, encoding="utf-8")
    for progress, head in train_head(
        seen, held_out, weights.embedding_VE.float(), weights.head_VE.float(), config, start
    ):
        right = " ".join(f"{share:.3f}" for share in progress.right)
        _tell(
            f"epoch {progress.epoch} of {config.epochs}: loss {progress.loss:.3f}, right {right}, "
            f"{progress.tokens_per_step:.2f} tokens per step"
        )
        head.save(args.folder / DRAFT_HEAD)


def _told(traces: Iterator[Traces], total: int) -> Iterator[Traces]:
    for number, each in enumerate(traces, 1):
        if number % 500 == 0:
            _tell(f"{number} of {total} answers read")
        yield each


def _demonstrations(args: argparse.Namespace) -> None:
    tokenizer = Tokenizer.from_directory(_directory(args))
    domains = HELD_OUT_DOMAINS if args.held_out_tools else TRAINING_DOMAINS
    shown = written(tokenizer, demonstrations(args.seed, args.count, domains))
    with args.out.open("w", encoding="utf-8") as file:
        for number, answer in enumerate(chain(shown, _talk(args)), 1):
            file.write(answer.to_json() + "\n")
            if number % 500 == 0:
                _tell(f"{number} demonstrations")


def _talk(args: argparse.Namespace) -> Iterator[Answer]:
    """What the model says to questions that need no tool."""
    if not args.instructions:
        return
    tasks = _instructions(args, Random(args.seed))
    with Engine.load(args.model, profile="fast", adapter=None) as engine:
        answers = generate(engine, tasks, replace(Generation(), temperatures=(0.0,)))
        yield from kept_talk(engine.tokenizer, tasks, answers, args.seed)


def _tools(args: argparse.Namespace) -> None:
    config = _config(args, ToolTraining)
    shown, held_out = read_answers(args.demonstrations), read_answers(args.held_out)
    limits = {"seconds": args.seconds, "workers": args.workers}
    _train(args, tool_trainer(_network(args), config, shown, held_out, args.folder, **limits))


def _merge(args: argparse.Namespace) -> None:
    base = _directory(args)
    if not (base / WEIGHTS).exists():
        raise SystemExit(f"{base} has no {WEIGHTS}; give --model a checkpoint in a single file")
    if args.out.resolve() == base.resolve():
        raise SystemExit("--out is the checkpoint itself; give another folder")
    args.out.mkdir(parents=True, exist_ok=True)
    merge(base, args.adapter, args.out)


def _config(args: argparse.Namespace, kind: type[_Config]) -> _Config:
    """The file's, or the usual one, with what the command line says."""
    config = kind.read(args.config) if args.config else kind()
    names = (
        "rank",
        "alpha",
        "steps",
        "rows_per_step",
        "learning_rate",
        "average",
        "evaluate_every",
    )
    given = {name: getattr(args, name) for name in names}
    return replace(config, **{name: value for name, value in given.items() if value})


def _train(args: argparse.Namespace, trainer: Trainer) -> None:
    if trainer.resume():
        _tell(f"going on from step {trainer.step}")
    elif args.start_from:
        trainer.start_from(args.start_from)
    trainer.run(_tell_step)


def _sampler(args: argparse.Namespace) -> None:
    config = SamplerTraining()
    greedy = [each for file in args.answers for each in read_answers(file) if not each.temperature]
    states = []
    engine = Engine.load(args.model, device=args.device, profile=args.profile, adapter=args.adapter)
    with engine:
        features = block_features(engine.network.ngrams)
        for state in islice(watch(engine, greedy, features, config), args.states):
            states.append(state)
            if len(states) % 5000 == 0:
                _tell(f"{len(states)} states of blocks")
    if len(states) < _LEAST_STATES:
        raise SystemExit(
            f"only {len(states)} states of blocks: give more greedy answers, of at least "
            f"{max(config.block_lengths)} tokens"
        )
    args.folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(config) | {"states": len(states)}, indent=2) + "\n"
    (args.folder / "sampler.json").write_text(text, encoding="utf-8")
    best = 0.0
    for progress, sampler in train_sampler(states, features, config):
        _tell(
            f"epoch {progress.epoch} of {config.epochs}: loss {progress.loss:.4f}, "
            f"area {progress.held_out_area:.4f}"
        )
        if progress.held_out_area >= best:
            best = progress.held_out_area
            sampler.save(args.folder / "sampler")


def _directory(args: argparse.Namespace) -> Path:
    if args.model == EMBEDDED:
        return embedded_directory(None, None)
    return Path(args.model).expanduser()


def _network(args: argparse.Namespace, adapter: Path | None = None) -> Transformer:
    is_rounded = args.dtype == _INT8
    if is_rounded and (args.device != "cpu" or not are_int8_products_quick()):
        raise SystemExit("--dtype int8 is for CPUs with AVX-512 VNNI: take float32 or bfloat16")
    network = read_network(
        _directory(args),
        dtype=torch.float32 if is_rounded else _DTYPES[args.dtype],
        device=torch.device(args.device),
        name=args.model,
        adapter=adapter,
    )
    return with_int8_products(network) if is_rounded else network


def _tell_step(progress: Progress) -> None:
    if progress.step % 10 and not progress.judged:
        return
    judged = ", ".join(f"{kind} {each:.2f}" for kind, each in progress.judged.items())
    _tell(
        f"step {progress.step} of {progress.steps}: {progress.rows} rows, loss "
        f"{progress.loss:.3f}, {progress.right:.2f} right, "
        f"{max(progress.seconds_left, 0.0) / 60:.0f} min left"
        + (f"; held out: {judged}" if judged else "")
    )


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m decoding.training", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--threads", type=int, default=0, help="of torch; its own choice by default"
    )
    commands = parser.add_subparsers(required=True)

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text)
        added.set_defaults(run=run)
        added.add_argument("--model", default=EMBEDDED, help="a name or a directory")
        added.add_argument("--device", default="cpu")
        return added

    answers = command("answers", _answers, "let the model answer prompts")
    answers.add_argument("--out", type=Path, required=True, help="JSON Lines, appended to")
    _add_instructions(answers)
    answers.add_argument("--tool-tasks", type=int, default=0, help="synthetic calls of tools")
    answers.add_argument("--own-prompts", type=int, default=0, help="that the model writes itself")
    answers.add_argument("--held-out-tools", action="store_true", help="of tools for evaluation")
    answers.add_argument("--temperatures", type=float, nargs="+", default=[0.0, 0.0, 0.7])
    answers.add_argument("--samples", type=int, default=1, help="answers to each prompt")
    answers.add_argument("--max-new-tokens", type=int, default=160)
    answers.add_argument("--at-once", type=int, help="decoded together")
    answers.add_argument("--dtype", choices=_DTYPES, default="bfloat16", help="on a GPU")
    answers.add_argument("--seed", type=int, default=0)

    def training(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = command(name, run, text)
        add = added.add_argument
        add("--held-out", type=Path, required=True)
        add("--folder", type=Path, required=True, help="state, curve and adapter")
        add("--config", type=Path, help="as training.json of an earlier run")
        add("--rank", type=int)
        add("--alpha", type=float)
        add("--steps", type=int)
        add("--rows-per-step", type=int)
        add("--learning-rate", type=float)
        add("--average", type=int, metavar="STEPS", help="in the mean that is kept")
        add("--evaluate-every", type=int, metavar="STEPS")
        add("--seconds", type=float, help="at most, the last step included")
        add("--start-from", type=Path, metavar="ADAPTER", help="trained before")
        add("--workers", type=int, default=0, help="processes that draw what steps look at")
        add(
            "--dtype",
            choices=(*_DTYPES, _INT8),
            default="bfloat16",
            help="int8: float32 with products in int8, on a CPU",
        )
        return added

    adapter = training("adapter", _adapter, "train the draft adapter")
    adapter.add_argument("--answers", type=Path, nargs="+", required=True)

    ngrams = command("ngrams", _ngrams, "count what the model mostly says")
    ngrams.add_argument("--answers", type=Path, nargs="+", required=True)
    ngrams.add_argument("--folder", type=Path, required=True, help="of the checkpoint")
    ngrams.add_argument("--most", type=int, default=80_000, help="pairs of tokens kept")

    head = command("head", _head, "train a head that guesses the next tokens")
    head.add_argument("--answers", type=Path, nargs="+", required=True)
    head.add_argument("--held-out", type=Path, required=True)
    head.add_argument("--folder", type=Path, required=True, help="of the checkpoint")
    head.add_argument("--width", type=int)
    head.add_argument("--candidates", type=int, help="tokens it can guess")
    head.add_argument("--epochs", type=int)
    head.add_argument("--learning-rate", type=float)
    head.add_argument(
        "--start-from",
        type=Path,
        metavar="FILE",
        help="a head trained before, whose width and candidates stay",
    )
    head.add_argument("--dtype", choices=_DTYPES, default="float32")

    shown = command("demonstrations", _demonstrations, "write right answers to tool tasks")
    shown.add_argument("--out", type=Path, required=True, help="JSON Lines")
    shown.add_argument("--count", type=int, default=16_000)
    _add_instructions(shown)
    shown.add_argument("--held-out-tools", action="store_true", help="of tools for evaluation")
    shown.add_argument("--seed", type=int, default=0)

    tools = training("tools", _tools, "train an adapter for calling tools")
    tools.add_argument("--demonstrations", type=Path, required=True)

    merged = command("merge", _merge, "make a checkpoint with such an adapter in its weights")
    merged.add_argument("--adapter", type=Path, required=True, help="for calling tools")
    merged.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")

    sampler = command("sampler", _sampler, "train the sampler")
    sampler.add_argument("--answers", type=Path, nargs="+", required=True)
    sampler.add_argument("--adapter", type=Path, required=True)
    sampler.add_argument("--folder", type=Path, required=True)
    sampler.add_argument("--states", type=int, default=60_000, help="of blocks, at most")
    sampler.add_argument("--profile", choices=("exact", "fast"), default="fast")
    return parser


def _add_instructions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--instructions",
        nargs="*",
        default=[],
        metavar="KIND:FILE",
        help='prose or code, and a file of {"instruction", "input"} lines',
    )
    parser.add_argument("--limit", type=int, default=None, help="instructions of each file")


if __name__ == "__main__":
    main()
