"""Tables as they stand in docs/performance.md."""

from statistics import median

__all__ = ["median", "percentile", "show"]


def percentile(values, part):
    """The value that `part` percent of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[max(0, -(-len(ordered) * part // 100) - 1)]


def show(head, rows):
    """Prints a Markdown table with columns of one width."""
    cells = [list(map(str, row)) for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print("\n".join(lines), flush=True)
