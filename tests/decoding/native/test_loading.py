"""When the compiled forward is chosen, and what runs in its place."""

import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from safetensors.torch import load_file, save_file

from decoding import Engine, SelfSpeculation, WeightsError
from decoding.native import library, pick
from decoding.native.library import NativeUnavailable, builds
from decoding.native.transformer import NativeTransformer, Precision
from decoding.network.transformer import Transformer
from decoding.weights import native
from decoding.weights.native import read_native
from tests.decoding.checkpoints import reference_logits, save_checkpoint
from tests.decoding.native.networks import symmetric
from tests.decoding.nemotron import ADAPTER, write_nemotron

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


@pytest.fixture(scope="module")
def inexact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nemotron(tmp_path_factory.mktemp("inexact"))


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In float32: what packs exactly is no bfloat16. The adapter stays as it is."""
    directory = write_nemotron(tmp_path_factory.mktemp("exact"))
    rewrite(directory)
    return directory


def rewrite(directory: Path, damage: float | None = None) -> None:
    tensors = load_file(directory / "model.safetensors")
    tensors = {
        key: symmetric(each.float()) if each.ndim == 2 else each.float()
        for key, each in tensors.items()
    }
    if damage is not None:
        tensors["encoder.layers.1.self_attn.o_proj.weight"][3, 4] = damage
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def read(directory: Path, precision: Precision, adapter: str | None = ADAPTER) -> object:
    folder = None if adapter is None else directory / adapter
    return read_native(directory, name="it", adapter=folder, precision=precision)


def test_weights_that_would_be_rounded_run_compiled_when_fast_only(inexact: Path) -> None:
    assert read(inexact, Precision.FINE) is None
    network = read(inexact, Precision.COARSE)
    assert isinstance(network, NativeTransformer)
    assert not network.is_exact
    with Engine.load(inexact, profile="exact", cache_tokens=256) as engine:
        assert isinstance(engine.network, Transformer)
    with Engine.load(inexact, profile="fast", cache_tokens=256) as engine:
        assert isinstance(engine.network, NativeTransformer)
        engine.generate([200, 201], mode=SelfSpeculation(4), max_new_tokens=8)


def test_weights_that_pack_without_loss_run_compiled(exact: Path) -> None:
    """An adapter that does not is no reason against it."""
    for adapter in (None, ADAPTER):
        network = read(exact, Precision.FINE, adapter)
        assert isinstance(network, NativeTransformer)
        assert network.is_exact
        assert network.has_adapter == (adapter is not None)


def test_a_weight_behind_the_first_that_does_not_pack(exact: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(exact, tmp_path / "copy")
    rewrite(directory, damage=0.123456)
    assert read(directory, Precision.FINE) is None


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_named(
    exact: Path, tmp_path: Path, number: float, precision: Precision
) -> None:
    directory = shutil.copytree(exact, tmp_path / "copy")
    rewrite(directory, damage=number)
    with pytest.raises(WeightsError, match="layer 1, output: a weight is infinite") as caught:
        read(directory, precision)
    assert caught.value.file == directory


def test_heads_that_are_not_supported_run_on_torch(tmp_path: Path) -> None:
    model = save_checkpoint("llama", tmp_path)  # with heads 12 wide
    assert read(tmp_path, Precision.COARSE, None) is None
    with Engine.load(tmp_path, profile="fast", cache_tokens=256) as engine:
        assert isinstance(engine.network, Transformer)
    assert reference_logits(model, [1, 2]).isfinite().all()


def without_builds() -> NoReturn:
    raise NativeUnavailable("none here")


def test_without_a_build_all_runs_on_torch(exact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Engine.load(exact, cache_tokens=256) as engine:
        compiled = engine.generate([200, 201, 202], max_new_tokens=8)
    monkeypatch.setattr(native, "library", without_builds)
    monkeypatch.setattr(pick, "library", without_builds)
    assert read(exact, Precision.FINE) is None
    for profile in ("exact", "fast"):
        with Engine.load(exact, profile=profile, cache_tokens=256) as engine:  # type: ignore[arg-type]
            assert isinstance(engine.network, Transformer)
            found = engine.generate([200, 201, 202], max_new_tokens=8)
        if profile == "exact":
            assert found.token_ids == compiled.token_ids
            assert found.logprobs == pytest.approx(compiled.logprobs, abs=1e-3)


def test_no_builds_are_found_where_there_are_none(tmp_path: Path) -> None:
    assert list(builds(tmp_path)) == []
    (tmp_path / f"_avx2{SUFFIX}").write_bytes(b"no library")
    assert list(builds(tmp_path / ".." / tmp_path.name)) == []


def test_builds_that_were_compiled_run_here() -> None:
    """The portable one runs wherever one could be compiled at all."""
    found = builds()
    if not found:
        pytest.skip("there is no compiler")
    assert library.library() is found[0]
    assert "_portable" in found[-1]._name


def test_what_is_built_is_what_is_looked_for() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))
    modules = project["tool"]["setuptools"]["ext-modules"]
    assert [each["name"].rpartition(".")[2] for each in modules] == list(library._BUILDS)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no compiler")
def test_a_build_of_another_version_is_not_loaded(tmp_path: Path) -> None:
    source = tmp_path / "other.c"
    source.write_text(
        "int trimode_version(void) { return -1; }\nint trimode_supported(void) { return 1; }\n"
    )
    target = tmp_path / f"_portable{SUFFIX}"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", target, source], check=True)
    assert list(builds(tmp_path)) == []


def test_builds_are_told_apart_by_what_they_contain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(library.build_id.__wrapped__()) == 24
    built = builds()
    ids = set()
    for each in built:
        monkeypatch.setattr(library, "library", lambda each=each: each)
        ids.add(library.build_id.__wrapped__())
    assert len(ids) == len(built)

    def gone() -> NoReturn:
        raise NativeUnavailable("it was not built")

    monkeypatch.setattr(library, "library", gone)
    assert library.build_id.__wrapped__() == ""
