# The VMM is killed while it uses the device; the next one starts before the kernel has taken back what the first had.
. /lab/run-vmm.sh
start
is_said 'SeaBIOS' || echo "the first VMM did not come to run its firmware"
mv log log.first
kill -KILL "$vmm"
start
is_said 'No bootable device' || echo "SeaBIOS did not come to its end"
stop
