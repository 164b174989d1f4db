# The VMM is killed while it uses the device; the next one starts before the kernel has taken back what the first had. After
# another kill the device shows what it showed before the first, and works.
. /lab/run-vmm.sh
probe() { igd-vmm probe --device host=00:02.0 --json; }
probe > before.json || exit
start
is_said 'SeaBIOS' || echo "the first VMM did not come to run its firmware"
mv log log.first
kill -KILL "$vmm"
start
is_said 'No bootable device' || echo "SeaBIOS did not come to its end"
mv log log.second
kill -KILL "$vmm"
probe > after.json || exit
start
is_said 'No bootable device' || echo "SeaBIOS did not come to its end"
stop
