"""The differential tests of the suite, in bulk: random schemas against `jsonschema`.

python -m benchmarks.grammar_fuzz --cases 2000 [--seed 0]
"""

import argparse
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from benchmarks.options import positive
from tests.decoding.grammar.strategies import documents, schemas
from tests.decoding.grammar.test_differential import check_accepts, check_generates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=positive, default=2000, help="random schemas")
    parser.add_argument("--seed", type=int, default=0, help="of the schemas")
    options = parser.parse_args()
    counts: Counter[str] = Counter()

    @seed(options.seed)
    @settings(
        max_examples=options.cases,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(schemas, st.lists(documents, min_size=5, max_size=20), st.integers(0, 1000))
    def run(schema: dict[str, Any], tests: list[Any], number: int) -> None:
        counts["schemas"] += 1
        if check_accepts(schema, tests):
            counts["accepted"] += 1
            counts["documents compared"] += len(tests)
            counts["texts generated"] += check_generates(schema, number, budget=200)

    run()
    for name, count in counts.items():
        print(f"{name:20} {count:7}")


if __name__ == "__main__":
    main()
