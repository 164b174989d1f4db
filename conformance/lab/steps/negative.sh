# What goes wrong on real machines.
. /lab/attempt.sh
uname -r > kernel
attempt class-0380 plan 00:04.0
attempt no-opregion plan 00:05.0
attempt bad-signature plan 00:06.0
attempt group plan 00:03.0
attempt absent plan 00:1e.7

# The memory that a user may lock does not bind root: this is another user's run.
for node in /dev/kvm /dev/vfio/vfio /dev/vfio/[0-9]* /dev/vfio/devices/* /dev/iommu; do
    [ -e "$node" ] && chmod 666 "$node"
done
chmod 755 /out /out/negative
echo 'user:x:1000:1000::/:/bin/sh' > /etc/passwd
ulimit -l 8192
attempt memlock su user -c 'igd-vmm run --device host=00:02.0,addr=0x2,x-igd-opregion=on --memory 128M \
    --firmware /lab/bios.bin --exit-after 1'
ulimit -l unlimited

bind-vfio 0000:00:02.0 none
attempt no-driver plan 00:02.0
insmod /modules/pci_stub.ko 2> /dev/null
bind-vfio 0000:00:02.0 pci-stub
attempt other-driver plan 00:02.0
bind-vfio 0000:00:02.0 none
echo 1 > /sys/bus/pci/devices/0000:00:1f.0/remove
bind-vfio 0000:00:02.0
attempt no-isa-bridge plan 00:02.0
