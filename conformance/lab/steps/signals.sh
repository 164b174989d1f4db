# A guest that has the device interrupt it and reach its memory.
igd-vmm run --device host=00:02.0,addr=0x2,x-igd-opregion=on --memory 64M --firmware /lab/signals.bin --exit-after 30 \
    --status status.json --debugcon log 2> err.txt < /dev/null
code=$?
grep '^ *[0-9]*:' /proc/interrupts > interrupts.txt
[ "$code" -eq 106 ]
