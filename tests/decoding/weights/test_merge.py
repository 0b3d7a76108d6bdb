"""An adapter merged into weights, and the embedded model that ships so."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from decoding import Engine, SelfSpeculation, WeightsError
from decoding.native.library import NativeUnavailable, library
from decoding.native.packing import packs_exactly
from decoding.network.adapter import ALL_ROWS
from decoding.training.draft_adapter import LowRankAdapter
from decoding.training.streams import Example, Packed, read_text
from decoding.weights import EMBEDDED, EMBEDDED_TOOLS, embedded
from decoding.weights.checkpoint import read_network
from decoding.weights.kept_copy import WEIGHTS, is_intact, keep
from decoding.weights.merge import merge, rounded
from tests.decoding.training.support import CPU, random_adapter, tiny_network, with_adapter


def is_built() -> bool:
    try:
        library()
    except NativeUnavailable:
        return False
    return True


@given(
    outputs=st.integers(1, 9),
    inputs=st.integers(1, 100),
    size=st.sampled_from((1e-6, 1e-2, 1.0, 1e3)),
    seed=st.integers(0, 1000),
)
def test_rounding_is_to_the_nearest_of_eight_bits(
    outputs: int, inputs: int, size: float, seed: int
) -> None:
    weight = torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(seed)) * size
    found = rounded(weight)
    for first in range(0, inputs, 32):
        group = weight[:, first : first + 32]
        step = group.abs().amax(1, keepdim=True) / 127
        # Half a step, and what half precision takes from the largest.
        bound = 0.5 * step + 127 * (step * 2.0**-11 + 2.0**-25)
        assert ((found[:, first : first + 32] - group).abs() <= bound).all()
    torch.testing.assert_close(rounded(found), found, rtol=1e-6, atol=0.0)
    if is_built():
        assert packs_exactly(found)


@pytest.mark.skipif(not is_built(), reason="the compiled forward is not built")
def test_what_was_rounded_to_a_tiny_step_packs_exactly() -> None:
    """There the largest level is 126 in some groups, as the step is a whole number of the least."""
    for seed in range(40):
        weight = torch.randn(24, 64, generator=torch.Generator().manual_seed(seed)) * 3e-4
        assert packs_exactly(rounded(weight)), seed


def tool_adapter(directory: Path) -> tuple[LowRankAdapter, Path]:
    network = tiny_network(directory)
    adapter = LowRankAdapter(network.config, 4, 8.0)
    with torch.no_grad():
        for up in adapter.up.values():
            up.normal_(0.0, 0.3, generator=torch.Generator().manual_seed(1))
    folder = directory / "adapter"
    adapter.save(folder, torch.float32)
    return adapter, folder


def test_merged_weights_compute_what_weights_and_adapter_do(tmp_path: Path) -> None:
    base = tmp_path / "base"
    adapter, folder = tool_adapter(base)
    out = tmp_path / "out"
    keep(out, lambda draft: merge(base, folder, draft))
    assert is_intact(out)
    plain = tiny_network(base)
    merged = read_network(out, dtype=torch.float32, device=CPU, name="merged")
    text = tuple(range(3, 60))
    packed = Packed.of([Example(text, ())], CPU)
    rows = torch.arange(len(text))
    with torch.no_grad():
        expected = plain.read(
            read_text(with_adapter(plain, adapter), packed, ALL_ROWS).text_CE, rows
        )
        found = merged.read(read_text(merged, packed).text_CE, rows)
        without = plain.read(read_text(plain, packed).text_CE, rows)
    assert float((found - expected).norm() / expected.norm()) < 0.03  # what rounding takes
    assert float((without - expected).norm() / expected.norm()) > 0.3


def test_only_projections_change(tmp_path: Path) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    _, folder = tool_adapter(base)
    out.mkdir()
    merge(base, folder, out)
    before, after = load_file(base / WEIGHTS), load_file(out / WEIGHTS)
    assert before.keys() == after.keys()
    for key, tensor in before.items():
        assert torch.equal(tensor.float(), after[key]) == ("_proj" not in key)


def test_a_draft_adapter_is_refused(tmp_path: Path) -> None:
    network = tiny_network(tmp_path / "base")
    random_adapter(network).save(tmp_path / "drafts")
    with pytest.raises(WeightsError, match="drafts"):
        merge(tmp_path / "base", tmp_path / "drafts", tmp_path)


def test_damaged_weights_are_not_told_to_be_unwritable(tmp_path: Path) -> None:
    base = tmp_path / "base"
    _, folder = tool_adapter(base)
    (base / WEIGHTS).write_bytes(b"x")
    with pytest.raises(WeightsError, match="damaged or cut short") as caught:
        keep(tmp_path / "out", lambda draft: merge(base, folder, draft))
    assert str(base / WEIGHTS) in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == ["base"]


@pytest.mark.embedded
@pytest.mark.timeout(180)
def test_the_model_for_tools_is_another_one_with_the_same_draft_adapter() -> None:
    prompt = [{"role": "user", "content": "Name three rivers of Europe."}]
    with Engine.load(EMBEDDED_TOOLS) as engine:
        assert engine.network.has_adapter
        plain = engine.generate(prompt, max_new_tokens=24)
        drafted = engine.generate(prompt, max_new_tokens=24, mode=SelfSpeculation(8))
        assert drafted.token_ids == plain.token_ids
        assert drafted.stats.drafted > 0


@pytest.mark.embedded
@pytest.mark.timeout(180)
def test_the_copy_with_the_adapter_is_made_once_and_named_by_it() -> None:
    directory = embedded.tools_directory(None, None)
    made = (directory / WEIGHTS).stat().st_mtime_ns
    assert embedded.tools_directory(None, None) == directory
    assert (directory / WEIGHTS).stat().st_mtime_ns == made
    assert directory.name.startswith(EMBEDDED_TOOLS)
    assert embedded.embedded_directory(None, None).name.startswith(f"{EMBEDDED}-")
    assert not embedded.embedded_directory(None, None).name.startswith(EMBEDDED_TOOLS)
