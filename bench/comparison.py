"""Where a comparison client is ahead of ours, in a sentence made of the results. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench.results import Result, medians

OURS = "ours"


def is_ours(client: str) -> bool:
    """Tell whether a client is the product, in whatever set-up."""
    return client.startswith(OURS)


def comparison_text(found: Sequence[Result]) -> str:
    """Return which clients have a lower median ratio than `ours` and where; "" with nothing to compare."""
    ours = {result.scenario: result.figures.ratio for result in medians(found, OURS)}
    others = [name for name in dict.fromkeys(r.client for r in found) if not is_ours(name)]
    theirs = {
        name: {r.scenario: r.figures.ratio for r in medians(found, name) if r.scenario in ours}
        for name in others
    }
    compared = sum(map(len, theirs.values()))
    if not compared:
        return ""
    ahead = [
        f"{name} in {scenario} ({ratio:.3f} against {ours[scenario]:.3f})"
        for name, ratios in theirs.items()
        for scenario, ratio in ratios.items()
        if ratio < ours[scenario]
    ]
    basis = (
        f"{compared} pairs of a comparison client and a scenario, "
        f"{len(theirs)} clients and {len(ours)} scenarios"
    )
    text = (
        f"Ahead of ours on the median ratio, of {basis}: {'; '.join(ahead)}."
        if ahead
        else f"Of {basis}, none is ahead of ours on the median ratio."
    )
    unplayed = [
        f"{name}: {', '.join(missing)}"
        for name, ratios in theirs.items()
        if (missing := [scenario for scenario in ours if scenario not in ratios])
    ]
    if unplayed:
        text += f" Without a run: {'; '.join(unplayed)}."
    return text + "\n"
