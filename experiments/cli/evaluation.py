"""`anda eval`: perplexity by the papers' protocols and zero-shot tasks, at one precision."""

from ..options.evaluation import EvaluationOptions
from .command import Given, command
from .output import JsonOption, print_table, write_json


@command(EvaluationOptions)
def eval(given: Given, *, json: JsonOption = None) -> None:
    """Measure perplexity by a protocol of the papers, or zero-shot tasks, at one precision and with FP16 activations."""
    from ..evaluation.run import evaluate_model

    result = evaluate_model(**given)
    if write_json(result, json):
        return
    rows = [(row["activations"], row["of"], row["measure"], f"{row['value']:.4f}") for row in result.rows]
    print_table(f"Evaluation of {result.model}", ("activations", "text or task", "measure", "value"), rows)
