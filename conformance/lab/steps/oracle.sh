# The probe in QEMU and in our VMM, with the same device and options. A line of the list: NAME MACHINE SLOT OPTIONS.
# Leaves for each NAME.qemu and NAME.vmm, which the probe wrote, and those with .err and .code.

# The kernel takes each graphics function that is on when it starts for the one whose ROM lies at C0000h, but not one that
# it finds later: only then one without a ROM has none.
echo 1 > /sys/bus/pci/devices/0000:00:05.0/remove
echo 1 > /sys/bus/pci/rescan
bind-vfio 0000:00:05.0

while read -r name machine slot options; do
    probe=/lab/oracle/probe-$slot.bin
    echo "LAB $name at $(cut -d' ' -f1 /proc/uptime)" > /dev/console
    timeout -s KILL 60 /lab/qemu/loader --library-path /lab/qemu /lab/qemu/qemu -L /lab/qemu/share -accel kvm \
        -machine "$machine" -m 32 -nodefaults -vga none -display none -no-reboot -bios "$probe" \
        -chardev "file,id=probe,path=$name.qemu" -device isa-debugcon,iobase=0x402,chardev=probe \
        -device isa-debug-exit,iobase=0x501 -device "vfio-pci,$options" > "$name.qemu.err" 2>&1 < /dev/null
    echo $? > "$name.qemu.code"
    timeout -s KILL 60 igd-vmm run --policy qemu-11.1 --machine "$machine" --memory 32M --firmware "$probe" \
        --device "$options" --debugcon "$name.vmm" --exit-after 50 > "$name.vmm.err" 2>&1 < /dev/null
    echo $? > "$name.vmm.code"
done < /lab/oracle/runs
