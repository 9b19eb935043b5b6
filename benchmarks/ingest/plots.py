"""The pictures beside the tables."""

from pathlib import Path

import matplotlib

from benchmarks.ingest import latency
from benchmarks.ingest.report import Findings
from benchmarks.ingest.visible import quantiles

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

_SAID = {
    "change": "row committed in PostgreSQL → visible in ClickHouse, 50 changes/s",
    "event": "event accepted by the API → visible in ClickHouse, 1,000 events/s",
}


def draw(found: Findings, folder: Path) -> list[str]:
    """Draw what there are figures for; the names of the files."""
    drawn = []
    for name, make in (("throughput", _throughput), ("memory", _memory), ("delays", _delays)):
        figure = make(found)
        if figure is not None:
            file = f"ingest-{name}.png"
            figure.tight_layout()
            figure.savefig(folder / file, dpi=110)
            plt.close(figure)
            drawn.append(file)
    return drawn


def _throughput(found: Findings) -> Figure | None:
    summaries = list(found.summaries.values())
    if not summaries:
        return None
    figure, axes = plt.subplots(figsize=(10, 0.45 * len(summaries) + 1.2))
    paces = [one.pace / 1000 for one in summaries]
    spread = [[(one.pace - one.low) / 1000 for one in summaries], [(one.high - one.pace) / 1000 for one in summaries]]
    colours = ["#2a6f97" if one.name.startswith("run_events") else "#a9a9a9" for one in summaries]
    axes.barh([one.name for one in summaries], paces, xerr=spread, color=colours)
    axes.invert_yaxis()
    axes.set_xlabel("thousand events per second (median; lowest and highest run)")
    return figure


def _memory(found: Findings) -> Figure | None:
    if not found.memory:
        return None
    figure, axes = plt.subplots(figsize=(10, 3.5))
    axes.plot(*zip(*found.memory, strict=True), color="#2a6f97")
    axes.axhline(400, color="#c1121f", linestyle="--", linewidth=1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel("resident MB")
    axes.set_title(f"One consumer against {found.backlog.get('events', 0):,} events of backlog")
    return figure


def _delays(found: Findings) -> Figure | None:
    if not found.delays:
        return None
    figure, all_axes = plt.subplots(len(found.delays), 1, figsize=(10, 3.4 * len(found.delays)), squeeze=False)
    for axes, (name, delays) in zip(all_axes[:, 0], found.delays.items(), strict=True):
        said = quantiles(delays)
        axes.hist([delay * 1000 for delay in delays], bins=80, color="#2a6f97")
        axes.axvline(said["p95"], color="black", linewidth=1, label=f"p95 {said['p95']:.0f} ms")
        most = latency.limit(name)
        axes.axvline(most, color="#c1121f", linestyle="--", linewidth=1, label=f"target {most} ms")
        what, partitions = name.split(", ")
        axes.set_title(f"{_SAID[what]}, {partitions}")
        axes.set_xlabel("ms")
        axes.legend()
    return figure
