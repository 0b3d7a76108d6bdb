"""The threads of the compiled forward, tried from C++."""

import shutil
import subprocess
from pathlib import Path

import pytest

from decoding import native

KERNELS = Path(native.__file__).parent / "kernels"
COMPILER = shutil.which("c++") or shutil.which("g++")

_TRIED = r"""
#include "pool.hpp"

int main() {
    Pool &pool = Pool::shared();
    const int threads[] = {3, 2, 70, 4};
    for (int round = 0; round < 400; ++round) {
        const bool opened = pool.open(threads[round % 4]);
        const int count = 1 + round % 90, bad = round % count;
        std::atomic<int> begun{0};
        bool failed = false;
        try {
            pool.each(opened, count, [&](int index) {
                ++begun;
                if (index == bad) throw std::bad_alloc();
            });
        } catch (const std::bad_alloc &) {
            failed = true;
        }
        if (!failed) return 1;
        const int before = begun;
        std::vector<std::atomic<int>> times(count);
        pool.each(opened, count, [&](int index) { ++times[index]; });
        if (begun != before) return 2;
        for (const auto &each : times)
            if (each != 1) return 3;
        pool.close();
    }
    return 0;
}
"""


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here")
def test_each_index_runs_once_and_missing_memory_is_told(tmp_path: Path) -> None:
    """In whatever thread it is missing: nothing of that loop runs any more when it is told."""
    source, program = tmp_path / "tried.cpp", tmp_path / "tried"
    source.write_text(_TRIED)
    assert COMPILER is not None
    command = [COMPILER, "-std=c++17", "-O1", "-pthread", f"-I{KERNELS}", source, "-o", program]
    subprocess.run(command, check=True, timeout=50)
    assert subprocess.run([program], check=False, timeout=50).returncode == 0
