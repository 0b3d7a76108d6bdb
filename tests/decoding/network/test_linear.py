"""Products at half precision are rounded once, from a float32 sum, however they are computed."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from decoding.network import linear
from decoding.network.linear import linear_for

CPU = torch.device("cpu")


@pytest.mark.parametrize("capability", ["DEFAULT", "AVX2", "AVX512"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("num_rows", [0, 1, 4, 5, 40])
@pytest.mark.parametrize("biased", [False, True])
def test_half_precision_is_close_to_exact(
    capability: str,
    dtype: torch.dtype,
    num_rows: int,
    biased: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    torch.manual_seed(num_rows)
    rows, weight = torch.randn(num_rows, 96).to(dtype), torch.randn(32, 96).to(dtype)
    bias = torch.randn(32).to(dtype) if biased else None
    found = linear_for(dtype, CPU)(rows, weight, bias)
    exact = F.linear(rows.double(), weight.double(), None if bias is None else bias.double())
    assert found.dtype is dtype
    torch.testing.assert_close(
        found.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=0.01, check_dtype=False
    )


def test_many_rows_are_widened_where_half_precision_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert linear_for(torch.bfloat16, CPU) is linear._widened
    assert linear_for(torch.float32, CPU) is F.linear
    assert linear_for(torch.bfloat16, torch.device("cuda")) is F.linear
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert linear_for(torch.bfloat16, CPU) is F.linear
