"""Searches for training settings with Optuna; processes on any machines share one folder.

    python optuna_sweep.py --images photos/ --out sweep/ --trials 40 --preset tiny

Start it as often as there is room. A training that does no better than the others by its validation
is stopped. What a killed process left is taken up where it stopped. Needs: pip install optuna
"""

import argparse
import csv
import fcntl
import signal
import subprocess
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState


def suggest(trial):
    """The settings that are searched: any key of a run's config.toml."""
    return {
        "structure.learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        "structure.warmup": trial.suggest_int("warmup", 0, 200),
        "run.loss.distance": trial.suggest_categorical("distance", ["absolute", "squared"]),
    }


def curve(run):
    """PSNR of each validation so far, by step."""
    log = run / "log.csv"
    rows = csv.DictReader(log.open()) if log.is_file() else []
    return {int(row["step"]): float(row["psnr"]) for row in rows if row["psnr"]}


def train(args, trial, run):
    if (run / "config.toml").is_file():
        options = ["--resume"]
        suggest(trial)  # the parameters that it had
    else:
        options = ["--preset", args.preset] if args.preset else ["--config", args.config]
        settings = {**dict(args.set), **suggest(trial)}
        options += [word for item in settings.items() for word in ("--set", "{}={}".format(*item))]
    line = [args.command, "train", "--images", args.images, "--out", run, "--stage", "structure"]
    child = subprocess.Popen([*line, *options], stdout=subprocess.DEVNULL)
    told, ended = set(), None
    while ended is None:
        try:
            ended = child.wait(timeout=args.poll)
        except subprocess.TimeoutExpired:
            pass
        for step, psnr in curve(run).items():
            if step not in told:
                told.add(step)
                trial.report(psnr, step)
        if ended is None and trial.should_prune():
            child.send_signal(signal.SIGINT)
            child.wait()
            raise optuna.TrialPruned
    if ended:
        raise RuntimeError(f"{run}: training ended with exit code {ended}")
    return max(curve(run).values())


def lock(run, wait):
    """The lock of a training that a process is at work on; none if another one has it."""
    file = open(run.with_suffix(".lock"), "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return file
    except BlockingIOError:
        return None


def take_up(study, out):
    """Puts trainings whose process is gone back in the queue, with their folders."""
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        run = trial.user_attrs.get("run")
        held = lock(out / run, wait=False) if run else None
        # Another process may have taken it up in the meantime.
        if held and study.trials[trial.number].state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params, user_attrs={"run": run})
        if held:
            held.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--trials", type=int, default=20, help="of all processes together")
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--preset"), start.add_argument("--config")
    parser.add_argument("--set", action="append", default=[], type=lambda text: text.split("=", 1))
    parser.add_argument("--command", default="strdiffusion")
    parser.add_argument("--poll", type=float, default=2.0, help="seconds between looks at the log")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name="structure",
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(args.out / "journal.log"))),
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        load_if_exists=True,
    )

    def objective(trial):
        run = trial.user_attrs.get("run", f"trial-{trial.number}")
        with lock(args.out / run, wait=True):
            trial.set_user_attr("run", run)
            return train(args, trial, args.out / run)

    take_up(study, args.out)
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    enough = optuna.study.MaxTrialsCallback(args.trials, states=ended)
    if len(study.get_trials(states=ended)) < args.trials:
        study.optimize(objective, callbacks=[enough])
    print(f"best: PSNR {study.best_value:.2f} dB with {study.best_params}")


if __name__ == "__main__":
    main()
