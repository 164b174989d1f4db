# Boots a Linux guest. Sourced by steps.
linux() {
    igd-vmm run --device host=00:02.0,addr=0x2,x-igd-opregion=on --memory 512M --kernel /lab/vmlinuz \
        --initrd /lab/guest.cpio --append 'console=ttyS0 quiet panic=-1 log_buf_len=16M' --serial serial.log \
        --exit-after 200 --status status.json --log info "$@" 2> err.txt < /dev/null
}
