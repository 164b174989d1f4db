# What a dword and a page of a BAR cost by each way, of the device of the machine and of one in the process.
export CRITERION_HOME=/tmp/criterion IGD_VFIO=00:02.0
mkdir -p "$CRITERION_HOME"
/lab/bench/bar --bench --noplot --sample-size 10 --warm-up-time 1 --measurement-time 2 \
    '^(limit|mapped|in-process|vfio|vfio-mapped)/' > bar.txt 2>&1
