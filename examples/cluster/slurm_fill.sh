#!/bin/bash
# Fills the photographs of a list, a shard in each task of a Slurm array. Submit it again to go on
# where tasks were lost. All tasks must see the same folder.
#
#   sbatch --array=0-63 slurm_fill.sh pairs.csv results/
#   strdiffusion merge-results results/ -o all.jsonl      # when all are done
#SBATCH --job-name=fill
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=08:00:00
#SBATCH --requeue
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: sbatch --array=0-63 $0 LIST RESULTS" >&2; exit 2; }
# Of another number of tasks, each would have another share.
[ "${SLURM_ARRAY_TASK_COUNT:?is this an array job?}" -eq $((SLURM_ARRAY_TASK_MAX + 1)) ] ||
    { echo "give the whole array, from 0: --array=0-$SLURM_ARRAY_TASK_MAX" >&2; exit 2; }

# With exec, Slurm's signals reach the command itself.
exec strdiffusion inpaint --list "$1" --results "$2" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
    --threads "${SLURM_CPUS_PER_TASK:-1}"
