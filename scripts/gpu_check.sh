#!/usr/bin/env bash
# Everything there is to check on a machine with an NVIDIA GPU, in one folder:
#     pip install -e '.[cuda12,test]' && scripts/gpu_check.sh [FOLDER]
# Each part leaves a text; one that fails does not stop the others. The status is that of the worst.
set -u
cd "$(dirname "$0")/.."
folder=${1:-runs/gpu-check}
mkdir -p "$folder"
worst=0

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
part tests python -m pytest -m cuda
part selfcheck python -m minibp.selfcheck --device cuda --networks mnist timit
for device in cpu cuda; do
    part "digits-$device" python scripts/train.py --condition frSF+BN+BM --rate-factors 0.1 --epochs 5 \
        --device "$device" --out "$folder/digits-$device" --resume --quiet
done
part compare python - "$folder" <<'PYTHON'
import json
import sys

runs = [json.load(open(f"{sys.argv[1]}/digits-{d}/run.json"))["rates"][0] for d in ("cpu", "cuda")]
for a, b in zip(*(run["history"] for run in runs)):
    print(f"epoch {a['epoch']}: loss {a['loss']:.6f} and {b['loss']:.6f}, "
          f"error {a['error']:.2f} and {b['error']:.2f} %, {a['seconds']} and {b['seconds']} s")
first = [run["history"][0]["loss"] for run in runs]
sys.exit(abs(first[0] - first[1]) > 0.01 * first[0])
PYTHON
echo "worst status: $worst"
exit "$worst"
