#!/bin/bash
# Trains on several machines, a process on each. Submit it again to go on after a machine was lost.
#
#   sbatch --nodes=4 slurm_train.sh photos/ run/ --preset small
#SBATCH --job-name=train
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: sbatch --nodes=4 $0 PHOTOS RUN [OPTIONS]" >&2; exit 2; }
photos=$1 run=$2
shift 2
[ ! -e "$run/config.toml" ] || set -- --resume
first=${SLURM_JOB_NODELIST:+$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}

exec srun --kill-on-bad-exit=1 torchrun --nnodes="$SLURM_NNODES" --nproc-per-node=1 \
    --rdzv-backend=c10d --rdzv-endpoint="${first:-localhost}:29400" --rdzv-id="$SLURM_JOB_ID" \
    -m strdiffusion.train_distributed --images "$photos" --out "$run" \
    --threads "${SLURM_CPUS_PER_TASK:-1}" "$@"
