# The host's graphics driver has the device; then what the message says is done.
. /lab/attempt.sh
uname -r > kernel
bind-vfio 0000:00:02.0 none
while read -r module; do
    insmod "/modules/$module.ko" || echo "module $module failed"
done < /modules.driver
bind-vfio 0000:00:02.0 i915 || exit
attempt in-use plan 00:02.0
attempt run igd-vmm run --device host=00:02.0,addr=0x2,x-igd-opregion=on --memory 128M --firmware /lab/bios.bin \
    --exit-after 1
bind-vfio 0000:00:02.0
attempt given plan 00:02.0
