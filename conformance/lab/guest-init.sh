#!/bin/sh
# First program of the VMM's guest: loads the graphics driver, shows what it says of the firmware's data, turns off.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do
    # What drivers and KMS say, without the traffic of displays.
    [ "$module" = i915 ] && echo 0x106 > /sys/module/drm/parameters/debug
    insmod "/modules/$module.ko" || echo "GUEST module $module failed"
done < /modules.order
sleep 2
dmesg | grep -iE 'opregion|vbt|stolen|DSM|PCH|PCI bridge|Initialized|i915.*(error|fail)' | cut -c1-200
echo "GUEST driver $(basename "$(readlink /sys/bus/pci/devices/0000:00:02.0/driver)")"
echo "GUEST end"
poweroff -f
