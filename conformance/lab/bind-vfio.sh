#!/bin/sh
# bind-vfio ADDRESS [DRIVER]: takes a function from its driver and gives it to vfio-pci, or to another driver, or to none.
function=/sys/bus/pci/devices/$1
driver=${2:-vfio-pci}
[ -d "$function" ] || { echo "$1: no such function"; exit 1; }
[ -e "$function/driver" ] && echo "$1" > "$function/driver/unbind"
[ "$driver" = none ] && exit 0
echo "$driver" > "$function/driver_override"
echo "$1" > /sys/bus/pci/drivers_probe
[ "$(basename "$(readlink "$function/driver")")" = "$driver" ]
