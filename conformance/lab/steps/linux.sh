# A Linux guest without firmware: the VMM places OpRegion and stolen memory, the guest's i915 says what it finds.
. /lab/run-linux.sh
linux
