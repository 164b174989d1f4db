# attempt NAME COMMAND...: leaves what the command said in NAME.out and its exit code in NAME.code. Sourced by steps.
attempt() {
    name=$1
    shift
    echo "$(cut -d' ' -f1 /proc/uptime) $name"
    "$@" > "$name.out" 2>&1
    echo $? > "$name.code"
}
plan() { igd-vmm plan --device "host=$1,addr=0x2,x-igd-opregion=on"; }
