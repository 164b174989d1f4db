# Starts and ends a VMM. Sourced by steps.
start() {
    igd-vmm run --device host=00:02.0,addr=0x2,x-igd-opregion=on --memory 128M --firmware /lab/bios.bin --exit-after 60 \
        --status status.json --debugcon log --dump-memory "asls,$(wc -c < /lab/opregion.bin),opregion" \
        2>> err.txt < /dev/null &
    vmm=$!
}
# Whether the firmware says it, in time.
is_said() {
    for _ in $(seq 600); do
        grep -q "$1" log 2> /dev/null && return 0
        kill -0 "$vmm" 2> /dev/null || return 1
        usleep 50000
    done
    return 1
}
stop() {
    kill -INT "$vmm"
    wait "$vmm"
}
