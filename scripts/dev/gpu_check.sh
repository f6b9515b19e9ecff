#!/usr/bin/env bash
# Everything there is to check on a machine with an NVIDIA GPU, in one folder:
#     pip install -e '.[cuda12,test,torch]' && scripts/dev/gpu_check.sh [FOLDER]
# Each part leaves a text; one that fails does not stop the others. The status is that of the worst.
# MNIST's files are downloaded, or taken from the folder that MNIST_DIR names.
set -u
cd "$(dirname "$0")/../.."
folder=${1:-runs/gpu-check}
mkdir -p "$folder"
worst=0
mnist=(--dataset mnist ${MNIST_DIR:+--data-dir "$MNIST_DIR"})

part() { # NAME COMMAND …
    local name=$1
    shift
    echo "== $name: $*"
    "$@" >"$folder/$name.txt" 2>&1
    local status=$?
    echo "   status $status; $folder/$name.txt"
    echo "$name $status" >>"$folder/summary.txt"
    ((status > worst)) && worst=$status
    return 0
}

: >"$folder/summary.txt"
part machine nvidia-smi
part packages python -m pip freeze
part tests env MINIBP_TEST_GPU=1 python -m pytest -m cuda
part selfcheck python -m minibp.selfcheck --device cuda
# In double precision the losses are the CPU's; in single, rounding flips signs of BM after some steps.
part mnist-steps python scripts/dev/compare_kernels.py steps --device cuda --dtype float64 "${mnist[@]}"
part mnist-steps-float32 python scripts/dev/compare_kernels.py steps --device cuda --tolerance 1 "${mnist[@]}"
part mnist-training python scripts/dev/compare_kernels.py training --device cuda --train-limit 10000 --epochs 5 "${mnist[@]}"
against=()
python -c 'import torch' 2>/dev/null && against=(--against torch)
part benchmark python scripts/benchmark.py --device cuda "${against[@]}" --json "$folder/benchmark.json"
part benchmark-tf32 python scripts/benchmark.py --device cuda --tf32 "${against[@]}" --json "$folder/benchmark-tf32.json"
for device in cpu cuda; do
    part "mnist-$device" python scripts/train.py "${mnist[@]}" --condition frSF+BN+BM --rate-factors 0.1 --epochs 3 \
        --device "$device" --out "$folder/mnist-$device" --resume
done
for at_once in 1 5; do
    part "sweep-$at_once-at-once" python scripts/sweep.py --conditions frSF+BN+BM --datasets mnist \
        ${MNIST_DIR:+--data-dir mnist="$MNIST_DIR"} --epochs 5 --device cuda --at-once "$at_once" --out "$folder/sweep-$at_once"
done
part whole-runs python scripts/benchmark.py --device cuda --networks mnist --seconds 1 --whole-runs ${MNIST_DIR:+--data-dir "$MNIST_DIR"}
echo "worst status: $worst"
exit "$worst"
