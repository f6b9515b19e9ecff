#!/usr/bin/env bash
# Everything there is to check on a machine with an NVIDIA GPU, in ten minutes:
#
#     scripts/dev/gpu_check.sh [--parts "tests steps"] [--wheels FOLDER] [FOLDER]
#     scripts/dev/gpu_check.sh --emulated [FOLDER]      without a GPU: see tests/emulated_gpu
#
# It installs what is missing, with wheels from a folder if one is given, and never from elsewhere
# then. After each part FOLDER (runs/gpu-check) holds summary.md, results.tar.gz and, once it is
# begun, benchmark.json. The gate comes first: if it fails, nothing else is tried. Any other part may
# fail, or run into its limit, and the next begins. MNIST is read from the folder that MNIST_DIR
# names, or downloaded. SECONDS_LEFT (580) is what all may take together; table2 gets what is left,
# and goes on where it was when it is called with the same FOLDER again.
set -u
cd "$(dirname "$0")/../.."
PARTS="tests selfcheck steps benchmark table2"
emulated="" wheels="" folder=runs/gpu-check
while (($#)); do
    case $1 in
        --emulated) emulated=yes ;;
        --parts) PARTS=$2 && shift ;;
        --wheels) wheels=$2 && shift ;;
        -h | --help) sed -n '2,14s/^# \{0,1\}//p' "$0" && exit ;;
        -*) echo "unknown option $1: see --help" >&2 && exit 2 ;;
        *) folder=$1 ;;
    esac
    shift
done
for name in $PARTS; do
    case " machine gate faults tests selfcheck steps benchmark table2 " in
        *" $name "*) ;;
        *) echo "unknown part $name: tests, selfcheck, steps, benchmark or table2" >&2 && exit 2 ;;
    esac
done
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
work=$folder.work # texts and runs: packed, since a machine may hand back a few files only
mkdir -p "$work"
end=$((SECONDS + ${SECONDS_LEFT:-580}))
[ "$emulated" ] && end=$((SECONDS + ${SECONDS_LEFT:-5400}))
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
python=(python3)
[ -x "$(command -v python)" ] && python=(python)
on_gpu=("${python[@]}")
[ "$emulated" ] && on_gpu+=(tests/emulated_gpu/emulator.py)
set_of=mnist data=(${MNIST_DIR:+--data-dir "$MNIST_DIR"})
[ "$emulated" ] && set_of=digits data=() # which needs no file
worst=0

pack() {
    {
        echo "# A check on a GPU, $(date -u +%F\ %R) UTC"
        echo
        echo "Commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)."
        echo
        echo "| part | status | seconds |"
        echo "|---|---|---|"
        cat "$work/summary.rows"
        for text in "$work"/*.txt; do
            printf '\n## %s\n\n```\n%s\n```\n' "$(basename "$text" .txt)" "$(tail -n 40 "$text" | cut -c1-200)"
        done
    } >"$folder/summary.md.part" && mv "$folder/summary.md.part" "$folder/summary.md"
    tar -C "$work" --exclude='*.h5' -czf "$folder/results.tar.gz.part" . &&
        mv "$folder/results.tar.gz.part" "$folder/results.tar.gz"
}

part() { # NAME SECONDS COMMAND …
    local name=$1 limit=$2 begin=$SECONDS status
    shift 2
    ((limit > end - SECONDS)) && limit=$((end - SECONDS))
    if ((limit < 5)); then
        echo "== $name: no time is left"
        echo "| $name | no time was left | 0 |" >>"$work/summary.rows" && pack && return 0
    fi
    echo "== $name (at most $limit s): $*"
    timeout --kill-after=5 "$limit" "$@" >"$work/$name.txt" 2>&1
    status=$?
    ((status == 124 || status == 137)) && status="ran into its limit"
    echo "   status $status, $((SECONDS - begin)) s; $work/$name.txt"
    echo "| $name | $status | $((SECONDS - begin)) |" >>"$work/summary.rows"
    [ "$status" = 0 ] || worst=1
    pack
    [ "$status" = 0 ]
}

wanted() { [[ " $PARTS " == *" $1 "* ]]; }

: >"$work/summary.rows"
rm -f "$work"/*.txt
machine() {
    uname -a && "${python[@]}" --version && lscpu | grep -E 'Model name|^CPU\(s\)'
    nvidia-smi || echo "no nvidia-smi"
    "${python[@]}" -m pip list 2>/dev/null | grep -iE 'numpy|numba|cupy|torch|cuda|nvidia|pytest'
}
install() { # what is missing, and CuPy for the driver's CUDA
    local missing cuda from=()
    missing=$("${python[@]}" scripts/dev/missing.py) || return 1
    if [[ " $missing " == *" cupy "* ]]; then
        cuda=$(nvidia-smi 2>/dev/null | sed -n 's/.*CUDA Version: \([0-9]*\).*/\1/p')
        missing="${missing/cupy/} cupy-cuda${cuda:-12}x[ctk]"
    fi
    [ "$wheels" ] && from=(--no-index --find-links "$wheels")
    echo "missing: ${missing:-nothing}"
    # shellcheck disable=SC2086
    [ -z "${missing// /}" ] || "${python[@]}" -m pip install --quiet "${from[@]}" $missing
}
export -f machine install
export python wheels emulated
part machine 20 bash -c "python=(${python[*]}); machine"
part install 120 bash -c "python=(${python[*]}); install" # what is still missing, its part will say
if ! part gate $((${emulated:+300} + 30)) "${on_gpu[@]}" scripts/dev/gpu_gate.py; then
    echo "the gate failed: a GPU cannot be used as it is; see $work/gate.txt" >&2
    exit 1
fi
if [ "$emulated" ]; then
    MINIBP_TEST_GPU=1 EMU_CHECK=1 part faults-checked 600 "${on_gpu[@]}" -m pytest -m cuda tests/emulated_gpu
    MINIBP_TEST_GPU=1 EMU_LAZY=1 part faults-lazy 600 "${on_gpu[@]}" -m pytest -m cuda tests/emulated_gpu
fi
if wanted tests; then
    # By name: what these need is installed above, what others need (notebooks, browsers) may not be.
    kernels=(tests/ops tests/layers tests/test_fused.py)
    others=(tests/feedback tests/training tests/study/test_zoo.py tests/test_network.py tests/test_copies.py
        tests/test_optim.py tests/test_rng.py tests/test_gradcheck.py tests/test_device.py)
    if [ "$emulated" ]; then # kernels with every check, the others with work that waits to be waited for
        MINIBP_TEST_GPU=1 EMU_CHECK=1 EMU_STRICT=1 part kernels-checked 1200 "${on_gpu[@]}" -m pytest -m cuda "${kernels[@]}"
        MINIBP_TEST_GPU=1 EMU_LAZY=1 EMU_STRICT=1 part tests-lazy 2400 "${on_gpu[@]}" -m pytest -m cuda "${others[@]}"
    else
        MINIBP_TEST_GPU=1 part tests 180 "${on_gpu[@]}" -m pytest -m cuda "${kernels[@]}" "${others[@]}"
    fi
fi
if wanted selfcheck; then
    networks=() && [ "$emulated" ] && networks=(--networks mnist timit) # the others would take an hour
    part selfcheck $((${emulated:+840} + 60)) "${on_gpu[@]}" -m minibp.selfcheck --device cuda "${networks[@]}"
fi
if wanted steps; then # in double precision: in single, rounding flips signs of BM after some steps
    steps=(--steps 100) && [ "$emulated" ] && steps=(--steps 3 --batch-size 5)
    part steps $((${emulated:+600} + 60)) "${on_gpu[@]}" scripts/dev/compare_kernels.py steps --device cuda \
        --dtype float64 "${steps[@]}" --dataset "$set_of" "${data[@]}"
fi
if wanted benchmark; then
    rows=(--seconds 1) && [ "$emulated" ] && rows=(--seconds 0.01 --batch-size 2 --networks mnist lenet-cifar --tiny)
    "${python[@]}" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null && rows+=(--against torch)
    part benchmark $((${emulated:+900} + 170)) "${on_gpu[@]}" scripts/benchmark.py --device cuda "${rows[@]}" \
        --json "$folder/benchmark.json"
fi
if wanted table2; then # the paper's full protocol: as far as it gets, and on from there the next time
    runs=(--tables 2 --epochs 65) && [ "$emulated" ] && runs=(--conditions frSF+BN+BM --epochs 1 --train-limit 200)
    part table2 $((${emulated:+900} + 600)) "${on_gpu[@]}" scripts/sweep.py "${runs[@]}" --datasets "$set_of" \
        ${MNIST_DIR:+--data-dir mnist="$MNIST_DIR"} --device cuda --at-once 5 --quiet --out "$work/table2"
    part table2-so-far 30 "${python[@]}" scripts/tables.py "$work/table2" --format markdown
fi
echo "worst status: $worst; $folder/summary.md"
exit "$worst"
