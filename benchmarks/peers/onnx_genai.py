"""onnxruntime-genai on int4 weights, which its own model builder makes from the directory."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers.base import (
    Answer,
    Ask,
    Model,
    Serial,
    Setting,
    compact,
    fingerprint,
    not_installed,
)

FAMILY = "onnxruntime-genai"
_MODULE = "onnxruntime_genai"
_PACKAGES = {_MODULE: "onnxruntime-genai", "onnx": "onnx", "onnx_ir": "onnx_ir"}
_INSTALL = "pip install onnxruntime-genai onnx onnx_ir"


@dataclass
class OnnxGenai(Serial):
    name: str = f"{FAMILY} int4"
    family: str = FAMILY
    has_grammar: bool = True
    is_for_schemas_only: bool = False
    _module: Any = None
    _model: Any = None
    _tokenizer: Any = None

    def missing(self) -> str:
        return not_installed(_PACKAGES, _INSTALL)

    def open(self, model: Model, setting: Setting) -> None:
        self._module = import_module(_MODULE)
        directory = _built(model)
        config = self._module.Config(str(directory))
        config.overlay(
            json.dumps(
                {
                    "model": {
                        "decoder": {
                            "session_options": {
                                "intra_op_num_threads": setting.threads,
                                "inter_op_num_threads": 1,
                                # Its idle threads would spin while others are measured.
                                "session.force_spinning_stop": "1",
                            }
                        }
                    }
                }
            )
        )
        self._model = self._module.Model(config)
        self._tokenizer = model.tokenizer

    def generate(self, ask: Ask) -> Answer:
        generator = self._generator(ask)
        generator.append_tokens(list(ask.prompt))
        ids: list[int] = []
        while len(ids) < ask.max_tokens:
            generator.generate_next_token()
            ids.append(int(generator.get_next_tokens()[0]))
            if ask.schema is not None and ids[-1] in self._tokenizer.eos_token_ids:
                break
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        return Answer(text, len(ids), len(ask.prompt))

    def close(self) -> None:
        self._model = None

    def _generator(self, ask: Ask) -> Any:
        """A new one for each answer, since a generator keeps one schema: nothing is re-used."""
        params = self._module.GeneratorParams(self._model)
        longest = len(ask.prompt) + ask.max_tokens
        # Up to `min_length` no end token is picked.
        shortest = longest if ask.schema is None else 0
        params.set_search_options(do_sample=False, max_length=longest + 1, min_length=shortest)
        if ask.schema is not None:
            params.set_guidance("json_schema", json.dumps(compact(ask.schema)))
        return self._module.Generator(self._model, params)


def _built(model: Model) -> Path:
    """The model in ONNX, built once."""
    target = model.cache / f"onnx-int4-{fingerprint(model.directory)}"
    if not (target / "genai_config.json").exists():
        target.mkdir(parents=True, exist_ok=True)
        source = _with_architecture(model)
        command = [sys.executable, "-m", f"{_MODULE}.models.builder", "-i", str(source)]
        command += ["-o", str(target), "-p", "int4", "-e", "cpu", "-c", str(target)]
        command += ["--extra_options", "int4_accuracy_level=4"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"its model builder failed: {done.stderr[-300:]}")
    return target


def _with_architecture(model: Model) -> Path:
    """A view of the directory whose configuration names its class, which the builder reads."""
    directory = model.directory.resolve()  # links have to hold from where they stand
    view = model.cache / f"onnx-source-{fingerprint(directory)}"
    shutil.rmtree(view, ignore_errors=True)
    view.mkdir(parents=True)
    for file in directory.iterdir():
        (view / file.name).symlink_to(file)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = config.get("architectures") or ["LlamaForCausalLM"]
    (view / "config.json").unlink()
    (view / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return view


def contenders() -> list[OnnxGenai]:
    return [OnnxGenai()]
