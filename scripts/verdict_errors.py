"""Print the simulated error rates of the verdicts: the old rule, Student's t, robust tests and the program's."""

from anda_codesign.experiments.markdown import markdown_table
from anda_codesign.workloads.evaluation.simulation import CASES, RULES, coverage, error_rates


def cell(rates: tuple[float, float]) -> str:
    """False ``within`` + false ``beyond``, in percent."""
    return " + ".join(f"{100 * rate:.1f}" for rate in rates)


def main() -> None:
    """Print three tables."""
    print("Wrong verdicts by number of blocks, normal blocks, one look (false within + false beyond, %):\n")
    rows = [
        [
            str(blocks),
            *(cell(error_rates(CASES["normal"], rule, looks=(blocks,))) for rule in ("3 standard errors", "verdict")),
        ]
        for blocks in (2, 3, 4, 8, 32, 64)
    ]
    print(markdown_table(["blocks", "3 standard errors (before)", "verdict (now)"], rows, 1))
    print("\nWrong verdicts with looks at 8, 32 and 64 blocks (false within + false beyond, %):\n")
    rows = [[name, *(cell(error_rates(draw, rule)) for rule in RULES)] for name, draw in CASES.items()]
    print(markdown_table(["blocks", *RULES], rows, 1))
    print("\nHow often the printed interval covers the true mean (%), where 68.3 is right:\n")
    rows = [
        [str(blocks), *(f"{100 * coverage(blocks, t):.1f}" for t in (False, True))] for blocks in (2, 3, 4, 8, 32, 64)
    ]
    print(markdown_table(["blocks", "one standard error", "t interval"], rows, 1))


if __name__ == "__main__":
    main()
