#!/usr/bin/env python3
"""The curves of a training run: loss of each stage, and PSNR in the hole on the kept-out photographs.

    python scripts/plot_run.py RUN/log.csv curves.svg

Needs: matplotlib.
"""

import argparse
import csv

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

STAGES = {"structure": "#0072b2", "texture": "#d55e00", "discriminator": "#009e73"}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log", help="log.csv of a run")
    parser.add_argument("out", help="SVG to write")
    args = parser.parse_args()
    with open(args.log, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    plt.rcParams["svg.fonttype"] = "none"
    figure, (losses, scores) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for stage, colour in STAGES.items():
        train = [r for r in rows if r["stage"] == stage and not r["psnr"] and r["kind"] == "train"]
        losses.plot(
            [int(r["step"]) for r in train], [float(r["loss"]) for r in train], color=colour, label=stage
        )
        valid = [r for r in rows if r["stage"] == stage and r["psnr"]]
        if valid:
            scores.plot(
                [int(r["step"]) for r in valid],
                [float(r["psnr"]) for r in valid],
                "o-",
                color=colour,
                label=stage,
            )
    losses.set(xlabel="step", ylabel="training loss", yscale="log")
    scores.set(xlabel="step", ylabel="PSNR in the hole (dB), validation")
    for axes in (losses, scores):
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(args.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
