# SeaBIOS on the VMM with the device, until it has found nothing to boot.
. /lab/run-vmm.sh
start
is_said 'No bootable device' || echo "SeaBIOS did not come to its end"
ls -l "/proc/$vmm/fd" > fds.txt
stop
